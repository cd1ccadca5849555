"""A clamp whose gradient can come back: it is blocked only where it points further out of the range."""

import torch
from torch import Tensor


def clamp(values: Tensor, low: float | None, high: float | None) -> Tensor:
    """Clamps values to [low, high]; None: no bound. Differentiable.

    A usual clamp passes no gradient from a value outside, so that ascent can never bring it back. Here the gradient
    passes unless ascent along it would move the value further out.
    """
    clamped: Tensor = _Clamp.apply(values, low, high)
    return clamped


class _Clamp(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values: Tensor, low: float | None, high: float | None) -> Tensor:  # type: ignore[no-untyped-def]
        ctx.save_for_backward(values)
        ctx.low, ctx.high = low, high
        return values.clamp(low, high)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[no-untyped-def]
        (values,) = ctx.saved_tensors
        outwards = torch.zeros_like(gradient, dtype=torch.bool)
        if ctx.low is not None:
            outwards |= (values < ctx.low) & (gradient < 0)
        if ctx.high is not None:
            outwards |= (values > ctx.high) & (gradient > 0)
        return torch.where(outwards, 0, gradient), None, None
