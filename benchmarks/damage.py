"""Gives the programs damaged and hostile inputs: `python benchmarks/damage.py [INPUTS] [--seed N] [--only WORD]`.

Every kind of file, folder, expression, command line and answer that the programs read is damaged at random: bytes
changed, cut off, exchanged; headers that lie; bombs; pickles that would run code; paths that climb out; huge numbers
and NaN. Each input must be read, or end within 10 seconds of processor time and 2 GiB in one line that names it. Prints
the table of docs/trust.md, and every input that did neither, with the number that makes it again
(`--repeat KIND:NUMBER`). The exit status is 1 if there is any. The same seed gives the same inputs.
"""

import argparse
import statistics
import sys
import tempfile
from collections import Counter
from pathlib import Path

from damaged.case import KINDS
from damaged.running import Outcome, run_all

SHARES = {"images (JPEG, PNG, WebP, GIF, BMP, TIFF, PPM)": 3, "expressions of units": 3, "pickled state dicts": 2}
"""How often kinds occur, relative to others."""


def inputs_of(count: int, only: str = "") -> list[tuple[str, int]]:
    """Returns (kind, number) of `count` inputs, so that any first part of the numbers is a share of every kind."""
    kinds = [kind for kind in KINDS for _ in range(SHARES.get(kind, 1)) if only in kind]
    seen: Counter[str] = Counter()
    inputs = []
    for i in range(count):
        kind = kinds[i % len(kinds)]
        inputs.append((kind, seen[kind]))
        seen[kind] += 1
    return sorted(inputs, key=lambda pair: list(KINDS).index(pair[0]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("inputs", nargs="?", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="kinds with this word in their name")
    parser.add_argument("--repeat", help="KIND:NUMBER, one input in this process, with its traceback")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.repeat:
            _repeat(options.repeat, options.seed, Path(folder))
            return
        outcomes = []
        for outcome in run_all(inputs_of(options.inputs, options.only), options.seed, Path(folder)):
            outcomes.append(outcome)
            if not outcome.good:
                print(f"{outcome.verdict}: {outcome.kind}:{outcome.number}: {outcome.message[:300]!r}", flush=True)
    print(table(outcomes))
    sys.exit(int(not all(outcome.good for outcome in outcomes)))


def table(outcomes: list[Outcome]) -> str:
    lines = [
        "| | inputs | one clear line | read | anything else | longest (processor) | most memory |",
        "|---|---|---|---|---|---|---|",
    ]
    kinds = [kind for kind in KINDS if any(outcome.kind == kind for outcome in outcomes)]
    for kind in [*kinds, "all"]:
        these = [outcome for outcome in outcomes if kind in (outcome.kind, "all")]
        verdicts = Counter(outcome.verdict for outcome in these)
        lines.append(
            f"| {kind} | {len(these):,} | {verdicts['error']:,} | {verdicts['read']:,} | "
            f"{sum(not outcome.good for outcome in these)} | {max(o.seconds for o in these):.1f} s | "
            f"{max(o.memory for o in these) / 2**20:.0f} MiB |"
        )
    median = statistics.median(outcome.seconds for outcome in outcomes)
    return "\n".join([*lines, "", f"Median: {1000 * median:.1f} ms an input."])


def _repeat(which: str, seed: int, folder: Path) -> None:
    from random import Random

    kind, _, number = which.rpartition(":")
    place = folder / "input"
    place.mkdir()
    case = KINDS[kind](place, Random(f"{seed}/{kind}/{number}"))
    print(case.read())


if __name__ == "__main__":
    main()
