"""Checks a weights file before it is parsed, for all readers."""

import os
import zipfile
from pathlib import Path

from dgn.errors import UserError

# Common contents of files with the name of a weights file after a failed download or a wrong choice.
_NOT_WEIGHTS = {
    b"version https://git-lfs": "a git-lfs pointer, not the file itself: fetch it with 'git lfs pull'",
    b"<!doctype": "a web page, not weights: the download did not work, fetch the file again",
    b"<html": "a web page, not weights: the download did not work, fetch the file again",
    b"\x89hdf": "an HDF5 file, which is not read here: save it as .caffemodel, .pt or .safetensors",
}


def weights_file(path: str | Path) -> Path:
    """Returns `path` with ~ expanded, after checking that it is a readable file that is not empty.

    Raises:
        UserError: For other paths, and for common wrong files (a web page, a git-lfs pointer, HDF5).
    """
    path = Path(path).expanduser()
    if not os.path.exists(path):  # also for names that no file system takes, for which Path.exists() raises
        raise UserError(f"no weights file {path}: check the path (working directory: {Path.cwd()})")
    if not path.is_file():
        raise UserError(f"{path} is not a file: give the weights file in it")
    try:
        with path.open("rb") as file:
            start = file.read(64).lower()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}; check its permissions") from None
    if not start:
        raise UserError(f"{path} is empty: fetch or save it again")
    for magic, description in _NOT_WEIGHTS.items():
        if start.lstrip().startswith(magic):
            raise UserError(f"{path} is {description}")
    return path


def check_archive(path: Path) -> None:
    """Checks what a zip archive says of its contents, before memory is taken for them. Other files pass.

    Raises:
        UserError: If they would be over a hundred times as large as the file, as no numbers are.
    """
    try:
        if not zipfile.is_zipfile(path):
            return
        with zipfile.ZipFile(path) as archive:
            stated = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return  # the reader reports it
    if stated > max(_ANY_ARCHIVE, 100 * path.stat().st_size):
        raise UserError(
            f"{path} is damaged or hostile: {path.stat().st_size / 2**20:.1f} MiB that would become "
            f"{stated / 2**30:.1f} GiB; fetch or save it again"
        )


_ANY_ARCHIVE = 2**28
"""Bytes to which any archive may grow."""
