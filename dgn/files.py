"""Files that appear whole or not at all, and where what is kept between runs lies."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dgn.errors import UserError


@contextmanager
def written_aside(path: str | Path) -> Iterator[Path]:
    """A path beside `path` to write to; when the block ends well it becomes `path` in one step, else it goes.
    Missing parent folders are made. Raises UserError where the file system refuses."""
    path = Path(path)
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield aside
        with aside.open("rb") as written:
            os.fsync(written.fileno())
        aside.replace(path)
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"cannot write {path}: {reason}; choose a path that can be written") from error
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
