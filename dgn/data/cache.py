"""data.cache: stores decoded images, so that each is decoded once instead of in every epoch.

`data.cache=codes` also stores what a training computes of them (`dgn.training.code_cache`).
"""

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

VIEWS = 2
"""The default number of views of each image whose codes are kept."""

_VERSION = "2"
"""Incremented whenever scaling or decoding changes, so that older cache files are not used."""


def code_views(cache: str | bool) -> int:
    """Returns how many views of each image data.cache=codes keeps; 0 for other caches.

    Args:
        cache: The value of data.cache: "codes" (two views), or "codes:N".

    Raises:
        UserError: If N is not a number of views.
    """
    name, colon, count = str(cache).partition(":")
    if name != "codes":
        return 0
    if not colon:
        return VIEWS
    if not count.isdecimal() or int(count) < 1:
        raise UserError(f"data.cache={cache}: give codes:N with N views of each image, at least 1")
    return int(count)


def image_cache(cache: str) -> str:
    """Returns how images are kept for a value of data.cache: with codes, on disk."""
    return "disk" if code_views(cache) else cache


def cached(source: Pictures | Stored, cache: str) -> Pictures | Stored:
    """Returns the source with its images decoded: the center square after the scaling of its transform.

    Args:
        source: The images. A source that has nothing to decode (Stored) is returned unchanged.
        cache: "none": the source itself; "ram": in memory; "disk": in a packed file in the cache folder
            (`dgn.files.cache_dir`), written at first use and reused until an image changes; "codes": as "disk".

    Raises:
        UserError: For any other value of `cache`, or if reading or writing fails.
    """
    cache = image_cache(cache)
    if cache not in ("none", "ram", "disk"):
        raise UserError(f"data.cache={cache!r}: give none, ram, disk or codes")
    if cache == "none" or isinstance(source, Stored):
        return source
    size, workers = source.transform.resize, processors()
    height, width = source.transform.extent
    gib = len(source) * source.channels * height * width / 2**30
    about = f"{len(source)} pictures of {source.where} at {height} x {width} ({gib:.1f} GiB)"
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
