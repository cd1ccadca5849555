"""Networks of torchvision and timm by name, as published by these libraries.

Weights, input size, crop, mean, standard deviation and class names come with the model.
"""

import difflib
import math
import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

import torch
from torch import Tensor, nn

from dgn.errors import UserError, first_line
from dgn.networks.assemble import arguments, assemble
from dgn.networks.featurenet import FeatureNet
from dgn.networks.inputs import InputSpace
from dgn.networks.network_settings import NetworkSettings
from dgn.networks.weights.state_dict import read_state_dict
from dgn.runs.ranks import interactive


def torchvision(name: str | None = None, args: Mapping[str, Any] | None = None, **settings: Any) -> FeatureNet:
    """Builds any classification model of torchvision.

    Input size, crop, mean, std and labels are those of the weights' own transforms, or of the default weights'
    transforms if weights is None or a file.

    Args:
        name: A name from `torchvision.models.list_models`.
        args: Further arguments of the model's builder.
        settings: Fields of `NetworkSettings`. weights may also be DEFAULT or the name of any of the model's weights
            (IMAGENET1K_V1), which are downloaded if they are not in torch.hub's folder.

    Raises:
        UserError: If the name is unknown or the weights are not available.
    """
    from torchvision import models  # in functions, as importing torchvision takes seconds

    args, given = arguments(args), NetworkSettings.from_keywords("torchvision", ("name", "args"), settings)
    name = _known("torchvision", name, models.list_models(module=models))
    entries = models.get_model_weights(name)
    entry = _entry(entries, given.weights)
    state: Mapping[str, Tensor] | None = None
    if entry is not None:
        given = replace(given, weights=entry.name)
        state = read_state_dict(_downloaded(entry.url, f"torchvision's {name} ({entry.name})"))
    elif given.weights is not None:
        _check_file(given.weights, [member.name for member in entries])
        state = given.read()
    if name in _WITH_HEADS and any(".aux" in f".{key.lower()}" for key in state or {}):
        args = {"aux_logits": True, **args}
    published = entry or next(iter([entries.DEFAULT] if len(entries) else []), None)
    labels = () if published is None else published.meta["categories"]
    space = _published_space(published)

    def make(classes: int) -> nn.Module:
        wanted = {"num_classes": classes, **_published_args(name, state is not None), **args}
        height, width = space.overridden(**given.space).size or (224, 224)
        # Only calling the builder tells whether a model has a fixed size and what that argument is called.
        sizes: list[dict[str, Any]] = [{"image_size": height}] if height == width else []
        for size in [*sizes, {"input_size": (height, width)}, {}]:
            try:
                return models.get_model(name, weights=None, **(size | wanted))
            except TypeError as error:
                reason = error
            except (ValueError, AssertionError) as error:
                cause = first_line(error)
                raise UserError(
                    f"torchvision's {name} cannot be made for {height}x{width} pixels ({cause}); "
                    "give another input_size"
                ) from None
        raise UserError(f"torchvision's {name} does not take these args ({reason}); args={args}")

    return assemble(
        "torchvision", given, make, space, state, {"name": name, "args": args}, labels, len(labels) or 1000,
        adapt=_as_the_module,
    )  # fmt: skip


