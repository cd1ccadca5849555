"""Files of scores, as experiments write them: .csv, .npy, .h5 and .mat."""

import csv
import io
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgn.errors import UserError, first_line

Scores = NDArray[np.float64]

SUFFIXES = (".csv", ".npy", ".h5", ".mat")
_NO_SCORE = ("", "nan", "na", "null", "none")


def read_scores(path: Path, files: Sequence[str], channels: int) -> Scores:
    """Reads the scores of a block's images, (images, channels); NaN where there is none.

    Rows are in the order of the images. In a .csv file the first column may hold the images' names instead, and rows
    may then be in any order, and some be missing; a line of headings is skipped. .h5 and .mat files hold an array
    `scores`, or one array alone.

    Args:
        path: the file.
        files: the names of the images, in order.
        channels: the number of scores of an image.

    Raises:
        UserError: for a file that cannot be read, or not of this shape; one line.
    """
    try:
        values = _READERS[path.suffix.lower()](path, files)
    except UserError:
        raise
    except Exception as error:  # a damaged file can make a reader raise anything
        raise UserError(f"{path} cannot be read ({type(error).__name__}: {first_line(error)[:100]})") from None
    if values.ndim == 1 or 1 in values.shape:
        values = values.reshape(-1, 1) if channels == 1 else values.reshape(1, -1)
    if values.shape != (len(files), channels):
        shape = "x".join(map(str, values.shape))
        raise UserError(f"{path} holds {shape} scores; {len(files)}x{channels} (images x scores) are expected")
    return values


def _read_csv(path: Path, files: Sequence[str]) -> Scores:
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = [[entry.strip() for entry in row] or [""] for row in csv.reader(file)]
    while rows and not any(rows[-1]) and len(rows[-1]) == 1:
        rows.pop()  # an empty line elsewhere is an image without a score
    if rows and all(_number(entry) is None for entry in rows[0]) and rows[0][0] not in files:
        rows = rows[1:]  # headings
    if not rows:
        raise UserError(f"{path} holds no scores")
    named = [Path(row[0]).name for row in rows]
    if named[0] in files:
        unknown = [name for name in named if name not in files]
        if unknown:
            raise UserError(f"{path} names {unknown[0]!r}, which is no image of this block")
        if len(set(named)) < len(named):
            raise UserError(f"{path} names an image twice")
        missing = [""] * (len(rows[0]) - 1)
        known = {name: row[1:] for name, row in zip(named, rows, strict=True)}
        rows = [known.get(name, missing) for name in files]
    width = len(rows[0])
    values = np.full((len(rows), width), np.nan)
    for i, row in enumerate(rows):
        if len(row) != width:
            raise UserError(f"{path} has {len(row)} columns in row {i + 1}, and {width} in the first")
        for k, entry in enumerate(row):
            value = _number(entry)
            if value is None:
                raise UserError(f"{path} has {entry[:30]!r} in row {i + 1}; a number or nan is expected")
            values[i, k] = value
    return values


def _number(entry: str) -> float | None:
    if entry.lower() in _NO_SCORE:
        return float("nan")
    try:
        return float(entry)
    except ValueError:
        return None


def _read_npy(path: Path, _: Sequence[str]) -> Scores:
    return _numbers(np.load(path, allow_pickle=False), path)


def _read_h5(path: Path, _: Sequence[str]) -> Scores:
    try:
        import h5py
    except ImportError:
        raise UserError(
            f"{path}: .h5 files need the library h5py: pip install 'dgn[evolution]'; or write .csv"
        ) from None
    with h5py.File(path, "r") as file:
        arrays = {name: entry[()] for name, entry in file.items() if isinstance(entry, h5py.Dataset)}
    return _numbers(_only(arrays, path), path)


def _read_mat(path: Path, files: Sequence[str]) -> Scores:
    # In a process of its own: scipy's reader crashes on some damaged files, and an experiment must not end with it.
    done = subprocess.run([sys.executable, "-c", _LOAD_MAT, str(path)], capture_output=True, timeout=120)
    if done.returncode == _IS_HDF5:
        return _read_h5(path, files).T  # MATLAB's format since 7.3 is HDF5, with the axes in reverse
    if done.returncode:
        raise ValueError("it is damaged or no .mat file")
    with np.load(io.BytesIO(done.stdout), allow_pickle=False) as stored:
        return _numbers(_only(dict(stored), path), path)


_IS_HDF5 = 3
_LOAD_MAT = f"""
import io, sys
import numpy as np
from scipy.io import loadmat
try:
    arrays = loadmat(sys.argv[1])
except NotImplementedError:
    sys.exit({_IS_HDF5})
arrays = {{name: np.asarray(value) for name, value in arrays.items() if not name.startswith("__")}}
plain = {{name: v if v.dtype.kind in "fiub" else np.array(str(v.dtype)) for name, v in arrays.items()}}
file = io.BytesIO()
np.savez(file, **plain)
sys.stdout.buffer.write(file.getvalue())
"""


def _only(arrays: dict[str, Any], path: Path) -> Any:
    """Returns the array `scores`, or the only one."""
    if "scores" in arrays:
        return arrays["scores"]
    if len(arrays) != 1:
        raise UserError(f"{path} holds {', '.join(sorted(arrays)) or 'no array'}; name the one of the scores `scores`")
    return next(iter(arrays.values()))


def _numbers(values: Any, path: Path) -> Scores:
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        raise UserError(f"{path} holds {array.dtype}, and numbers are expected")
    return array.astype(np.float64)


_READERS = {".csv": _read_csv, ".npy": _read_npy, ".h5": _read_h5, ".mat": _read_mat}
