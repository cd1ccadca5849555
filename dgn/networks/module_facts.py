"""What a network's modules are: their weights, kinds and tensors."""

import hashlib
import itertools

import torch
from torch import Tensor, nn

from dgn.networks.layers import OUTPUT


def first_tensor(network: nn.Module) -> Tensor:
    """Returns the first floating-point parameter, else the first floating-point buffer, else a tensor on the CPU."""
    tensors = itertools.chain(network.parameters(), network.buffers())
    return next((tensor for tensor in tensors if tensor.is_floating_point()), torch.zeros(()))


def has_weights(network: nn.Module, module: str) -> bool:
    """Whether a module has a matrix or filters of its own, in contrast to those of its submodules."""
    if module == OUTPUT:
        return False
    own = network.get_submodule(module)
    matrices = [p for p in own.parameters(recurse=False) if p.ndim >= 2]
    return bool(matrices) or isinstance(own, nn.Linear | nn.Conv2d)  # a parametrized one has none of its own


def is_relu(network: nn.Module, module: str) -> bool:
    """Whether a module is a ReLU or ReLU6, and no subclass with another forward."""
    relu = None if module == OUTPUT else network.get_submodule(module)
    kind = nn.ReLU6 if isinstance(relu, nn.ReLU6) else nn.ReLU
    return isinstance(relu, kind) and type(relu).forward is kind.forward


def fingerprint(network: nn.Module) -> str:
    """Returns the SHA-256 of names, shapes, dtypes and values of all weights."""
    digest = hashlib.sha256()
    state = {name: value for name, value in network.state_dict().items() if isinstance(value, Tensor)}
    for name, tensor in sorted(state.items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype};".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
