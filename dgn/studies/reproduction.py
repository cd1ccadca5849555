"""docs/reproduction.md: what every study found, made from their evidence."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from dgn.files import write_whole, written_aside
from dgn.studies.page import ends, minutes
from dgn.studies.running import Evidence

_WIDTH = 560  # of the report's pictures, in pixels


@dataclass(frozen=True)
class Failed:
    """A study that did not run.

    Attributes:
        name: its name.
        claim: the claim that it tests.
        error: why it did not run.
        command: that runs it.
    """

    name: str
    claim: str
    error: str
    command: str


_HEAD = """# The papers' experiments, and what they give here

Made by `{command}` from the evidence of each study; do not edit it by hand.
`docs/studies.md` explains how to run a study, also with ImageNet and published weights, and how verdicts are reached.

Every verdict follows from statements, each a quantity that is above 0 if it is true. A statement holds if the 95%
interval of its mean over seeds is above 0, fails if it is below, and is unclear otherwise. The claim holds if all
statements hold, holds in part if some do, and does not hold if none does; fewer than three seeds are too few to tell.
The rule of each study stands in its file under `dgn/studies`. The networks here are small and their trainings short,
so a claim that does not hold here may hold for the paper's. The time of a study is that of its seeds on a shared
machine, where other jobs ran, including what it trained first; networks that were trained before are used again. Its
section says what was trained and how long that took.

| study | claim | verdict | seeds | time |
|---|---|---|---|---|
"""


def write_report(found: Sequence[Evidence | Failed], folder: Path, document: Path, command: str) -> None:
    """Writes the report, and its pictures into a folder beside it.

    Args:
        found: what the studies found, in order.
        folder: with a folder for each study.
        document: the path of the report.
        command: that makes it.
    """
    text = _HEAD.format(command=command) + "".join(map(_row, found)) + "\n"
    for evidence in found:
        text += _failed(evidence) if isinstance(evidence, Failed) else _section(evidence, folder, document)
    write_whole(document, text)


def _row(found: Evidence | Failed) -> str:
    if isinstance(found, Failed):
        return f"| [{found.name}](#{found.name}) | {_cell(found.claim)} | did not run | – | – |\n"
    cells = (f"[{found.name}](#{found.name})", found.claim, f"**{found.verdict}**", str(len(found.seeds)))
    return f"| {' | '.join(map(_cell, cells))} | {minutes(found.seconds)} |\n"


def _failed(found: Failed) -> str:
    return f"## {found.name}\n\n{found.claim}\n\nDid not run: {found.error}\n\n```\n{found.command}\n```\n\n"


def _section(evidence: Evidence, folder: Path, document: Path) -> str:
    parts = [f"## {evidence.name}", f"**{evidence.title}** ({evidence.source}). {evidence.claim}"]
    parts.append(f"*Measured:* {evidence.measured} A seed changes {evidence.varies}.")
    lines = ["| statement | true if above 0 | mean over seeds (95% interval) | outcome |", "|---|---|---|---|"]
    for s in evidence.statements:
        cells = (s["text"], s["quantity"], ends([s["value"], s["low"], s["high"]]), s["outcome"])
        lines.append("| " + " | ".join(_cell(str(cell)) for cell in cells) + " |")
    parts.append("\n".join(lines))
    parts.append(f"Verdict: **{evidence.verdict}**, {len(evidence.seeds)} seeds, {minutes(evidence.seconds)}.")
    if evidence.trainings:
        parts.append(f"Trained, in this run or before: {'; '.join(evidence.trainings)}.")
    for figure in evidence.figures[:1]:
        path = document.with_suffix("") / f"{evidence.name}.jpg"
        _write_picture(folder / evidence.name / figure["file"], path)
        parts.append(f"![{figure['caption']}]({document.stem}/{path.name})\n\n{figure['caption']}")
    parts.append(f"```\n{evidence.command}\n```")
    return "\n\n".join(parts) + "\n\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _write_picture(source: Path, path: Path) -> None:
    """Writes a small JPEG of a figure."""
    with Image.open(source) as picture:
        small = picture.convert("RGB")
        if small.width > _WIDTH:
            small = small.resize((_WIDTH, round(small.height * _WIDTH / small.width)), Image.Resampling.LANCZOS)
        with written_aside(path) as aside:
            small.save(aside, format="JPEG", quality=72)
