"""Prepares networks written by others for a FeatureNet, and reports the errors of their code in one line."""

import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dgn.data.channels import in_words
from dgn.errors import UserError, first_line

_SIZES = (224, 32, 64, 128, 28, 96, 256, 227, 299, 384, 48, 8, 16, 112, 160, 192, 240, 288, 320, 448, 512)
"""Image sides to try with a network that fails, most common first."""
_CHANNELS = (1, 3, 4, 2, 6, 5, 8, 10, 12, 13)
"""Numbers of channels to try then."""


def why_it_fails(
    name: str, size: tuple[int, int], error: Exception, run: Callable[[Tensor], Any], channels: int = 3
) -> str:
    """Explains in one line, with the next step, why a network cannot be run on images of its size.

    Args:
        name: The network's name.
        size: Height and width of the images, in pixels.
        error: The exception that was raised.
        run: Runs the network on its own input (N, channels, height, width).
        channels: The number of channels of that input.
    """
    height, width = size
    failure = f"{name} cannot be run on images of {height}x{width} pixels"
    reasons = set()
    for side in _SIZES:
        other = _reason(run, channels, side, side)
        if other is None:
            return f"{failure} ({format_error(error)}) but on {side}x{side}: set input_size={side}"
        reasons.add(other)
    for other_channels in _CHANNELS:
        if other_channels == channels:
            continue
        if any(_reason(run, other_channels, *size) is None for size in ((height, width), (28, 28))):
            return (
                f"{name} takes images of {in_words(other_channels)}, and those that enter have {in_words(channels)}: "
                f"set channels={other_channels}"
            )
    if len(reasons) > 1:  # the error depends on the size
        return f"{failure}: its own code raises {format_error(error)}; set input_size= to its size, or fix it"
    return f"{failure}: its own code raises {format_error(error)}; fix it there"


def format_error(error: BaseException) -> str:
    """Formats an error of foreign code in one line: exception class, message, and file and line.

    The location is the last frame in the user's own code, or in a library if the traceback has no such frame. There is
    none where no frame says more than the message, as when an argument is missing or the file cannot be parsed.
    """
    frames = list(traceback.extract_tb(error.__traceback__))
    place = user_location(frames) or (_library_location(frames[-1]) if frames else "")
    return f"{type(error).__name__}: {first_line(error)}{place}"


def user_location(frames: Sequence[traceback.FrameSummary]) -> str:
    """Names file and line of the last frame that is neither ours nor in a library: " (nets.py, line 12)", or ""."""
    own = [frame for frame in frames if not _in_a_library(frame.filename)]
    return _location(own[-1]) if own else ""


def _library_location(frame: traceback.FrameSummary) -> str:
    wraps_all = frame.filename.endswith(_WRAPPERS)  # a frame around every operation says nothing of this one
    return "" if wraps_all or frame.filename.startswith((_PACKAGE, "<")) else _location(frame)


def _location(frame: traceback.FrameSummary) -> str:
    return f" ({Path(frame.filename).name}, line {frame.lineno})"


_PACKAGE = str(Path(__file__).resolve().parents[1])
_WRAPPERS = (str(Path("torch", "utils", "_device.py")), str(Path("torch", "nn", "modules", "module.py")))


def _in_a_library(filename: str) -> bool:
    ours = filename.startswith((_PACKAGE, "<"))
    return ours or "site-packages" in filename or "dist-packages" in filename


@torch.no_grad()
def _reason(run: Callable[[Tensor], Any], channels: int, height: int, width: int) -> str | None:
    """The error message of the network on images of that size; None if it runs."""
    try:
        run(torch.rand(2, channels, height, width, generator=torch.Generator().manual_seed(0)))
    except Exception as error:  # user code can raise anything
        return first_line(error)
    return None


def prepared(network: nn.Module, size: tuple[int, int], channels: int = 3) -> nn.Module:
    """Prepares a network for a FeatureNet and freezes it.

    Removes the wrappers of torch.compile and DataParallel, which change layer names. Initializes lazy modules with a
    dry run. Copies weights that were created under torch.inference_mode(), which autograd rejects.

    Args:
        network: The module.
        size: Height and width of the images of the dry run, in pixels.
        channels: Their number of channels.

    Returns:
        The network, frozen.

    Raises:
        UserError: If the dry run fails.
    """
    while (inner := _wrapped(network)) is not None:
        network = inner
    with torch.inference_mode(False), torch.no_grad():
        if _is_lazy(network):
            _dry_run(network, size, channels)
        for module in network.modules():
            for name, parameter in list(module.named_parameters(recurse=False)):
                if parameter.is_inference():
                    setattr(module, name, nn.Parameter(parameter.clone(), requires_grad=False))
            for name, buffer in list(module.named_buffers(recurse=False)):
                if buffer.is_inference():
                    setattr(module, name, buffer.clone())
    for parameter in network.parameters():  # ScriptModule has no requires_grad_
        parameter.requires_grad_(False)
    return network


def _wrapped(network: nn.Module) -> nn.Module | None:
    """Returns the module inside a wrapper of torch.compile or DataParallel; None for any other module."""
    if isinstance(network, nn.DataParallel):
        return network.module
    # Naming torch._dynamo would import it, which takes seconds; what it wraps was wrapped after it was imported.
    if "torch._dynamo" in sys.modules and isinstance(network, torch._dynamo.OptimizedModule):
        return network._orig_mod
    return None


def _is_lazy(network: nn.Module) -> bool:
    return any(nn.parameter.is_lazy(tensor) for tensor in (*network.parameters(), *network.buffers()))


def _dry_run(network: nn.Module, size: tuple[int, int], channels: int) -> None:
    try:
        network.train(False)(torch.rand(2, channels, *size, generator=torch.Generator().manual_seed(0)))
    except Exception as error:  # user code can raise anything
        raise UserError(
            f"lazy modules get their shapes in a first run, and that fails on images of {size[0]}x{size[1]} pixels: "
            f"{format_error(error)}; give the size that the network takes with input_size="
        ) from error
    if _is_lazy(network):
        names = [name for name, tensor in network.named_parameters() if nn.parameter.is_lazy(tensor)]
        raise UserError(f"the weight {names[0]} still has no shape after a first run: its lazy module is never called")


class TorchScript(nn.Module):
    """Wraps a scripted or traced network, which does not support hooks."""

    def __init__(self, script: nn.Module) -> None:
        super().__init__()
        self.script = script

    def forward(self, images: Tensor) -> Any:
        return self.script(images)
