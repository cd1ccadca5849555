"""Writes a prior in half precision, to be given away: about half the size, and the same pictures to the eye.

python -m dgn.prior.half RUN_OR_PRIOR FILE.safetensors [--most MB] [--card FILE.md]

A prior in the package (`dgn.prior.packaged`) is such a file.
"""

import argparse
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dgn.errors import UserError
from dgn.files import write_whole
from dgn.prior.card import card
from dgn.prior.generator_prior import Prior
from dgn.prior.location import find_prior

_ABSOLUTE = re.compile(r"(?<![\w.~:/-])/(?:[^\s/'\"=,\]]+/)+(?=[^\s/'\"=,\]]+/[^\s/'\"=,\]]+)")
"""The folders of an absolute path, except for its last two parts."""


def write_half(prior: Prior, path: Path, most: float | None = None) -> float:
    """Writes a prior in half precision, without the folders of this machine in what it says about itself.

    Args:
        prior: The prior.
        path: The file.
        most: The largest size in MB (10^6 bytes); None: any.

    Returns:
        The largest difference of a pixel (0 to 1) between what 16 codes become in half and in full precision.

    Raises:
        UserError: If the file is larger than `most`; it is not kept.
    """
    replace(prior, about=without_folders(prior.about)).save(path, half=True)
    size = path.stat().st_size / 1e6
    if most is not None and size > most:
        path.unlink()
        raise UserError(
            f"{path} would have {size:.1f} MB, and --most allows {most:g}; train with a smaller generator.width, or "
            "with smaller code_model.width and statistics.axes"
        )
    codes = prior.sample(16)
    return float((Prior.load(path).decode(codes) - prior.decode(codes)).abs().max())


def without_folders(about: Any) -> Any:
    """Returns plain values with absolute paths cut to their last two parts: a shared file names no folders."""
    if isinstance(about, dict):
        return {key: without_folders(value) for key, value in about.items()}
    if isinstance(about, list | tuple):
        return [without_folders(value) for value in about]
    return _ABSOLUTE.sub("", about) if isinstance(about, str) else about


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line: `python -m dgn.prior.half RUN_OR_PRIOR FILE.safetensors`."""
    parser = argparse.ArgumentParser(prog="python -m dgn.prior.half", description="Write a prior in half precision.")
    parser.add_argument("prior", help="a prior file or a run's folder")
    parser.add_argument("file", type=Path, help="the file to write")
    parser.add_argument("--most", type=float, metavar="MB", help="refuse to write a larger file")
    parser.add_argument("--card", type=Path, metavar="FILE.md", help="write a card beside it: what it is, its figures")
    parser.add_argument("--limits", type=Path, metavar="TEXT", help="a text file, for the card: what it cannot do")
    given = parser.parse_args(arguments)
    try:
        prior = Prior.load(find_prior(given.prior))
        difference = write_half(prior, given.file, given.most)
        if given.card:
            text = given.limits.read_text(encoding="utf-8").strip() if given.limits else ""
            kept = Prior.load(given.file)
            write_whole(given.card, card(kept, given.file.stem, given.file.stem, limits=text).encode())
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    size = given.file.stat().st_size / 1e6
    print(f"{size:.1f} MB; pictures differ by at most {difference:.4f} of white")
    print(given.file)


if __name__ == "__main__":
    main()
