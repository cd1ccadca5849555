"""Reads PyTorch checkpoints and safetensors into a flat dict of named tensors.

Containers around the weights are opened. Code in a file is never executed.
"""

import argparse
import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from dgn.errors import UserError
from dgn.networks.weights.load import load_state_dict, without_wrappers
from dgn.networks.weights.paths import weights_file
from dgn.networks.weights.text import listed, short

__all__ = ["CONTAINERS", "load_state_dict", "read_state_dict"]

# Where checkpoints keep their weights, in the order of preference. Averaged weights come first, as in timm: they
# are what was evaluated, so they are the network that a paper or model card speaks of.
CONTAINERS = (
    *("state_dict_ema", "ema_state_dict", "model_ema", "ema_model", "params_ema", "ema"),
    *("state_dict", "model_state_dict", "model", "module", "network", "net", "weights", "params"),
)


def read_state_dict(path: str | Path, container: str | None = None) -> dict[str, Tensor]:
    """The named tensors of a .pt, .pth, .th, .ckpt, .bin or .safetensors file, on the CPU.

    Goes by the content, not the ending. A checkpoint's containers are opened, one in another if need be, in the
    order of `CONTAINERS`; prefixes within the names are left as they are, for `load_state_dict` to drop.
    container: the container to take instead ("model" where there is an "ema" too; "a.b" for one in another), or
    a prefix of the names.

    Nothing in the file is executed: pickles are read with torch.load(weights_only=True). Errors: UserError for a
    file that is missing, damaged, not a weights file, in need of execution (whole pickled modules), or that has
    several possible containers and no known one among them.
    """
    path = weights_file(path)
    content = _read(path)
    if container is None:
        return _open_containers(content, path)
    return _named_container(content, container, path)


def _read(path: Path) -> object:
    """Reads the file by its first bytes: safetensors, a pickle in a zip archive, or a bare pickle."""
    with path.open("rb") as file:
        start = file.read(9)
    is_safetensors = start[8:] == b"{"  # behind the header's length, its JSON
    if not is_safetensors and not start.startswith((b"PK", b"\x80")):
        raise UserError(
            f"{path} is not a weights file that is read here: give a PyTorch state dict "
            "(.pt, .pth, .th, .ckpt, .bin) or .safetensors"
        )
    # Namespace, the 'args' of many training scripts, is a bag of attributes: making one executes nothing.
    with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of TorchScript before it refuses it
        try:
            return load_file(path) if is_safetensors else torch.load(path, map_location="cpu", weights_only=True)
        # A damaged pickle can make the unpickler fail in any way there is (IndexError, KeyError, ...).
        except Exception as error:
            message = str(error).strip() or type(error).__name__
    if why := _needs_execution(message):
        raise UserError(
            f"{path} {why}, which could execute code and is not loaded: in a process that trusts the file, "
            "save the weights alone with torch.save(model.state_dict(), ...) or as safetensors"
        )
    reason = short(message.partition("WeightsUnpickler error: ")[2] or message).partition("\n")[0].partition(". ")[0]
    raise UserError(f"{path} is damaged or not a weights file ({reason}): fetch or save it again")


def _needs_execution(message: str) -> str | None:
    """What torch.load(weights_only=True) refused, from its message; None if it failed for another reason."""
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


def _open_containers(content: object, path: Path) -> dict[str, Tensor]:
    """The weights in a checkpoint, through all containers around them."""
    for _ in range(_MAX_DEPTH):
        inner = _containers(content)
        known = next((name for name in CONTAINERS if name in inner), None)
        if known is not None:
            content = inner[known]
        elif isinstance(content, Mapping) and any(isinstance(value, Tensor) for value in content.values()):
            return dict(_tensors(content))
        elif len(inner) == 1:
            (content,) = inner.values()
        elif inner:
            raise UserError(f"{path} holds several sets of weights, choose one: container= {listed(inner, 20)}")
        else:
            break
    kind = "a dict without named tensors" if isinstance(content, Mapping) else f"a {type(content).__name__}"
    raise UserError(f"{path} holds {kind}, not named weights: save model.state_dict() in it")


def _named_container(content: object, container: str, path: Path) -> dict[str, Tensor]:
    """What `container` names in the file: a container, one in another, or a prefix of the names."""
    inside = content
    for name in container.split("."):
        inside = inside.get(name) if isinstance(inside, Mapping) else None
    if isinstance(inside, Mapping) and any(True for _ in _tensors(inside)):
        return _open_containers(inside, path)
    inner = _containers(content)
    for held in (content, *inner.values()):
        names = dict(_tensors(held)) if isinstance(held, Mapping) else {}
        if chosen := {
            name: value
            for name, value in names.items()
            if name.startswith(f"{container}.") or without_wrappers(name).startswith(f"{container}.")
        }:
            return chosen
    there = list(inner) or sorted({name.partition(".")[0] for name in names})
    raise UserError(f"no weights under {container!r} in {path}; there are: {listed(there, 20)}")


_MAX_DEPTH = 32
_OF_TRAINING = re.compile(r"optimizer|schedul|(?:^|_)(?:optim|scaler|amp|callbacks|loops|args|config|rng)$")


def _containers(content: object) -> dict[str, Mapping]:
    """The entries of a checkpoint that hold named tensors and are not the state of its training."""
    entries = content.items() if isinstance(content, Mapping) else ()
    return {
        name: value
        for name, value in entries
        if isinstance(name, str)
        and isinstance(value, Mapping)
        and not _OF_TRAINING.search(name)
        and any(True for _ in _tensors(value))
    }


def _tensors(content: Mapping) -> Iterator[tuple[str, Tensor]]:
    """All tensors under string keys, those of dicts in dicts too, by dotted name."""
    seen = {id(content)}  # a pickle can hold a dict that holds itself
    waiting: list[tuple[str, Mapping, int]] = [("", content, 0)]
    while waiting:
        prefix, mapping, depth = waiting.pop()
        for name, value in mapping.items():
            if isinstance(name, str):
                if isinstance(value, Tensor):
                    yield prefix + name, value.detach()
                elif isinstance(value, Mapping) and id(value) not in seen and depth < _MAX_DEPTH:
                    seen.add(id(value))
                    waiting.append((f"{prefix}{name}.", value, depth + 1))
