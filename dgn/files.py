"""Files that appear whole or not at all, and where what is kept between runs lies."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_aside(path: str | Path) -> Iterator[Path]:
    """A path beside `path` to write to; when the block ends well it becomes `path` in one step, else it goes."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    os.close(handle)
    aside = Path(aside)
    try:
        yield aside
        with aside.open("rb") as written:
            os.fsync(written.fileno())
        aside.chmod(0o644)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def write_whole(path: str | Path, content: bytes | str) -> None:
    """Writes a file whole or not at all."""
    with written_aside(path) as aside:
        aside.write_bytes(content.encode() if isinstance(content, str) else content)


def cache_dir() -> Path:
    """Where the embedded encoder, judge and drawn pictures are kept for later runs: $DGN_CACHE, else
    $XDG_CACHE_HOME/dgn, else ~/.cache/dgn."""
    if "DGN_CACHE" in os.environ:
        return Path(os.environ["DGN_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "dgn"
