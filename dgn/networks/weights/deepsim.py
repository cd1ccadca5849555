"""The published DeePSiM weights under the names of this project's networks.

Dosovitskiy & Brox (2016) published CaffeNet generators as .caffemodel files; others translated them to PyTorch, in
two ways. So the same layer goes by several names, and its weight comes in two layouts:

    Caffe, and an nn.Sequential with Caffe's names   defc7 .. defc5 or Rconv6 .. Rconv8, deconv5, conv5_1, ...
    one PyTorch translation                          fc7 .. fc5 or conv6 .. conv8, tconv5_0, tconv5_1, ... tconv0

The 3x3 layers that do not upsample ("conv5_1") are Deconvolution layers in the published prototxts, and transposed
convolutions in most translations. With stride 1 such a layer is a convolution with its kernel turned by 180
degrees and its channel axes swapped, and is converted to that if a Conv2d is expected.
"""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from dgn.errors import UserError
from dgn.networks.weights.caffemodel import CaffeLayer
from dgn.networks.weights.text import short

Weights = Mapping[str, Tensor] | Mapping[str, CaffeLayer]
"""Return type of read_state_dict or read_caffemodel."""


class ExpectedLayer(NamedTuple):
    """A layer that weights are wanted for.

    weight: its shape, as torch has it for its kind ("linear", "conv" or "upconv", a transposed convolution). Without a
    kind it is "linear" for two dimensions, "upconv" for a 4x4 kernel and "conv" for another, which holds in all
    published generators.
    """

    name: str
    weight: tuple[int, ...]
    bias: bool
    kind: str = ""


class GeneratorLayer(NamedTuple):
    """A layer that a file has weights for. kind: as in ExpectedLayer, of the weight as it is in the file."""

    name: str
    weight: Tensor
    bias: Tensor | None
    kind: str


def expected_layers(module: nn.Module) -> list[ExpectedLayer]:
    """The Linear, Conv2d and ConvTranspose2d layers of `module`, in the order of their registration."""
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
    """The weights of a published generator as the state dict of a network that has the `expected` layers, float32.

    expected: the layers to fill, in network order: `expected_layers(generator)`, or tuples (name, weight's shape, has
    a bias). Their names, with ".weight" and ".bias", are the keys. A bias that is not expected may be in the file if
    it is zero (Caffe keeps one for each Deconvolution, at zero all through the published training); one that is
    expected but not there is zero.

    source: what the weights are from, for messages. Errors: UserError for names that are no generator's, and for
    layers that are not the expected ones in number, shape or bias.
    """
    layers = ordered_layers(weights, source=source)
    wanted = [ExpectedLayer(*item) for item in expected]
    advice = "choose the generator that these weights are of"
    if len(layers) != len(wanted):
        raise UserError(f"{source} has {len(layers)} layers with weights, the generator has {len(wanted)}; {advice}")
    state: dict[str, Tensor] = {}
    for have, want in zip(layers, wanted, strict=True):
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
        elif bias.count_nonzero():
            raise UserError(
                f"{source}: layer {have.name!r} has a bias that is not zero, {want.name} has none; {advice}"
            )
    return state


def ordered_layers(weights: Weights, *, source: str) -> list[GeneratorLayer]:
    """The layers of a generator in network order, whatever they are called and however the file sorts them.

    Layers of a .caffemodel with names that are no published generator's are taken in the file's order, which is
    the network's. source: what the weights are from, for messages. Errors: UserError for names in a state dict
    that are no published generator's.
    """
    caffe = [value for value in weights.values() if isinstance(value, CaffeLayer)]
    tensors = {name: value for name, value in weights.items() if isinstance(value, Tensor)}
    layers = [_from_caffe(layer, source) for layer in caffe] or _from_state(tensors, source)
    ranks = [_rank(layer.name) for layer in layers]
    known = [rank for rank in ranks if rank is not None]
    if len(known) == len(ranks):
        if len(set(known)) < len(known):
            raise UserError(f"{source} has the same layer twice: {', '.join(layer.name for layer in layers)}")
        layers = [layer for _, layer in sorted(zip(known, layers, strict=True), key=lambda pair: pair[0])]
    elif not caffe:
        strange = [short(layer.name) for layer, rank in zip(layers, ranks, strict=True) if rank is None]
        raise UserError(
            f"{source} is no published generator: layers {', '.join(strange[:5])} are not named as in Caffe (defc7, "
            "Rconv6, deconv5, conv5_1, ...) or its PyTorch translations (fc7, conv6, tconv5_0, ...); rename them"
        )
    return layers


