"""Checks of the values of an input space (`dgn.networks.inputs`)."""

from collections.abc import Sequence
from typing import Any

from dgn.data.channels import in_words
from dgn.errors import UserError


def check_choice(key: str, value: str, right: tuple[str, ...]) -> None:
    """Raises UserError if a value is none of the right ones."""
    if value not in right:
        raise UserError(f"{key}={value!r} must be one of {', '.join(right)}")


def check_bands(bands: Sequence[Any] | None, channel_order: str, channels: int) -> None:
    """Raises UserError if `bands` are no indices of channels, or not as many as the network takes.

    Args:
        bands: The indices; None: all channels.
        channel_order: The network's.
        channels: The number of channels that it takes.
    """
    if bands is None:
        return
    if not bands or not all(isinstance(i, int) and not isinstance(i, bool) and i >= 0 for i in bands):
        raise UserError(f"bands={formatted(bands)}: give indices of channels, counted from 0: bands=[3,2,1]")
    # One band enters a network of RGB as grey does, and three one of grey as RGB does.
    further = {"RGB": 1, "BGR": 1, "grey": 3}.get(channel_order, channels)
    if len(bands) not in (channels, further):
        raise UserError(
            f"bands={formatted(bands)} names {len(bands)} channels, and the network takes {in_words(channels)}; "
            "give as many"
        )


def is_number(value: Any) -> bool:
    """Whether a value is a finite number that float32 can hold, and not true or false."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e38


def formatted(value: Any) -> str:
    """Formats a value as on a command line."""
    return f"[{','.join(map(str, value))}]" if isinstance(value, list | tuple) else str(value)
