"""Reads the file of a dictionary: its arrays, and what it or a configuration beside it says of them.

Nothing in a file is executed: .pt is read by torch.load(weights_only=True), .npy and .npz without pickles.
"""

import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from dgn.errors import UserError
from dgn.networks.weights.paths import check_archive, weights_file
from dgn.networks.weights.state_dict import open_containers, read_checkpoint
from dgn.networks.weights.text import listed, short

_IN_FOLDERS = ("sae_weights.safetensors", "sae.safetensors", "model.safetensors", "weights.pt", "sae.pt", "ae.pt")
_CONFIGS = ("cfg.json", "config.json")
_LONGEST_CONFIG = 16 * 2**20
_LARGEST_ARCHIVE = 16 * 2**30
_NUMPY = (b"\x93NUMPY", b"PK")


@dataclass(frozen=True)
class DictionaryFile:
    """The content of a dictionary's file.

    Attributes:
        path: The file.
        tensors: Its arrays of numbers by name, float32; the array of an .npy file is called "array".
        config: What the file, or the configuration beside it, says.
        texts: Its arrays of text by name, such as labels.
    """

    path: Path
    tensors: Mapping[str, Tensor]
    config: Mapping[str, Any] = field(default_factory=dict)
    texts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def labels(self, count: int) -> tuple[str, ...]:
        """Returns the names of the dictionary's units; () if it has none. Raises UserError if they are not `count`."""
        given: list[Sequence[Any]] = [texts for key, texts in self.texts.items() if key in LABELS]
        given += [value for key, value in self.config.items() if key in LABELS and isinstance(value, list)]
        names = tuple(map(str, given[0])) if given else ()
        if names and len(names) != count:
            raise UserError(f"{self.path} has {len(names)} labels for {count} units; there must be one for each")
        return names


LABELS = ("labels", "names", "classes", "classes_")
"""Names under which a file has the names of its units."""


def read_dictionary(file: str) -> DictionaryFile:
    """Reads the file of a dictionary, or the only one that a folder holds.

    Raises:
        UserError: If it is missing, damaged or of no format that is read, or if it holds numbers that are not finite.
    """
    path = _file_in(Path(file).expanduser())
    with path.open("rb") as opened:
        start = opened.read(8)
    if path.suffix.lower() in (".npy", ".npz") or start.startswith(_NUMPY[0]):
        content = _read_numpy(path, start)
    elif start.startswith(b"{") and (header := _first_line(path)) is not None:
        state = open_containers(read_checkpoint(path, header[1]), path)
        content = DictionaryFile(path, state, header[0])
    else:
        checkpoint = read_checkpoint(path)
        config = _safetensors_header(path) | _config_inside(checkpoint) | _config_beside(path)
        content = DictionaryFile(path, open_containers(checkpoint, path), config)
    tensors = {name: _numbers(name, tensor, path) for name, tensor in content.tensors.items()}
    return DictionaryFile(path, tensors, content.config, content.texts)


def _file_in(path: Path) -> Path:
    if not os.path.exists(path):  # also for names that no file system takes
        raise UserError(f"no dictionary file {path}: check the path (working directory: {Path.cwd()})")
    if path.is_dir():
        there = [path / name for name in _IN_FOLDERS if (path / name).is_file()]
        if len(there) != 1:
            found = listed(file.name for file in there) or "none"
            raise UserError(f"{path} is a folder with {found} of {', '.join(_IN_FOLDERS)}: name the dictionary's file")
        path = there[0]
    return weights_file(path)


def _read_numpy(path: Path, start: bytes) -> DictionaryFile:
    """Reads .npy and .npz; the sizes that a file claims are checked before memory is taken for them."""
    try:
        if start.startswith(_NUMPY[0]):
            array = np.array(np.load(path, mmap_mode="r", allow_pickle=False))
            arrays = {"array": array}
        else:
            check_archive(path)
            with zipfile.ZipFile(path) as archive:
                size = sum(entry.file_size for entry in archive.infolist())
            if size > _LARGEST_ARCHIVE:
                raise UserError(f"{path} holds {size / 2**30:.0f} GiB; an .npz of at most 16 GiB is read")
            with np.load(path, allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
                if not all(isinstance(array, np.ndarray) for array in arrays.values()):
                    raise ValueError("an entry is no array")
    except UserError:
        raise
    # Damaged files raise many exceptions: zlib's, the tokenizer's (numpy parses the header of .npy as Python), ...
    except Exception as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise UserError(f"{path} cannot be read as numbers: {reason}") from None
    tensors, texts, config = {}, {}, {}
    for name, array in arrays.items():
        if array.dtype.kind == "U" and array.ndim == 0:
            config[name] = str(array)
        elif array.dtype.kind == "U":
            texts[name] = tuple(map(str, array.flatten()))
        elif array.dtype.kind in "fiu":
            tensors[name] = torch.from_numpy(array.astype(np.float32))
    return DictionaryFile(path, tensors, config | _config_beside(path), texts)


def _first_line(path: Path) -> tuple[dict[str, Any], int] | None:
    """Returns the JSON object in the first line of a file (saev) and the line's length; None if there is none."""
    with path.open("rb") as file:
        line = file.readline(_LONGEST_CONFIG)
    try:
        config = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return (config, len(line)) if isinstance(config, dict) else None


def _config_inside(checkpoint: object) -> dict[str, Any]:
    """Returns the configuration that a checkpoint holds beside its state dict (Prisma); {} if there is none."""
    inside = [checkpoint.get(key) for key in ("cfg", "config")] if isinstance(checkpoint, Mapping) else []
    found: Mapping[str, Any] = next((value for value in inside if isinstance(value, Mapping)), {})
    return {key: value for key, value in found.items() if not isinstance(value, Tensor)}


def _safetensors_header(path: Path) -> dict[str, Any]:
    """Returns the metadata of a safetensors file, with values that are JSON decoded; {} for other files."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError):
        return {}
    return {key: _decoded(value) for key, value in metadata.items()}


def _decoded(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _config_beside(path: Path) -> dict[str, Any]:
    """Returns the configuration in a JSON file beside the dictionary: NAME.json, cfg.json or config.json."""
    for name in (f"{path.stem}.json", *_CONFIGS):
        beside = path.with_name(name)
        if not beside.is_file():
            continue
        if beside.stat().st_size > _LONGEST_CONFIG:
            raise UserError(f"{beside} is too large for a configuration: over 16 MiB")
        try:
            config = json.loads(beside.read_text(encoding="utf-8-sig"))
        except (OSError, ValueError, RecursionError) as error:
            raise UserError(f"{beside}, the configuration of {path.name}, cannot be read: {error}") from None
        if not isinstance(config, dict):
            raise UserError(f"{beside}, the configuration of {path.name}, is a {type(config).__name__}, not an object")
        return config
    return {}


def _numbers(name: str, tensor: Tensor, path: Path) -> Tensor:
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta:
        raise UserError(f"{path}: {short(name)} is not a plain tensor: save it as one")
    numbers = tensor.float()
    wrong = int((~numbers.isfinite()).sum())
    if wrong:
        raise UserError(
            f"{path}: {short(name)} holds {wrong} of {numbers.numel()} numbers that are not finite; save it again"
        )
    return numbers