def timm(name: str | None = None, args: Mapping[str, Any] | None = None, **settings: Any) -> FeatureNet:
    """Builds any model of timm.

    Input size, crop, mean and std are those of the model's pretrained_cfg.

    Args:
        name: A name from `timm.list_models`, with or without a tag (`resnet50`, `resnet50.a1_in1k`).
        args: Further arguments of `timm.create_model`.
        settings: Fields of `NetworkSettings`. weights may also be DEFAULT or a tag, which are downloaded if they are
            not in the Hugging Face cache.

    Raises:
        UserError: If timm is not installed, the name is unknown, or the weights are not available.
    """
    try:
        import timm as library
    except ImportError:
        raise UserError("encoder, comparator, target or judge=timm needs timm: pip install 'dgn[timm]'") from None
    args, given = arguments(args), NetworkSettings.from_keywords("timm", ("name", "args"), settings)
    name = re.sub(r"^(hf[-_]hub:)?(timm/)?", "", str(name or "").strip())  # the hub's spelling
    bare, _, tag = _known("timm", name, library.list_models(), lambda n: library.is_model(n)).partition(".")
    tags = [full.partition(".")[2] for full in library.list_pretrained(f"{bare}.*")]
    pretrained = str(given.weights).upper() == "DEFAULT" or given.weights in tags
    if pretrained:
        tag = tag if str(given.weights).upper() == "DEFAULT" else str(given.weights)
    elif given.weights is not None:
        _check_file(given.weights, ["DEFAULT", *tags])
    full = f"{bare}.{tag}" if tag else bare
    if tag and tag not in tags:
        raise UserError(f"timm's {bare} has no pretrained tag {tag!r}; there are: {', '.join(tags) or 'none'}")
    registered = library.get_pretrained_cfg(full)
    config = registered.to_dict() if registered else {}  # models without weights of their own
    full = f"{bare}.{config['tag']}" if config.get("tag") else bare
    space = _timm_space(library.data.resolve_data_config(pretrained_cfg=config))
    if config.get("fixed_input_size") and given.input_size is not None:
        args = {"img_size": space.overridden(input_size=given.input_size).size, **args}
    donor = None
    if pretrained:
        with _no_long_waits():
            donor = _created(library, full, args, pretrained=True)
        given = replace(given, weights=config.get("tag") or "DEFAULT")
    state = donor.state_dict() if donor is not None else given.read()
    classes = config.get("num_classes") or 0

    def make(count: int) -> nn.Module:
        return _created(library, full, {"num_classes": count, **args})

    labels = _timm_labels(library, config)
    described = {"name": bare, "args": {k: list(v) if isinstance(v, tuple) else v for k, v in args.items()}}
    return assemble("timm", given, make, space, state, described, labels, classes, headless=not classes)


def _known(library: str, name: str | None, names: Sequence[str], is_model: Any = None) -> str:
    wanted = str(name or "").strip()
    name = wanted.lower() if library == "torchvision" else wanted
    if name in names or (is_model is not None and name and is_model(name)):
        return name
    near = difflib.get_close_matches(wanted.lower(), names, 5)
    hint = f"did you mean {', '.join(near)}?" if near else f"for example {', '.join(names[:: max(1, len(names) // 8)])}"
    if not wanted:
        raise UserError(f"which model of {library}? give its name, name=...; {hint}")
    raise UserError(f"{library} has no classification model {wanted!r}; {hint}")


def _check_file(weights: str | Path, names: Sequence[str]) -> None:
    if not Path(weights).expanduser().exists() and re.fullmatch(r"\w+", str(weights)):
        raise UserError(f"no weights {str(weights)!r}: give a file, null for random ones, or {', '.join(names)}")


def _entry(entries: Any, weights: str | None) -> Any:
    """The entry of a model's weights named DEFAULT or by its own name; None for no weights or a file."""
    wanted = str(weights).rpartition("_Weights.")[2].upper()
    if wanted == "DEFAULT" and len(entries):
        return entries.DEFAULT
    return entries.__members__.get(wanted)


def _downloaded(url: str, what: str) -> Path:
    """The path of a torchvision weights file in torch.hub's folder; downloads it if it is missing."""
    name = url.rpartition("/")[2]
    path = Path(torch.hub.get_dir()) / "checkpoints" / name
    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = re.search(r"-([a-f0-9]{8,})\.", name)
    try:
        torch.hub.download_url_to_file(url, str(path), digest and digest[1], progress=interactive())
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"the weights of {what} cannot be downloaded from {url} ({error}); fetch that file where there is a "
            f"network and put it at {path}, or name it with weights=FILE"
        ) from None
    return path


