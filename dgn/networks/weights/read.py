"""Any weights file as a state dict: PyTorch's formats, safetensors, Caffe's."""

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from dgn.errors import UserError
from dgn.networks.weights.caffemodel import CaffeLayer, read_caffemodel
from dgn.networks.weights.state_dict import read_state_dict
from dgn.networks.weights.text import short


def named_blobs(layers: Mapping[str, CaffeLayer], *, source: str) -> dict[str, Tensor]:
    """A .caffemodel's layers as a state dict: NAME.weight and NAME.bias, for networks with Caffe's module names.

    The leading ones of old files' shapes are dropped. Raises UserError for a layer with other blobs.
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
    """The named tensors of a weights file: .caffemodel by its ending, others by their content (`read_state_dict`).

    container: which set of weights to read of a checkpoint with several. caffe: makes a state dict of a .caffemodel's
    layers (`dgn.networks.weights.deepsim.caffenet_state` for CaffeNet). Raises UserError.
    """
    if Path(path).suffix.lower() == ".caffemodel":
        return caffe(read_caffemodel(path), source=str(path))
    return read_state_dict(path, container)
