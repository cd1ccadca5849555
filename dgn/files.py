"""Atomic file writes, the cache folder, and file names."""

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dgn.errors import UserError


@contextmanager
def written_aside(path: str | Path) -> Iterator[Path]:
    """Yields a temporary path beside `path` to write to.

    If the block succeeds, the temporary file replaces `path` in one step; otherwise it is removed. Missing parent
    folders are created.

    Raises:
        UserError: If the file cannot be written.
    """
    path = Path(path)
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield aside
        with aside.open("r+b") as written:  # Windows writes only what is open for writing
            os.fsync(written.fileno())
        aside.replace(path)
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"cannot write {path}: {reason}; choose a path that can be written") from error
    finally:
        aside.unlink(missing_ok=True)


def sha256(path: str | Path) -> str:
    """Returns the SHA-256 of a file's content, in hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def kept_as(path: Path, earlier: Path) -> None:
    """Keeps the file at `path`, which is about to be replaced, as `earlier` as well, without copying it.

    At every moment both paths hold a complete file. On file systems without hard links `path` is moved to `earlier`.
    """
    aside = earlier.with_name(f".{earlier.name}.{os.getpid()}.part")
    try:
        os.link(path, aside)
        aside.replace(earlier)
    except (OSError, AttributeError):  # no hard links on this file system, or in this Python
        path.replace(earlier)
    finally:
        aside.unlink(missing_ok=True)


def write_whole(path: str | Path, content: bytes | str) -> None:
    """Writes a file atomically: either all of its content is written, or the file is not changed."""
    with written_aside(path) as aside:
        aside.write_bytes(content.encode() if isinstance(content, str) else content)


def relative_path(path: Path, folder: Path) -> str:
    """Returns the path relative to a folder, with forward slashes, as links have it on every system.

    It is absolute where there is no relative one: on another drive of Windows.
    """
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:
        return Path(path).absolute().as_posix()


def cache_dir() -> Path:
    """Returns the folder that caches the embedded encoder and judge and the drawn pictures.

    $DGN_CACHE, else $XDG_CACHE_HOME/dgn, else ~/.cache/dgn.
    """
    if "DGN_CACHE" in os.environ:
        return Path(os.environ["DGN_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "dgn"


def image_name(objective: str, seed: int) -> str:
    """The file name of an objective's preferred image: `fc8-house-seed0.png` for `fc8:house`. See `file_stem`."""
    return f"{file_stem(objective)}-seed{seed}.png"


def file_stem(objective: str) -> str:
    """Returns the stem of the file names of an objective: `fc8-house` for `fc8:house`.

    The stem is valid on every file system, deterministic, and unique to the objective, also where the file system
    ignores case. An objective that a file name cannot represent exactly gets a hash after `--`
    (`fc8-0+0.5xfc8-3--1c0c6e0f2d`).
    """
    stem = objective.replace(":", "-")
    if not re.fullmatch(r"[a-z0-9_][a-z0-9_.]*:[a-z0-9_.,@]+", objective) or len(objective) > _LONGEST:
        stem = re.sub(r"[^\w.,@+]+", "-", stem.replace("*", "x"), flags=re.ASCII).strip("-.")[:_LONGEST]
        digest = hashlib.sha256(objective.encode("utf-8", "surrogatepass")).hexdigest()[:10]
        stem = f"{stem or 'unit'}--{digest}"
    return stem


_LONGEST = 96  # with hash, seed and ".png" far below the 255 bytes that file systems take
