"""Reads a weights file of any supported format (PyTorch, safetensors, Caffe) as a state dict."""

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from dgn.errors import UserError
from dgn.networks.weights.caffemodel import CaffeLayer, read_caffemodel
from dgn.networks.weights.state_dict import read_state_dict
from dgn.networks.weights.text import short


def named_blobs(layers: Mapping[str, CaffeLayer], *, source: str) -> dict[str, Tensor]:
    """Converts the layers of a .caffemodel to a state dict with the keys NAME.weight and NAME.bias.

    Leading dimensions of size 1 in the weights of old files are removed.

    Args:
        layers: The layers, as from `read_caffemodel`.
        source: The name of the file for error messages.

    Raises:
        UserError: If a layer has other blobs than a weight and a bias.
    """
    state: dict[str, Tensor] = {}
    for name, layer in layers.items():
        weight, *biases = (torch.from_numpy(blob) for blob in layer.blobs)
        if layer.type == "InnerProduct" and weight.ndim > 2:
            weight = weight.reshape(weight.shape[-2:])
        if len(biases) > 1 or layer.type not in ("Convolution", "Deconvolution", "InnerProduct"):
            raise UserError(
                f"{source}: layer {short(name)!r} of type {short(layer.type)!r} has {len(layer.blobs)} blobs; of a "
                ".caffemodel only layers with a weight and a bias can be read: save it as a PyTorch state dict"
            )
        state |= {f"{name}.weight": weight} | {f"{name}.bias": bias.flatten() for bias in biases}
    return state


def read_weights(
    path: str | Path, container: str | None = None, caffe: Callable[..., Mapping[str, Tensor]] = named_blobs
) -> Mapping[str, Tensor]:
    """Returns the named tensors of a weights file.

    A .caffemodel is recognized by its suffix, other formats by their content (`read_state_dict`).

    Args:
        path: The file.
        container: The set of weights to read from a checkpoint with several.
        caffe: Converts the layers of a .caffemodel to a state dict
            (`dgn.networks.weights.deepsim.caffenet_state` for CaffeNet).

    Raises:
        UserError: If the file cannot be read.
    """
    if Path(path).suffix.lower() == ".caffemodel":
        return caffe(read_caffemodel(path), source=str(path))
    return read_state_dict(path, container)