def caffenet_state(layers: Mapping[str, CaffeLayer], *, source: str) -> dict[str, Tensor]:
    """CaffeNet's .caffemodel, as from read_caffemodel, as a state dict: conv1.weight .. fc8.bias, float32.

    Convolutions (out, in / groups, height, width), fully connected layers (out, in), for BGR input as in Caffe. The
    last layer may go by any name that begins with fc8, as in fine-tuned networks.

    source: what the weights are from, for messages. Errors: UserError if the layers are not CaffeNet's eight, or
    one is not of its kind or lacks its bias.
    """
    named = {"fc8" if name.startswith("fc8") else name: layer for name, layer in layers.items()}
    if set(named) != set(_CAFFENET) or len(named) < len(layers):
        raise UserError(
            f"{source} is no CaffeNet: it has the layers {', '.join(map(short, list(layers)[:20]))}, "
            f"CaffeNet has {', '.join(_CAFFENET)}; name CaffeNet's .caffemodel"
        )
    state: dict[str, Tensor] = {}
    for name in _CAFFENET:
        layer = _from_caffe(named[name], source)
        kind = "conv" if name.startswith("conv") else "linear"
        if layer.kind != kind or layer.bias is None or layer.bias.numel() != layer.weight.shape[0]:
            raise UserError(
                f"{source}: layer {short(layer.name)!r} is {layer.kind} {tuple(layer.weight.shape)}, in CaffeNet it is "
                f"a {kind} layer with a bias for each output; name CaffeNet's .caffemodel"
            )
        state[f"{name}.weight"], state[f"{name}.bias"] = layer.weight, layer.bias
    return state


_CAFFENET = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8")

# The names of the layers in the file, by the layers' part in a generator.
_FULLY_CONNECTED = re.compile(r"(?:de)?fc([567])")
_FIRST_CONV = re.compile(r"R?conv([678])")
_UPCONV = re.compile(r"(?:t|de)conv([0-5])(?:_([01]))?")
_STRIDE_ONE = re.compile(r"conv([0-5])_1")


def _rank(name: str) -> tuple[int, ...] | None:
    """The position in a generator of a published layer name; None for other names."""
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
    """The layer's weight and bias, with the leading ones of old files' shapes gone."""
    kind = _CAFFE_KINDS.get(layer.type)
    weight, *biases = (torch.from_numpy(blob) for blob in layer.blobs)
    if kind == "linear" and weight.ndim > 2 and weight.numel() == weight.shape[-2] * weight.shape[-1]:
        weight = weight.reshape(weight.shape[-2:])
    if kind is None or len(biases) > 1 or weight.ndim != (2 if kind == "linear" else 4):
        raise UserError(
            f"{source}: layer {short(layer.name)!r} of type {short(layer.type)!r} has {len(layer.blobs)} blobs, the "
            f"first {tuple(weight.shape)}; only {', '.join(_CAFFE_KINDS)} layers with a weight and a bias are known"
        )
    return GeneratorLayer(layer.name, weight, biases[0].flatten() if biases else None, kind)


def _from_state(state: Mapping[str, Tensor], source: str) -> list[GeneratorLayer]:
    """The layers of a translation. A stem such as "G.defc7.1" stands for the layer defc7."""
    tensors: dict[str, dict[str, Tensor]] = {}
    for key, value in state.items():
        stem, _, parameter = key.rpartition(".")
        words = [word for word in stem.split(".") if not word.isdigit()]
        parameters = tensors.setdefault(words[-1] if words else stem, {})
        if parameter in parameters:
            raise UserError(f"{source} has several layers {short(words[-1] if words else stem)!r}: keep one")
        parameters[parameter] = value.detach().float()
    for name, parameters in tensors.items():
        if not {"weight"} <= parameters.keys() <= {"weight", "bias"} or parameters["weight"].ndim not in (2, 4):
            raise UserError(
                f"{source} is no published generator: {short(name)!r} has {', '.join(map(short, parameters))}, where "
                "a fully connected or convolutional weight and perhaps a bias belong"
            )
    weights = {name: parameters["weight"] for name, parameters in tensors.items()}
    kinds = _kinds(weights)
    return [GeneratorLayer(name, weights[name], tensors[name].get("bias"), kinds[name]) for name in weights]


def _kinds(weights: Mapping[str, Tensor]) -> dict[str, str]:
    """What kind each layer of a translation is, by its name, and by its shape where the name leaves it open."""
    stride_one = {name: match[1] for name in weights if (match := _STRIDE_ONE.fullmatch(name))}
    if any(name.startswith("tconv") for name in weights):
        open_kind = "conv"  # this translation calls a layer tconv5_1 where it is a transposed convolution
    else:
        # With Caffe's names, conv5_1 follows deconv5. All have one kind, and in each published generator one of
        # them changes the number of channels, so that only the right kind fits everywhere.
        before = {name: weights.get(f"deconv{number}") for name, number in stride_one.items()}
        fits = all(up is None or up.shape[1] == weights[name].shape[0] for name, up in before.items())
        open_kind = "upconv" if fits else "conv"
    return {
        name: open_kind
        if name in stride_one
        else "upconv"
        if _UPCONV.fullmatch(name)
        else _default_kind(tuple(weight.shape))
        for name, weight in weights.items()
    }


def _default_kind(weight: Sequence[int]) -> str:
    """The kind that a layer with a weight of this shape is in the published generators."""
    if len(weight) == 2:
        return "linear"
    return "upconv" if tuple(weight[2:]) == (4, 4) else "conv"


def _in_form(layer: GeneratorLayer, kind: str) -> Tensor | None:
    """The layer's weight as a layer of another kind that computes the same has it; None if there is none."""
    if layer.kind == kind:
        return layer.weight
    # Only with stride 1 is a transposed convolution a convolution. All published layers of another have 4x4.
    if {layer.kind, kind} == {"conv", "upconv"} and _default_kind(tuple(layer.weight.shape)) == "conv":
        return layer.weight.transpose(0, 1).flip(2, 3)
    return None
