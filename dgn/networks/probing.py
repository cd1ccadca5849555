"""Runs of a network on plain noise, by which its layers, receptive fields and mistakes are found."""

from dataclasses import replace
from typing import Any, Protocol

import torch
from torch import Tensor

from dgn.errors import UserError
from dgn.networks.foreign_code import why_it_fails
from dgn.networks.inputs import InputSpace


class Probed(Protocol):
    """A network with an input space of its own, such as a FeatureNet."""

    name: str
    input_space: InputSpace
    probe_size: tuple[int, int]

    @property
    def device(self) -> torch.device: ...

    def run(self, inputs: Tensor) -> Any:
        """Runs the network on its own inputs (N, channels, H, W)."""
        ...


def noise_images(net: Probed, count: int, seed: int, size: tuple[int, int] | None = None) -> Tensor:
    """Returns images of plain noise that a network takes, (count, C, *size), on its device.

    Args:
        net: The network.
        count: Their number.
        seed: Of the noise.
        size: Height and width; None: those of its probe images.
    """
    shape = (count, net.input_space.image_channels, *(size or net.probe_size))
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)).to(net.device)


@torch.inference_mode(False)
@torch.no_grad()
def run_on_noise(net: Probed, count: int = 2, larger: int = 0) -> None:
    """Runs a network on `count` of two probe images, `larger` pixels larger than its own size.

    Raises:
        UserError: If it cannot be run on images of its size. On larger ones it may fail: the layers before the error
            have been recorded.
    """
    height, width = net.probe_size
    images = noise_images(net, 2, seed=0, size=(height + larger, width + 2 * larger))[:count]
    space = replace(net.input_space, size=None) if larger else net.input_space
    try:
        net.run(space.enter(images))
    except Exception as error:  # user code can raise anything
        if larger:
            return
        run = lambda inputs: net.run(inputs.to(net.device))  # noqa: E731
        raise UserError(why_it_fails(net.name, net.probe_size, error, run, space.channels)) from error
