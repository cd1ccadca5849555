"""A Python function as a target."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dgn.errors import UserError
from dgn.networks.custom import named_function
from dgn.networks.foreign_code import format_error
from dgn.networks.laboratory.black_box import BlackBox, channel_names


class FunctionScorer:
    """Scores images by a function.

    Args:
        function: takes images, a tensor (N, C, H, W) in [0, 1], RGB unless the prior's have other channels, and gives
            scores (N,) or (N, channels): a tensor, an array or a list. NaN: no score.
        channels: names of the scores.
        name: the function's name.
    """

    repeatable = True

    def __init__(self, function: Callable[[Tensor], Any], channels: Sequence[str], name: str) -> None:
        self.function, self.channels, self.name = function, tuple(channels), name

    def __call__(self, images: Tensor) -> Tensor:
        try:
            given = self.function(images)
        except Exception as error:  # user code can raise anything
            raise UserError(
                f"{self.name} fails on {len(images)} images: {format_error(error)}; fix it there"
            ) from error
        return as_scores(given, len(images), len(self.channels), self.name)


def function_target(function: str | None = None, scores: int | Sequence[str] = 1, **_: Any) -> BlackBox:
    """Makes a target of a function that the user names.

    Args:
        function: `package.module:function` or `path/to/file.py:function`, see `FunctionScorer`.
        scores: the number of scores of an image, or their names.

    Raises:
        UserError: if the function is not found.
    """
    if not function:
        raise UserError("which function? give target.function=package.module:function or path/to/file.py:function")
    named = named_function(function, "target.function")
    return BlackBox(FunctionScorer(named, channel_names(scores), function))


def as_scores(given: Any, images: int, channels: int, source: str) -> Tensor:
    """Returns scores (images, channels) from what a user's code gave.

    Raises:
        UserError: if they are not numbers, or not as many as asked for.
    """
    if given is None:
        raise UserError(f"{source} gave None for {images} images; it must return their scores")
    try:
        values = given.detach().cpu() if isinstance(given, Tensor) else torch.from_numpy(np.asarray(given, np.float64))
        values = values.to(torch.float32)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"{source} gave a {type(given).__name__} that is no array of numbers ({error})") from None
    if channels == 1 and tuple(values.shape) == (images,):
        values = values[:, None]
    if tuple(values.shape) != (images, channels):
        wanted = f"({images},)" if channels == 1 else f"({images}, {channels})"
        raise UserError(
            f"{source} gave scores of shape {tuple(values.shape)} for {images} images; it must give {wanted} "
            "(target.scores= is the number of scores of an image)"
        )
    return values
