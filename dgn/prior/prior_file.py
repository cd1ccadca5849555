"""Reading a prior file, whose header and tensors are untrusted."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from dgn.errors import UserError
from dgn.networks.weights.text import short
from dgn.runs.programs import command

HEADER, FORMAT = "dgn_prior", 2
"""The name of the header, and the version of what it and the tensors hold."""
_OLDER = (1,)  # without a code model


def read_file(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Returns the header and the tensors of a prior file. Raises UserError for a file that is none."""
    if path.is_dir():
        raise UserError(f"{path} is a folder, not a prior file; a run's prior is prior.safetensors in its folder")
    if not path.is_file():
        raise UserError(f"no prior file {path}; `{command('train')}` makes one and prints its path last")
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(HEADER)
            if text is None:
                raise UserError(f"{path} is a safetensors file but no prior: it has no {HEADER!r} header")
            header = json.loads(text)
            if not isinstance(header, dict) or header.get("format") not in (FORMAT, *_OLDER):
                version = header.get("format") if isinstance(header, dict) else None
                raise UserError(
                    f"{path} is a prior of format {version!r}; this version of dgn reads formats up to {FORMAT}"
                )
            return header, {name: _whole(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except SafetensorError as error:
        raise UserError(f"{path} is truncated or not a prior file: {error}") from None
    except (ValueError, OSError, RecursionError) as error:
        raise UserError(f"{path} cannot be read as a prior: {error}") from None


def halved(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Returns the tensors of a prior with matrices and filters in float16.

    Tensors of one dimension, such as means, are unchanged, and so is the encoder, which is known by its fingerprint.

    Raises:
        UserError: If a value is beyond the range of float16.
    """
    half = dict(tensors)
    for name, tensor in tensors.items():
        if tensor.dtype == torch.float32 and tensor.ndim > 1 and not name.startswith("encoder."):
            half[name] = tensor.half()
    check_finite("the file in half precision", half)
    return half


def _whole(tensor: Tensor) -> Tensor:
    """A tensor in float32, if the file holds it in float16. Networks compute in float32 whatever the file holds.

    It is a copy: a view of the file is not aligned, and on such memory some kernels add in another order.
    """
    return tensor.float() if tensor.dtype == torch.float16 else tensor.clone()


def read_about(path: Path) -> dict[str, Any]:
    """Returns what a prior file says about itself, without building its networks. Raises UserError as `read_file`."""
    about: Any = read_file(path)[0].get("about")
    try:
        check_about(about)
    except (KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged: its header does not describe a prior ({short(repr(error))})") from None
    return dict(about)


def check_about(about: Any) -> None:
    """Checks what a prior says about itself. Raises KeyError or TypeError for what the rest of the package reads."""
    _require(about, ("layer", "encoder"), "about")
    _require(about["encoder"], ("spec", "fingerprint", "name"), "about.encoder")
    _require_types(about)


def _require(mapping: Any, keys: tuple[str, ...], where: str) -> None:
    missing = [key for key in keys if key not in mapping]
    if missing:
        raise KeyError(f"{where} lacks {', '.join(missing)}")


def _require_types(about: dict[str, Any]) -> None:
    """What the rest of the package reads of a header, and what it takes it for."""
    encoder = about["encoder"]
    for name, value, kind in (
        ("layer", about["layer"], str),
        ("encoder.spec", encoder["spec"], dict),
        ("encoder.name", encoder["name"], str),
        ("encoder.fingerprint", encoder["fingerprint"], str | None),
        *((key, about.get(key, {}), dict) for key in ("data", "training", "metrics", "config")),
    ):
        if not isinstance(value, kind):
            raise TypeError(f"about.{name} is {value!r}")


def split_parts(tensors: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Returns {part: {name: tensor}} of tensors by "part.name"; there always are generator, statistics and encoder."""
    parts: dict[str, dict[str, Tensor]] = {"generator": {}, "statistics": {}, "encoder": {}}
    for name, tensor in tensors.items():
        part, _, rest = name.partition(".")
        parts.setdefault(part, {})[rest] = tensor
    return parts


def check_finite(path: str | Path, tensors: dict[str, Tensor]) -> None:
    unusable = next((name for name, tensor in tensors.items() if not tensor.isfinite().all()), None)
    if unusable:
        raise UserError(f"{path} is damaged: {unusable} holds values that are not finite")


def check_kinds(path: str | Path, tensors: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """Raises UserError if tensors of checked names are whole numbers where others are expected, or the reverse."""
    wrong = [name for name, like in expected.items() if tensors[name].is_floating_point() != like.is_floating_point()]
    if wrong:
        raise UserError(f"{path} is damaged: {wrong[0]!r} is of {tensors[wrong[0]].dtype}")


def check_shapes(
    path: str | Path, tensors: dict[str, Tensor], expected: dict[str, Any], code: str | None = None
) -> None:
    """Raises UserError if tensors are missing, unexpected or of another shape. `code`: the user's, by which it is."""
    wrong = [name for name in expected if name not in tensors or tensors[name].shape != expected[name]]
    wrong += [name for name in tensors if name not in expected]
    if wrong and code is not None:
        raise UserError(
            f"{path} does not fit the generator that {code} makes: {len(wrong)} tensors are missing or of another "
            f"size, first {wrong[0]!r}; name the code as it was in training"
        )
    if wrong:
        raise UserError(f"{path} is damaged: {len(wrong)} tensors are missing or of another size, first {wrong[0]!r}")
