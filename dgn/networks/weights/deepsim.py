"""Converts the published DeePSiM weights to the names and layouts of this project's networks.

Dosovitskiy & Brox (2016) published CaffeNet generators as .caffemodel files; others translated them to PyTorch in
two ways. Therefore the same layer has several names, and its weight one of two layouts:

    Caffe, and an nn.Sequential with Caffe's names   defc7 .. defc5 or Rconv6 .. Rconv8, deconv5, conv5_1, ...
    one PyTorch translation                          fc7 .. fc5 or conv6 .. conv8, tconv5_0, tconv5_1, ... tconv0

The 3x3 layers that do not upsample ("conv5_1") are Deconvolution layers in the published prototxts, and transposed
convolutions in most translations. With stride 1 such a layer is a convolution with its kernel turned by 180
degrees and its channel axes swapped, and is converted to that if a Conv2d is expected.
"""

import logging
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from dgn.errors import UserError
from dgn.networks.weights.caffemodel import CaffeLayer
from dgn.networks.weights.text import short

log = logging.getLogger(__name__)

NEGLIGIBLE_BIAS = 1e-6
"""The largest bias of a layer without biases that conversions leave by rounding; images are on a scale of 255."""

Weights = Mapping[str, Tensor] | Mapping[str, CaffeLayer]
"""Return type of read_state_dict or read_caffemodel."""


class ExpectedLayer(NamedTuple):
    """A layer of a network that needs weights.

    Attributes:
        name: the name of its module.
        weight: the shape of its weight in torch.
        bias: whether it has a bias.
        kind: "linear", "conv" or "upconv" (a transposed convolution). "": "linear" for a weight of two dimensions,
            "upconv" for a 4x4 kernel, "conv" for other kernels, which is correct for all published generators.
    """

    name: str
    weight: tuple[int, ...]
    bias: bool
    kind: str = ""


class GeneratorLayer(NamedTuple):
    """A layer in a weights file. `kind` is as in ExpectedLayer, for the layout of the weight in the file."""

    name: str
    weight: Tensor
    bias: Tensor | None
    kind: str


def expected_layers(module: nn.Module) -> list[ExpectedLayer]:
    """Returns the Linear, Conv2d and ConvTranspose2d layers of `module`, in the order of their registration."""
    kinds: dict[type[nn.Linear | nn.Conv2d | nn.ConvTranspose2d], str] = {
        nn.Linear: "linear",
        nn.Conv2d: "conv",
        nn.ConvTranspose2d: "upconv",
    }
    return [
        ExpectedLayer(name, tuple(layer.weight.shape), layer.bias is not None, kind)
        for name, layer in module.named_modules()
        for cls, kind in kinds.items()
        if isinstance(layer, cls)
    ]


def generator_state(weights: Weights, expected: Sequence[ExpectedLayer | tuple], *, source: str) -> dict[str, Tensor]:
    """Returns the weights of a published generator as the state dict of a network with the `expected` layers, float32.

    Args:
        weights: The file's weights.
        expected: The layers in network order: `expected_layers(generator)`, or tuples (name, shape of the weight,
            whether it has a bias). The keys of the result are their names with ".weight" and ".bias". A bias in the
            file that is not expected must be zero to 1e-6 (Caffe has one for each Deconvolution, which stayed zero in
            the published training); an expected bias that the file lacks is zero.
        source: The name of the file for error messages.

    Raises:
        UserError: If the names are not those of a generator, or if the layers differ from the expected ones in
            number, shape or bias.
    """
    layers = ordered_layers(weights, source=source)
    needed = [ExpectedLayer(*item) for item in expected]
    advice = "choose the generator that these weights belong to"
    if len(layers) != len(needed):
        raise UserError(f"{source} has {len(layers)} layers with weights, the generator has {len(needed)}; {advice}")
    state: dict[str, Tensor] = {}
    left_out: dict[str, float] = {}
    for have, want in zip(layers, needed, strict=True):
        kind = want.kind or _default_kind(want.weight)
        weight = _in_form(have, kind)
        if weight is None or tuple(weight.shape) != tuple(want.weight):
            raise UserError(
                f"{source}: layer {have.name!r} is {have.kind} {tuple(have.weight.shape)}, the generator "
                f"has {kind} {tuple(want.weight)} there; {advice}"
            )
        state[f"{want.name}.weight"] = weight.contiguous()
        channels = weight.shape[1 if kind == "upconv" else 0]
        bias = torch.zeros(channels) if have.bias is None else have.bias
        if bias.shape != (channels,):
            raise UserError(f"{source}: layer {have.name!r} has {bias.numel()} biases for {channels} channels")
        if want.bias:
            state[f"{want.name}.bias"] = bias
        elif float(bias.abs().max()) > NEGLIGIBLE_BIAS:
            raise UserError(
                f"{source}: layer {have.name!r} has a bias that is not zero, {want.name} has none; {advice}"
            )
        elif bias.count_nonzero():
            left_out[have.name] = float(bias.abs().max())
    if left_out:
        largest = max(left_out.values())
        log.warning("%s: biases of at most %.0e are left out: %s", source, largest, ", ".join(left_out))
    return state


