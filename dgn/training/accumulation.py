"""Gradient accumulation and clipping for training steps with manual optimization."""

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn

from dgn.networks.dropout import SharedDropout


def parts(batch: Sequence[Tensor], count: int) -> Iterator[tuple[Tensor, ...]]:
    """Yields the batch of a step in `count` equal parts.

    If the gradients of loss / count are summed over the parts, the step equals that of the whole batch, with the
    memory of one part. Every part starts from the same random state, from which `SharedDropout` draws the mask of the
    whole batch and takes the rows of the part.

    Args:
        batch: Tensors (N, ...), with N a multiple of count.
        count: The number of parts.

    Raises:
        ValueError: If N is not a multiple of count.
    """
    if count == 1:
        yield tuple(batch)
        return
    if len(batch[0]) % count:
        raise ValueError(f"a batch of {len(batch[0])} does not divide into {count} equal parts")
    device = batch[0].device
    state = _random_state(device)
    try:
        for index, part in enumerate(zip(*(tensor.chunk(count) for tensor in batch), strict=True)):
            SharedDropout.part = (index, count)
            _set_random_state(state, device)
            yield part
    finally:
        SharedDropout.part = (0, 1)


def clip_gradients(parameters: Iterable[nn.Parameter], norm: float | None) -> None:
    """Clips the gradients of one network to a total norm of `norm` over all its parameters (None: no clipping)."""
    if norm is not None:
        nn.utils.clip_grad_norm_([p for p in parameters if p.grad is not None], norm)


def _random_state(device: torch.device) -> tuple[Tensor, Tensor | None]:
    of_device = None if device.type == "cpu" else torch.get_device_module(device).get_rng_state(device)
    return torch.get_rng_state(), of_device


def _set_random_state(state: tuple[Tensor, Tensor | None], device: torch.device) -> None:
    torch.set_rng_state(state[0])
    if state[1] is not None:
        torch.get_device_module(device).set_rng_state(state[1], device)
