"""Devices: which of them this machine has, which one `auto` means, and float64, which mps does not have.

The order of preference is cuda, mps (the GPU of Apple's processors), cpu.
"""

import logging
from typing import TypeVar

import torch
from torch import Tensor, nn

from dgn.errors import UserError

M = TypeVar("M", bound=nn.Module)

log = logging.getLogger(__name__)

GPUS = ("cuda", "mps")
"""Devices other than the CPU, in order of preference."""
_WITHOUT_FLOAT64 = ("mps",)


def is_available(name: str) -> bool:
    """Returns whether this machine has a device of this type ("cuda", "mps" or "cpu") that torch can use."""
    if name == "cuda":
        return torch.cuda.is_available()
    return name == "cpu" or torch.backends.mps.is_available()


def default_device() -> torch.device:
    """Returns the preferred device of this machine: cuda, else mps, else cpu."""
    return torch.device(next((name for name in GPUS if is_available(name)), "cpu"))


def select_device(name: str) -> torch.device:
    """Returns the device of device=auto, cuda, mps or cpu.

    Raises:
        UserError: If the name is another one, or the machine has no such device.
    """
    if name not in ("auto", "cpu", *GPUS):
        raise UserError(f"device={name!r}: give auto, cpu, cuda or mps")
    if name != "auto" and not is_available(name):
        raise UserError(f"device={name}: {_WHY_NOT[name]}; give device=cpu or auto")
    device = default_device() if name == "auto" else torch.device(name)
    tell_limits(device)
    return device


def device_of_accelerator(name: str) -> torch.device:
    """Returns the device of Lightning's accelerator=auto, gpu, cuda, mps or cpu.

    Raises:
        UserError: If the name is another one, or the machine has no such device.
    """
    if name not in ("auto", "gpu", "cpu", *GPUS):
        raise UserError(f"trainer.accelerator={name}: give auto, gpu, cuda, mps or cpu")
    if name in ("cpu", *GPUS):
        if not is_available(name):
            raise UserError(f"trainer.accelerator={name}: {_WHY_NOT[name]}; give trainer.accelerator=cpu or auto")
        return torch.device(name)
    device = default_device()
    if name == "gpu" and device.type == "cpu":
        raise UserError("trainer.accelerator=gpu: no GPU can be used here; give trainer.accelerator=cpu or auto")
    return device


def tell_limits(device: torch.device) -> None:
    """Logs what a device cannot do, if it is mps."""
    if device.type in _WITHOUT_FLOAT64:
        log.info(
            "mps has no float64: statistics and metrics in float64 are computed on the CPU; so are operations that "
            "torch does not have for mps (PYTORCH_ENABLE_MPS_FALLBACK=1); precision=auto is float32"
        )


def has_float64(device: torch.device) -> bool:
    """Returns whether tensors on the device can be float64."""
    return device.type not in _WITHOUT_FLOAT64


def double(tensor: Tensor) -> Tensor:
    """Returns the tensor in float64, on its device or, if that has no float64, on the CPU."""
    return tensor.double() if has_float64(tensor.device) else tensor.cpu().double()


def moved(tensor: Tensor, device: torch.device) -> Tensor:
    """Returns the tensor on the device; as float32 if it is float64 and the device has no float64."""
    return (tensor if has_float64(device) or tensor.dtype != torch.float64 else tensor.float()).to(device)


def placed(module: M, device: torch.device) -> M:
    """Moves a module to the device, in place; float64 weights become float32 if the device has no float64."""
    tensors = (*module.parameters(), *module.buffers())
    if not has_float64(device) and any(tensor.dtype == torch.float64 for tensor in tensors):
        module.float()
    return module.to(device)


_WHY_NOT = {
    "cuda": "no GPU can be used here",
    "mps": "mps is the GPU of Apple's processors, and torch can use none here",
}
