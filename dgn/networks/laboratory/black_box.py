"""A target that gives one or several scores for an image and nothing else, as a FeatureNet with one layer."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from dgn.devices import moved
from dgn.errors import UserError
from dgn.networks.featurenet import FeatureNet
from dgn.networks.inputs import InputSpace
from dgn.networks.layers import Layer
from dgn.networks.receptive.field import ReceptiveField

SCORES = "score"
"""The name of the layer: its units are the scores."""


class Scorer(Protocol):
    """What scores images.

    Attributes:
        name: what it is called in messages and on pages.
        channels: the names of its scores.
        repeatable: whether it can be asked about any image at any time; an experiment is asked about nothing but the
            images of the search.
    """

    @property
    def name(self) -> str: ...

    @property
    def channels(self) -> Sequence[str]: ...

    @property
    def repeatable(self) -> bool: ...

    def __call__(self, images: Tensor) -> Tensor:
        """Returns the scores, (N, channels), float, NaN where there is none, of images (N, C, H, W) in [0, 1]."""


class BlackBox(FeatureNet):
    """A target that gives scores: `score:0` is its first.

    Methods that need no gradient search its images, and all measures that need no gradient and no other layer apply.

    Args:
        scorer: what scores the images.
    """

    has_gradient = False
    may_miss_images = True

    def __init__(self, scorer: Scorer) -> None:
        super().__init__(nn.Identity(), _AllChannels(), scorer.name, labels=scorer.channels, classes_at=SCORES)
        self.scorer, self.repeatable = scorer, scorer.repeatable
        self._layers = {SCORES: Layer(SCORES, (len(scorer.channels),), "Scores", SCORES)}

    def before_rectifier(self, name: str) -> str:
        return self.layer(name).name

    def code_layer(self) -> str:
        return SCORES

    def several_layers(self, count: int = 4) -> list[str]:
        return [SCORES]

    def receptive_field(self, layer: str) -> ReceptiveField | None:
        return None

    def fingerprint(self) -> str:
        return f"black box {self.name}"

    def _run(self, inputs: Tensor, wanted: set[str]) -> dict[str, Tensor]:
        """Scores images; there is no gradient."""
        with torch.no_grad():
            scores = self.scorer(inputs.detach().float().clamp(0, 1).cpu())
        if tuple(scores.shape) != (len(inputs), len(self.labels)):
            raise UserError(
                f"{self.name} gave scores of shape {tuple(scores.shape)} for {len(inputs)} images; it must give "
                f"{(len(inputs), len(self.labels))}"
            )
        return {SCORES: moved(scores.float(), inputs.device)}


class _AllChannels(InputSpace):
    """Images as they are, of whatever channels."""

    def enter(self, images: Tensor) -> Tensor:
        return images

    def seen(self, images: Tensor) -> Tensor:
        return images


def channel_names(scores: int | Sequence[str]) -> tuple[str, ...]:
    """Returns the names of scores: those that are given, or `score 0`, ... for a number of them.

    Raises:
        UserError: for no score.
    """
    if isinstance(scores, bool) or not isinstance(scores, int | Sequence) or isinstance(scores, str) or not scores:
        raise UserError(f"scores={scores}: give the number of scores of an image, or a list of their names")
    if isinstance(scores, int):
        if scores < 1:
            raise UserError(f"scores={scores}: give the number of scores of an image, at least 1")
        return tuple(f"score {i}" for i in range(scores))
    return tuple(map(str, scores))
