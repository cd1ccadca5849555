"""Reads PyTorch checkpoints and safetensors into a flat dict of named tensors.

Weights are also read from nested containers ("state_dict", "model", ...). Code in a file is never executed.
"""

import argparse
import io
import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from dgn.errors import UserError
from dgn.networks.weights.load import load_state_dict, without_wrappers
from dgn.networks.weights.paths import check_archive, weights_file
from dgn.networks.weights.text import listed, short

__all__ = ["CONTAINERS", "load_state_dict", "read_state_dict"]

# The keys under which checkpoints store their weights, in order of preference. Averaged weights come first, as in
# timm, because papers and model cards report results with them.
CONTAINERS = (
    *("state_dict_ema", "ema_state_dict", "model_ema", "ema_model", "params_ema", "ema"),
    *("state_dict", "model_state_dict", "model", "module", "network", "net", "weights", "params"),
)


def read_state_dict(path: str | Path, container: str | None = None) -> dict[str, Tensor]:
    """Returns the named tensors of a .pt, .pth, .th, .ckpt, .bin or .safetensors file, on the CPU.

    The format is recognized by the content, not by the suffix. Nothing in the file is executed: pickles are read with
    torch.load(weights_only=True).

    Args:
        path: The file.
        container: The container to read ("model" if the file also has "ema"; "a.b" for a nested one), or a prefix of
            the names; None: containers are opened in the order of `CONTAINERS`, also nested ones. Prefixes of the
            names are not removed; `load_state_dict` does this.

    Raises:
        UserError: If the file is missing, damaged or not a weights file, if reading it would execute code (pickled
            modules), or if it has several containers and none of them is in `CONTAINERS`.
    """
    path = weights_file(path)
    content = read_checkpoint(path)
    if container is None:
        return open_containers(content, path)
    return _named_container(content, container, path)


def read_checkpoint(path: Path, offset: int = 0) -> object:
    """Returns the content of a checked file by its first bytes: safetensors, a pickle in a zip archive, a bare pickle.

    Args:
        path: The file, as from `weights_file`.
        offset: The number of bytes before the checkpoint, where another library has written a line of its own.

    Raises:
        UserError: As `read_state_dict`.
    """
    with path.open("rb") as file:
        file.seek(offset)
        start = file.read(9)
        file.seek(offset)
        rest = io.BytesIO(file.read()) if offset else path
    is_safetensors = start[8:] == b"{"  # the JSON header, after its length
    if (offset and is_safetensors) or not (is_safetensors or start.startswith((b"PK", b"\x80"))):
        raise UserError(
            f"{path} is not a weights file of a supported format: give a PyTorch state dict "
            "(.pt, .pth, .th, .ckpt, .bin) or .safetensors"
        )
    check_archive(path)
    # Many training scripts save their 'args', a Namespace. Creating one only sets attributes and executes nothing.
    with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of TorchScript before it refuses it
        try:
            return load_file(path) if is_safetensors else torch.load(rest, map_location="cpu", weights_only=True)
        # With a damaged pickle the unpickler can raise any exception (IndexError, KeyError, ...).
        except Exception as error:
            message = str(error).strip() or type(error).__name__
    if refused := _needs_execution(message):
        raise UserError(
            f"{path} {refused}, which could execute code and is not loaded: in a process that trusts the file, "
            "save the weights alone with torch.save(model.state_dict(), ...) or as safetensors"
        )
    reason = short(message.partition("WeightsUnpickler error: ")[2] or message).partition("\n")[0].partition(". ")[0]
    raise UserError(f"{path} is damaged or not a weights file ({reason}): fetch or save it again")


def _needs_execution(message: str) -> str | None:
    """Returns what torch.load(weights_only=True) refused, by its message; None if it failed for another reason."""
    if "TorchScript" in message:
        return "is a TorchScript archive"
    if "legacy .tar" in message:
        return "is in torch's format of 2016"
    if match := re.search(r"[Uu]nsupported (?:global|class|GLOBAL)\W+(?:GLOBAL )?([\w.]+)", message):
        return f"holds more than tensors ({short(match[1])})"
    # Opcodes of pickle protocols 4 and 5, which torch.save does not write unless told to.
    if (match := re.search(r"Unsupported operand (\d+)", message)) and 140 <= int(match[1]) <= 151:
        return "is pickled by a newer protocol than torch.save's own"
    return None


def open_containers(content: object, path: Path) -> dict[str, Tensor]:
    """Returns the weights in a checkpoint, opening nested containers."""
    for _ in range(_MAX_DEPTH):
        inner = _containers(content)
        preferred = next((name for name in CONTAINERS if name in inner), None)
        if preferred is not None:
            content = inner[preferred]
        elif isinstance(content, Mapping) and any(isinstance(value, Tensor) for value in content.values()):
            return dict(_tensors(content))
        elif len(inner) == 1:
            (content,) = inner.values()
        elif inner:
            raise UserError(f"{path} contains several sets of weights: choose one with container= {listed(inner, 20)}")
        else:
            break
    kind = "a dict without named tensors" if isinstance(content, Mapping) else f"a {type(content).__name__}"
    raise UserError(f"{path} holds {kind}, not named weights: save model.state_dict() in it")


def _named_container(content: object, container: str, path: Path) -> dict[str, Tensor]:
    """Returns the weights in the given container (nested ones with dots), or under a prefix of the names."""
    inside = content
    for name in container.split("."):
        inside = inside.get(name) if isinstance(inside, Mapping) else None
    if isinstance(inside, Mapping) and any(True for _ in _tensors(inside)):
        return open_containers(inside, path)
    inner = _containers(content)
    for mapping in (content, *inner.values()):
        names = dict(_tensors(mapping)) if isinstance(mapping, Mapping) else {}
        if chosen := {
            name: value
            for name, value in names.items()
            if name.startswith(f"{container}.") or without_wrappers(name).startswith(f"{container}.")
        }:
            return chosen
    available = list(inner) or sorted({name.partition(".")[0] for name in names})
    raise UserError(f"no weights under {container!r} in {path}; available: {listed(available, 20)}")


_MAX_DEPTH = 32
_TRAINING_STATE = re.compile(r"optimizer|schedul|(?:^|_)(?:optim|scaler|amp|callbacks|loops|args|config|rng)$")


def _containers(content: object) -> dict[str, Mapping]:
    """Returns the entries of a checkpoint that contain named tensors, without optimizer state and the like."""
    entries = content.items() if isinstance(content, Mapping) else ()
    return {
        name: value
        for name, value in entries
        if isinstance(name, str)
        and isinstance(value, Mapping)
        and not _TRAINING_STATE.search(name)
        and any(True for _ in _tensors(value))
    }


def _tensors(content: Mapping) -> Iterator[tuple[str, Tensor]]:
    """Yields all tensors under string keys, also in nested dicts, with their dotted names."""
    visited = {id(content)}  # a dict in a pickle can contain itself
    waiting: list[tuple[str, Mapping, int]] = [("", content, 0)]
    while waiting:
        prefix, mapping, depth = waiting.pop()
        for name, value in mapping.items():
            if isinstance(name, str):
                if isinstance(value, Tensor):
                    yield prefix + name, value.detach()
                elif isinstance(value, Mapping) and id(value) not in visited and depth < _MAX_DEPTH:
                    visited.add(id(value))
                    waiting.append((f"{prefix}{name}.", value, depth + 1))
