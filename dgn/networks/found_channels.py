"""The number of channels that a network takes, found from its modules."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from dgn.data.channels import in_words
from dgn.errors import UserError
from dgn.networks.inputs import InputSpace


def first_channels(network: nn.Module) -> int | None:
    """Returns the input channels of the first convolution; None if there is none."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            return module.in_channels
    return None


def stored_channels(state: Mapping[str, Tensor] | None, name: str) -> int | None:
    """Returns the input channels of a convolution's weight in a state dict; None if it is not there."""
    weights = [] if state is None else [value for key, value in state.items() if key.endswith(name)]
    return weights[0].shape[1] if weights and weights[0].ndim == 4 else None


def with_found_channels(
    space: InputSpace, network: nn.Module, given: Mapping[str, Any], data_channels: int | None
) -> InputSpace:
    """Returns the input space of as many channels as the network takes, if they are not given.

    These are the input channels of its first convolution, or without one the data's. A network that makes its own input
    of RGB, and so runs on it, keeps it.

    Args:
        space: The space by the settings.
        network: The module.
        given: The settings of the space that the user has given.
        data_channels: The number of channels of the data, if they are known.

    Raises:
        UserError: If `mean` or `std` are of another number of channels than the network takes.
    """
    if {"channels", "channel_order"} & given.keys():
        return space
    channels = first_channels(network)
    if space.channels != 3:
        numbers = {"mean", "std"} & given.keys()
        if numbers and channels not in (None, space.channels) and not _runs(network, space):
            raise UserError(
                f"{' and '.join(sorted(numbers))} of {in_words(space.channels)} do not suit a network that takes "
                f"{in_words(channels or 3)}; give one number for each of its channels"
            )
        return space
    if channels is None:
        bands = space.bands
        channels = data_channels if bands is None else len(bands)
    if channels in (None, 3) or _runs(network, space):
        return space
    return space.overridden(channels=channels)


@torch.no_grad()
def _runs(network: nn.Module, space: InputSpace) -> bool:
    """Whether the network runs on images of the space's channels."""
    for size in (space.size or (224, 224), (64, 64)):
        parameter = next(network.parameters(), torch.zeros(()))
        images = torch.zeros(2, space.channels, *size, dtype=parameter.dtype, device=parameter.device)
        mode = network.training
        try:
            network.train(False)(images)
            return True
        except Exception:  # user code can raise anything
            continue
        finally:
            network.train(mode)
    return False