def ordered_layers(weights: Weights, *, source: str) -> list[GeneratorLayer]:
    """Returns the layers of a generator in network order, for all published names and any order in the file.

    Layers of a .caffemodel with other names are returned in the file's order, which is the network's.

    Args:
        weights: The file's weights.
        source: The name of the file for error messages.

    Raises:
        UserError: If names in a state dict are not those of a published generator.
    """
    caffe = [value for value in weights.values() if isinstance(value, CaffeLayer)]
    tensors = {name: value for name, value in weights.items() if isinstance(value, Tensor)}
    layers = [_from_caffe(layer, source) for layer in caffe] or _from_state(tensors, source)
    ranks = [_rank(layer.name) for layer in layers]
    valid = [rank for rank in ranks if rank is not None]
    if len(valid) == len(ranks):
        if len(set(valid)) < len(valid):
            raise UserError(f"{source} has the same layer twice: {', '.join(layer.name for layer in layers)}")
        layers = [layer for _, layer in sorted(zip(valid, layers, strict=True), key=lambda pair: pair[0])]
    elif not caffe:
        strange = [short(layer.name) for layer, rank in zip(layers, ranks, strict=True) if rank is None]
        raise UserError(
            f"{source} is not a published generator: layers {', '.join(strange[:5])} are not named as in Caffe (defc7, "
            "Rconv6, deconv5, conv5_1, ...) or its PyTorch translations (fc7, conv6, tconv5_0, ...); rename them"
        )
    return layers


def caffenet_state(layers: Mapping[str, CaffeLayer], *, source: str) -> dict[str, Tensor]:
    """Converts CaffeNet's .caffemodel to a state dict with the keys conv1.weight .. fc8.bias, float32.

    Convolutions have the shape (out, in / groups, height, width), fully connected layers (out, in). The input is BGR
    as in Caffe. The last layer may have any name that begins with fc8, as in fine-tuned networks.

    Args:
        layers: The layers, as from `read_caffemodel`.
        source: The name of the file for error messages.

    Raises:
        UserError: If the layers are not CaffeNet's eight, or if one has the wrong type or no bias.
    """
    named = {"fc8" if name.startswith("fc8") else name: layer for name, layer in layers.items()}
    if set(named) != set(_CAFFENET) or len(named) < len(layers):
        raise UserError(
            f"{source} is not a CaffeNet: it has the layers {', '.join(map(short, list(layers)[:20]))}, "
            f"CaffeNet has {', '.join(_CAFFENET)}; give CaffeNet's .caffemodel"
        )
    state: dict[str, Tensor] = {}
    for name in _CAFFENET:
        layer = _from_caffe(named[name], source)
        kind = "conv" if name.startswith("conv") else "linear"
        if layer.kind != kind or layer.bias is None or layer.bias.numel() != layer.weight.shape[0]:
            raise UserError(
                f"{source}: layer {short(layer.name)!r} is {layer.kind} {tuple(layer.weight.shape)}, in CaffeNet it is "
                f"a {kind} layer with a bias for each output; give CaffeNet's .caffemodel"
            )
        state[f"{name}.weight"], state[f"{name}.bias"] = layer.weight, layer.bias
    return state


_CAFFENET = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8")

# The names of layers in files, by their position in a generator.
_FULLY_CONNECTED = re.compile(r"(?:de)?fc([567])")
_FIRST_CONV = re.compile(r"R?conv([678])")
_UPCONV = re.compile(r"(?:t|de)conv([0-5])(?:_([01]))?")
_STRIDE_ONE = re.compile(r"conv([0-5])_1")


