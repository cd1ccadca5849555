"""data.cache: stores decoded images, so that each is decoded once instead of in every epoch."""

import hashlib
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from dgn.data.dataset import Pictures
from dgn.data.packed import InMemory, PackedImages, Stored, pack, squares
from dgn.errors import UserError
from dgn.files import cache_dir
from dgn.runs.progress import Phase
from dgn.runs.threads import processors

log = logging.getLogger(__name__)

_VERSION = "2"
"""Incremented whenever scaling or decoding changes, so that older cache files are not used."""


def cached(source: Pictures | Stored, cache: str) -> Pictures | Stored:
    """Returns the source with its images decoded: the center square after the scaling of its transform.

    Args:
        source: The images. A source that has nothing to decode (Stored) is returned unchanged.
        cache: "none": the source itself; "ram": in memory; "disk": in a packed file in the cache folder
            (`dgn.files.cache_dir`), written at first use and reused until an image changes.

    Raises:
        UserError: For any other value of `cache`, or if reading or writing fails.
    """
    if cache not in ("none", "ram", "disk"):
        raise UserError(f"data.cache={cache!r}: give none, ram or disk")
    if cache == "none" or isinstance(source, Stored):
        return source
    size, workers = source.transform.resize, processors()
    about = f"{len(source)} pictures of {source.where} at {size} x {size} ({len(source) * 3 * size**2 / 2**30:.1f} GiB)"
    if cache == "ram":
        log.info("Decoding %s into memory, once", about)
        with shown_progress("Decoding images into memory, once for each run", len(source)) as progress:
            kept: Stored = InMemory(source, workers, progress)
        _say_bad(source)
        return kept
    shape = f"{source.transform.image_size} {size} {source.transform.square}"
    key = f"{_VERSION} {source.fingerprint()} {shape}"
    path = cache_dir() / "packed" / f"{hashlib.sha256(key.encode()).hexdigest()[:20]}.safetensors"
    if not path.exists():
        log.info("Packing %s; they are cached in %s", about, path)
        with shown_progress("Packing images, once for all runs", len(source)) as progress:
            pack(squares(source), path, workers, progress)
        _say_bad(source)
    return PackedImages(path, "all", image_size=source.transform.image_size, transform=source.transform)


def _say_bad(source: Pictures) -> None:
    if source.bad:
        log.warning("%d of the %d pictures cannot be read and were passed over", len(source.bad), len(source))


@contextmanager
def shown_progress(what: str, total: int) -> Iterator[Callable[[int, int], None]]:
    """Shows a progress bar on stderr if it is a terminal, else lines; yields a function of (done, total)."""
    if not sys.stderr.isatty():
        phase = Phase(total, what, "data.cache=none leaves it out")
        yield lambda done, _: phase.reached(done)
        return
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=total)
        yield lambda done, _: bar.update(task, completed=done)
