"""The notebook of a session: what was found, and its export as a gallery with the commands that remake it."""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from torch import Tensor

from dgn.errors import UserError, one_line
from dgn.files import image_name, write_whole
from dgn.report import Row, write_gallery


@dataclass(frozen=True)
class Finding:
    """An image that was kept.

    Attributes:
        image: (3, H, W).
        title: What it is.
        objective: What it was searched for, or the layer that it is a code of.
        layer, unit, label: Its unit.
        method: How it was found.
        prior: The prior's name; "" without one.
        seed: The seed of its search.
        steps: The number of steps that were taken.
        value: The objective's value.
        command: What makes it again; `CODE` in it stands for the file of the code.
        code: The code that was edited, for images that were not searched.
    """

    image: Tensor
    title: str
    objective: str
    layer: str
    unit: str
    label: str
    method: str
    prior: str
    seed: int
    steps: int
    value: float
    command: str
    code: Tensor | None = None


CODE = "CODE.npy"
"""Stands in a command for the file of an edited code, which has a name when it is exported."""


def export(folder: Path, findings: Sequence[Finding], title: str) -> Path:
    """Writes a gallery of findings, and commands.txt with what makes each again; returns the page's path.

    Args:
        folder: Galleries are written into folders of their own in this one.
        findings: What was kept.
        title: The page's title.

    Raises:
        UserError: If nothing was kept.
    """
    if not findings:
        raise UserError("nothing was kept yet; keep an image first")
    run = folder / datetime.now().strftime("%Y-%m-%d_%H-%M-%S-%f")
    rows = [
        Row(
            layer=f.layer,
            unit=f.unit,
            label=f.label,
            seed=f.seed,
            method=f.method,
            activation=f.value,
            percentile=None,
            judge_label="",
            judge_probability=None,
            recognized=None,
            image=f"images/{number:03d}-{image_name(f.objective, f.seed)}",
            objective=f.objective,
            prior=f.prior,
            steps=f.steps,
        )
        for number, f in enumerate(findings)
    ]
    made = []
    for number, f in enumerate(findings):
        path = run / "codes" / f"{number:03d}.npy"
        if f.code is not None:
            buffer = io.BytesIO()
            np.save(buffer, f.code.cpu().numpy())
            write_whole(path, buffer.getvalue())
        made.append(f.command.replace(CODE, str(path)))
    commands = "\n".join(f"# {one_line(f.title)}\n{command}" for f, command in zip(findings, made, strict=True))
    write_whole(run / "commands.txt", commands + "\n")
    notes = [
        dict(title=f.title, image=row.image, command=command)
        for f, row, command in zip(findings, rows, made, strict=True)
    ]
    write_whole(run / "findings.json", json.dumps(notes, indent=1))
    settings = {f"finding {number}": f.title for number, f in enumerate(findings)}
    return write_gallery(run, rows, [f.image for f in findings], settings, title, commands)
