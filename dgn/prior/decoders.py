"""Priors from autoencoders that others trained: their decoders paint, and their encoders give the codes.

    python -m dgn.prior.published rae FOLDER --images PICTURES --out rae.safetensors
    python -m dgn.prior.published autoencoder FOLDER --size 256 --out kl.safetensors

A representation autoencoder (RAE; Zheng et al. 2025, arXiv 2510.11690) decodes the features of a frozen network, as
DINOv2; others decode latent codes of their own (Rombach et al. 2022). The models come through Diffusers' own classes,
the extra `rae`.
"""

import json
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from dgn.data.hub import unreachable
from dgn.errors import UserError, first_line
from dgn.networks.autoencoders import (
    FAMILIES,
    LATENT,
    encoder_net,
    keep_buffers,
    model_class,
    model_config,
    unfit_versions,
)
from dgn.networks.encoder_names import paired
from dgn.networks.latent_decoder import LatentDecoder
from dgn.networks.siglip import known_to_diffusers
from dgn.networks.weights.text import listed
from dgn.prior.generator_prior import Prior
from dgn.prior.hub import failure_reason, hub_library
from dgn.prior.image_statistics import measure_folder
from dgn.prior.statistics import UnitStatistics

RAE = "AutoencoderRAE"


def import_autoencoder(
    where: str | Path,
    images: str | Path | None = None,
    count: int = 2000,
    size: int | None = None,
    subfolder: str | None = None,
    download: bool = False,
    classes: Sequence[str] = tuple(FAMILIES),
    axes: int | None = None,
) -> Prior:
    """Imports an autoencoder as a prior. The prior holds the weights of its decoder and of its encoder.

    Args:
        where: A folder in Diffusers' format (config.json and safetensors weights), or a name on the Hugging Face hub.
        images: A folder of images over which the statistics of the codes are measured; None: mean and standard
            deviation are those that the release states (`release_statistics`).
        count: The number of these images.
        size: Side of the images in pixels; None: that of the model's own configuration. A RAE has one size.
        subfolder: The model's folder in a release of several parts, e.g. "vae".
        download: Whether a name on the hub may be downloaded. If not, only the hub's cache is read.
        classes: The classes of Diffusers that are accepted.
        axes: The most principal axes of the codes of `images`; None: as many as take 16 MB, up to 256.

    Raises:
        UserError: If it is not found, damaged, or of another class.
        Unavailable: If Diffusers is not installed or too old.
    """
    if axes is not None and images is None:
        raise UserError(f"--axes {axes}: name the pictures over which they are fitted, --images FOLDER")
    folder = find_model(str(where), subfolder, download)
    name = _class_name(folder, classes)
    model = load_model(name, folder)
    code_shape, image_size = _checked(name, model, size, str(where))
    encoder = encoder_net(name, model, image_size)
    known = {"name": name, "spec": encoder.spec, "fingerprint": encoder.fingerprint()}
    about: dict[str, Any] = {"layer": LATENT, "encoder": known, "data": {}, "config": {}}
    about["training"] = {"published": name, "name": Path(where).name if Path(where).is_dir() else str(where)}
    if images is not None:
        statistics, about["data"] = measure_folder(encoder, LATENT, images, count, image_size, axes=axes)
    else:
        statistics = release_statistics(name, model, code_shape)
        about["statistics"] = {"release": True}
    generator = LatentDecoder.of(name, model, code_shape, image_size).requires_grad_(False).eval()
    tensors = dict(encoder.network.state_dict())
    return Prior(generator, statistics, about, tensors, source=str(where), _encoder=encoder)


def find_model(where: str, subfolder: str | None = None, download: bool = False) -> Path:
    """Returns the folder of a model, downloaded if the user says so.

    Args:
        where: A folder, or USER/NAME[@REVISION] on the hub.
        subfolder: The model's folder in it.
        download: Whether to download it if the hub's cache does not hold it.

    Raises:
        UserError: If it is not there.
    """
    folder = Path(where).expanduser()
    if not folder.is_dir():
        match = re.fullmatch(r"([\w.-]+/[\w.-]+)(?:@([\w./-]+))?", where)
        if match is None:
            raise UserError(f"{where}: no such folder; give a model's folder, or USER/NAME on the hub with --download")
        folder = _from_hub(match[1], match[2], subfolder, download)
    folder = folder / (subfolder or "")
    if not (folder / "config.json").is_file():
        inside = sorted(path.parent.name for path in folder.glob("*/config.json"))
        hint = f"; --subfolder {inside[0]} has one" if inside else "; give the folder that holds the model"
        raise UserError(f"{folder} is no model of Diffusers: it has no config.json{hint}")
    return folder


def load_model(name: str, folder: Path) -> Any:
    """Loads a model of one of Diffusers' classes from a folder, in float32.

    Raises:
        UserError: If the weights are not safetensors, damaged, or incomplete.
        Unavailable: If the installed libraries cannot make the class.
    """
    kind = model_class(name)
    logging.getLogger("diffusers").setLevel(logging.CRITICAL)  # errors are reported once, below
    try:
        with known_to_diffusers():
            model, found = kind.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, torch_dtype=torch.float32, low_cpu_mem_usage=False,
                output_loading_info=True,
            )  # fmt: skip
    except AttributeError as error:
        raise unfit_versions(name, error) from None
    except Exception as error:  # the library has no closed list of what a foreign file makes it raise
        raise UserError(
            f"{folder} cannot be read as a {name} with safetensors weights ({_reason(error)}); check its files, and "
            "the versions of diffusers and transformers (docs/decoders.md)"
        ) from None
    _add_renamed(model, found["missing_keys"], found["unexpected_keys"], folder)
    bad = [key for key, tensor in model.state_dict().items() if not tensor.isfinite().all()]
    if bad:
        raise UserError(f"{folder} is damaged: {bad[0]} holds values that are not finite")
    keep_buffers(model)
    return model.float().requires_grad_(False).eval()