def _published_space(published: Any) -> InputSpace:
    if published is None:
        return InputSpace((224, 224), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), fit="crop", resize=256)
    own = published.transforms()
    return InputSpace(
        size=(own.crop_size[0],) * 2,
        mean=tuple(own.mean),
        std=tuple(own.std),
        fit="crop",
        resize=own.resize_size[0],
        interpolation=own.interpolation.value,
    )


_WITH_HEADS = ("googlenet", "inception_v3")


def _published_args(name: str, loaded: bool) -> dict[str, Any]:
    """Arguments with which GoogLeNet and Inception were published.

    They transform their input after the usual normalization. Their auxiliary heads are built only if the weights (or
    args) have them.
    """
    return {"transform_input": True, "aux_logits": False, "init_weights": not loaded} if name in _WITH_HEADS else {}


# Parameter names in published files that differ from today's modules: DenseNet's of 2017, ViT's of 2022.
_OLD_NAMES = (
    (re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)"), r"\1\2"),
    (re.compile(r"(\.mlp)\.linear_1\."), r"\1.0."),
    (re.compile(r"(\.mlp)\.linear_2\."), r"\1.3."),
)


def _as_the_module(module: nn.Module, state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    own = module.state_dict()
    named = {}
    for key, value in state.items():
        for old, new in _OLD_NAMES:
            key = key if key in own else old.sub(new, key)
        named[key] = value
    there, here = named.get("encoder.pos_embedding"), own.get("encoder.pos_embedding")
    if there is not None and here is not None and there.shape != here.shape and there.shape[2:] == here.shape[2:]:
        # A ViT at another image size: its position embeddings are resampled, as for fine-tuning.
        from torchvision.models.vision_transformer import interpolate_embeddings

        return interpolate_embeddings(module.image_size, module.patch_size, named)
    return named


def _created(library: Any, name: str, args: Mapping[str, Any], pretrained: bool = False) -> nn.Module:
    try:
        return library.create_model(name, pretrained=pretrained, **args)
    except TypeError as error:
        raise UserError(f"timm's {name} does not take these args ({error}); args={dict(args)}") from None
    except Exception as error:  # the hub's clients share no exception class
        reason = first_line(error).partition(". ")[0]
        if not pretrained:
            raise UserError(f"timm's {name} cannot be made ({reason}); args={dict(args)}") from None
        raise UserError(
            f"the weights of timm's {name} cannot be downloaded from the Hugging Face hub ({reason}); fetch "
            f"https://huggingface.co/timm/{name} where there is a network and name its model.safetensors with "
            "weights=FILE"
        ) from None


@contextmanager
def _no_long_waits() -> Iterator[None]:
    """Makes the hub's client use its cache only if the hub's host name does not resolve.

    Without a network, its retries would take most of a minute.
    """
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    try:
        if not getproxies():
            socket.getaddrinfo(urlsplit(constants.ENDPOINT).hostname, 443)
    except OSError:
        constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _timm_space(config: Mapping[str, Any]) -> InputSpace:
    _, height, width = config["input_size"]
    three = len(config["mean"]) == 3  # other channels are found when it is made (dgn.networks.found_channels)
    crop = config["crop_mode"] == "center" and config["crop_pct"]
    return InputSpace(
        size=(height, width),
        mean=tuple(config["mean"]) if three else (0.0, 0.0, 0.0),
        std=tuple(config["std"]) if three else (1.0, 1.0, 1.0),
        fit="crop" if crop else "resize",
        resize=math.floor(min(height, width) / config["crop_pct"]) if crop else None,
        interpolation=config["interpolation"] if config["interpolation"] in ("bilinear", "bicubic") else "bicubic",
    )


def _timm_labels(library: Any, config: Mapping[str, Any]) -> tuple[str, ...]:
    """Class names: those of the configuration, or those of the ImageNet subset with the same number of classes."""
    if config.get("label_names"):
        return tuple(config["label_names"])
    subset = library.data.infer_imagenet_subset(config)
    if not subset:
        return ()
    info = library.data.ImageNetInfo(subset)
    return tuple(info.index_to_description(i).partition(",")[0] for i in range(info.num_classes()))