def _rank(name: str) -> tuple[int, ...] | None:
    """Returns the position in a generator of a published layer name; None for other names."""
    if match := _FULLY_CONNECTED.fullmatch(name):
        return 0, 7 - int(match[1])
    if match := _FIRST_CONV.fullmatch(name):
        return 0, int(match[1])
    if match := _UPCONV.fullmatch(name):
        return 1, 5 - int(match[1]), int(match[2] or 0)
    if match := _STRIDE_ONE.fullmatch(name):
        return 1, 5 - int(match[1]), 1
    return None


_CAFFE_KINDS = {"InnerProduct": "linear", "Convolution": "conv", "Deconvolution": "upconv"}


def _from_caffe(layer: CaffeLayer, source: str) -> GeneratorLayer:
    """Returns the layer's weight and bias, without the leading dimensions of size 1 in old files."""
    kind = _CAFFE_KINDS.get(layer.type)
    weight, *biases = (torch.from_numpy(blob) for blob in layer.blobs)
    if kind == "linear" and weight.ndim > 2 and weight.numel() == weight.shape[-2] * weight.shape[-1]:
        weight = weight.reshape(weight.shape[-2:])
    if kind is None or len(biases) > 1 or weight.ndim != (2 if kind == "linear" else 4):
        raise UserError(
            f"{source}: layer {short(layer.name)!r} of type {short(layer.type)!r} has {len(layer.blobs)} blobs, the "
            f"first {tuple(weight.shape)}; only {', '.join(_CAFFE_KINDS)} layers with a weight and a bias are supported"
        )
    return GeneratorLayer(layer.name, weight, biases[0].flatten() if biases else None, kind)


def _from_state(state: Mapping[str, Tensor], source: str) -> list[GeneratorLayer]:
    """Returns the layers of a translation. A key such as "G.defc7.1.weight" belongs to the layer defc7."""
    tensors: dict[str, dict[str, Tensor]] = {}
    for key, value in state.items():
        stem, _, parameter = key.rpartition(".")
        parts = [part for part in stem.split(".") if not part.isdigit()]
        layer = parts[-1] if parts else stem
        parameters = tensors.setdefault(layer, {})
        if parameter in parameters:
            raise UserError(f"{source} has several layers {short(layer)!r}: keep one")
        parameters[parameter] = value.detach().float()
    for name, parameters in tensors.items():
        if not {"weight"} <= parameters.keys() <= {"weight", "bias"} or parameters["weight"].ndim not in (2, 4):
            raise UserError(
                f"{source} is not a published generator: {short(name)!r} has {', '.join(map(short, parameters))}, but "
                "must have a fully connected or convolutional weight and optionally a bias"
            )
    weights = {name: parameters["weight"] for name, parameters in tensors.items()}
    kinds = _kinds(weights)
    return [GeneratorLayer(name, weights[name], tensors[name].get("bias"), kinds[name]) for name in weights]


def _kinds(weights: Mapping[str, Tensor]) -> dict[str, str]:
    """Returns the kind of each layer of a translation, from its name, or from its shape if names are ambiguous."""
    stride_one = {name: match[1] for name in weights if (match := _STRIDE_ONE.fullmatch(name))}
    if any(name.startswith("tconv") for name in weights):
        open_kind = "conv"  # this translation names transposed convolutions tconv5_1
    else:
        # With Caffe's names, conv5_1 follows deconv5. All such layers have the same kind, and in each published
        # generator one of them changes the number of channels, so that only the right kind fits.
        before = {name: weights.get(f"deconv{number}") for name, number in stride_one.items()}
        fits = all(up is None or up.shape[1] == weights[name].shape[0] for name, up in before.items())
        open_kind = "upconv" if fits else "conv"

    def kind(name: str, weight: Tensor) -> str:
        if name in stride_one:
            return open_kind
        return "upconv" if _UPCONV.fullmatch(name) else _default_kind(tuple(weight.shape))

    return {name: kind(name, weight) for name, weight in weights.items()}


def _default_kind(weight: Sequence[int]) -> str:
    """The kind that a layer with a weight of this shape is in the published generators."""
    if len(weight) == 2:
        return "linear"
    return "upconv" if tuple(weight[2:]) == (4, 4) else "conv"


def _in_form(layer: GeneratorLayer, kind: str) -> Tensor | None:
    """Returns the weight of an equivalent layer of another kind; None if there is none."""
    if layer.kind == kind:
        return layer.weight
    # A transposed convolution is a convolution only if its stride is 1. Published layers with other strides have
    # 4x4 kernels.
    if {layer.kind, kind} == {"conv", "upconv"} and _default_kind(tuple(layer.weight.shape)) == "conv":
        return layer.weight.transpose(0, 1).flip(2, 3)
    return None