def _add_renamed(model: nn.Module, missing: Sequence[str], left: Sequence[str], folder: Path) -> None:
    """Loads the weights that the release calls otherwise than the installed library does.

    Diffusers leaves such weights random, and only warns.

    Args:
        model: The model.
        missing: Names of its weights that were not found.
        left: Names in the release that were not used.
        folder: The release.

    Raises:
        UserError: If the release lacks weights, or one has another shape.
    """
    names = paired(missing, left)
    # What stands in the configuration, as the mean of the encoder's input, need not be among the weights.
    absent = sorted(set(missing) - set(names) - dict(model.named_buffers(recurse=False)).keys())
    if absent:
        raise UserError(
            f"{folder} lacks {len(absent)} weights of a {type(model).__name__} ({listed(absent)}); download it again"
        )
    given = set(names.values())
    weights: dict[str, Tensor] = {}
    for path in sorted(folder.glob("*.safetensors")) if names else []:
        with safe_open(path, framework="pt") as file:
            weights |= {name: file.get_tensor(name) for name in file.keys() if name in given}  # noqa: SIM118 (no dict)
    own = model.state_dict()
    for name, key in names.items():
        if weights[key].shape != own[name].shape:
            shapes = ("x".join(map(str, tensor.shape)) for tensor in (weights[key], own[name]))
            raise UserError(f"{folder}: {key} is {' and not '.join(shapes)}; download it again")
        own[name].copy_(weights[key])


def _reason(error: BaseException) -> str:
    """The first line of an error's message, and the second if the first only announces it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2]) if lines and lines[0].endswith(":") else first_line(error)


def release_statistics(name: str, model: nn.Module, code_shape: Sequence[int]) -> UnitStatistics:
    """Returns the statistics of codes that a release states; nothing is measured, and count is 0.

    A RAE normalizes its latents by their mean and standard deviation over real images. The others state a shift and a
    scale that bring latents to mean 0 and variance 1, or the mean and standard deviation of each channel; a VQ model
    has a codebook, whose entries are the codes.
    """
    config = model_config(model)
    channels = (code_shape[0], *[1] * (len(code_shape) - 1))
    mean, std = torch.zeros(()), torch.ones(())
    if name == RAE:
        std = torch.tensor(float(config["scaling_factor"]))
    elif name == "VQModel":
        entries = model.get_parameter("quantize.embedding.weight").detach()
        mean, std = entries.mean(0).view(channels), entries.std(0).view(channels)
    elif config.get("latents_mean") and config.get("latents_std"):
        mean, std = (torch.tensor(config[key]).view(channels) for key in ("latents_mean", "latents_std"))
    elif config.get("scaling_factor"):
        mean = torch.tensor(float(config.get("shift_factor") or 0.0))
        std = torch.tensor(1 / float(config["scaling_factor"]))
    mean, std = (value.expand(tuple(code_shape)).clone() for value in (mean, std))
    return UnitStatistics(mean, std, mean - 3 * std, mean + 3 * std, 0)


def _checked(name: str, model: Any, size: int | None, where: str) -> tuple[tuple[int, ...], int]:
    """The code's shape and the images' size in pixels, by one pass through encoder and decoder."""
    side = _own_size(name, model)
    if name == RAE and size not in (None, side):
        raise UserError(f"--size {size}: {where} decodes to {side} px and has no other size; leave --size out")
    side = size or side
    images = torch.zeros(1, 3, side, side)
    try:
        codes: Tensor = FAMILIES[name].encode(model, images)
        decoded = model.decode(codes).sample
    except (RuntimeError, ValueError, TypeError) as error:
        raise UserError(f"{where} cannot be run on images of {side} px ({first_line(error)}); give --size") from None
    if decoded.shape != images.shape:
        given = "x".join(map(str, decoded.shape[1:]))
        raise UserError(f"{where} makes {given} of images of 3x{side}x{side}; give another --size, as 256 or 512")
    return tuple(codes.shape[1:]), side


def _own_size(name: str, model: Any) -> int:
    if name == RAE:
        return int(model.decoder_image_size)
    size = model_config(model).get("sample_size") or 256
    return int(size if isinstance(size, int) else size[0])


def _class_name(folder: Path, classes: Sequence[str]) -> str:
    try:
        config: Any = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{folder / 'config.json'} cannot be read: {first_line(error)}") from None
    name = config.get("_class_name") if isinstance(config, Mapping) else None
    if name not in classes:
        command = f"; `{'rae' if name == RAE else 'autoencoder'}` imports it" if name in FAMILIES else ""
        raise UserError(f"{folder} is of class {name}, and here it must be one of: {', '.join(classes)}{command}")
    return str(name)


def _from_hub(name: str, revision: str | None, subfolder: str | None, download: bool) -> Path:
    hub = hub_library()
    away = unreachable() if download else None
    inside = f"{subfolder}/" if subfolder else ""
    try:
        found = hub.snapshot_download(
            name,
            revision=revision,
            allow_patterns=[f"{inside}config.json", f"{inside}*.safetensors", f"{inside}*.safetensors.index.json"],
            local_files_only=not download or away is not None,
        )
    except Exception as error:  # the hub's errors, and those of the network below it
        if not download:
            raise UserError(
                f"{name} is no folder, and not in the hub's cache here; add --download to download it from the hub"
            ) from None
        why = f"{away}, and it is not in the hub's cache here" if away else failure_reason(error)
        raise UserError(
            f"{name} cannot be downloaded ({why}); check the name, the network and `hf auth login`"
        ) from None
    return Path(found)
