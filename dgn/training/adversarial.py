"""Forms of the adversarial loss: what D and G learn from D's scores of real and generated images.

Scores are lists over D's heads of tensors (N, positions); larger is more real. Every head counts the same. The image x
and its reconstruction G(E(x)) are a pair, so the relativistic form has natural pairs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from dgn.errors import UserError
from dgn.networks.precision import at_least_float32, full_precision

Scores = Sequence[Tensor]


class Adversarial(Protocol):
    """A form of the adversarial loss.

    Attributes:
        penalty: Weight of the gradient penalties R1 and R2 on D (0: none).
    """

    @property
    def penalty(self) -> float: ...

    def discriminator(self, real: Scores, generated: Scores) -> Tensor:
        """Returns the loss of D, a scalar."""
        ...

    def generator(self, real: Scores, generated: Scores) -> Tensor:
        """Returns the loss of G, a scalar."""
        ...


@dataclass(frozen=True)
class CrossEntropy:
    """The paper's form: -log D(x) - log(1 - D(G(y))) for D, and -log D(G(y)) for G (non-saturating).

    With D(x) = sigmoid(score), this is the cross entropy of a softmax over two logits whose difference is the score.
    """

    penalty: float = 0.0

    def __post_init__(self) -> None:
        _check(self.penalty)

    def discriminator(self, real: Scores, generated: Scores) -> Tensor:
        return _mean(lambda score: F.softplus(-score), real) + _mean(F.softplus, generated)

    def generator(self, real: Scores, generated: Scores) -> Tensor:
        return _mean(lambda score: F.softplus(-score), generated)


@dataclass(frozen=True)
class Hinge:
    """max(0, 1 - D(x)) + max(0, 1 + D(G(y))) for D, and -D(G(y)) for G (Lim & Ye 2017; Projected GAN)."""

    penalty: float = 0.0

    def __post_init__(self) -> None:
        _check(self.penalty)

    def discriminator(self, real: Scores, generated: Scores) -> Tensor:
        return _mean(lambda score: F.relu(1 - score), real) + _mean(lambda score: F.relu(1 + score), generated)

    def generator(self, real: Scores, generated: Scores) -> Tensor:
        return _mean(lambda score: -score, generated)


@dataclass(frozen=True)
class Relativistic:
    """softplus(D(G(y)) - D(x)) for D, and softplus(D(x) - D(G(y))) for G, of pairs (R3GAN, Huang et al. 2024).

    It needs the penalties R1 and R2.
    """

    penalty: float = 1.0

    def __post_init__(self) -> None:
        _check(self.penalty)

    def discriminator(self, real: Scores, generated: Scores) -> Tensor:
        return _mean(F.softplus, _differences(generated, real))

    def generator(self, real: Scores, generated: Scores) -> Tensor:
        return _mean(F.softplus, _differences(real, generated))


def gradient_penalty(
    judge: Callable[[Sequence[Tensor], Sequence[Tensor]], tuple[Scores, Scores]],
    real: Sequence[Tensor],
    generated: Sequence[Tensor],
    weight: float = 1.0,
) -> Tensor:
    """Returns weight / 2 * (R1 + R2): the mean squared norms of the gradients of D's scores at what D sees.

    R1 is that at real images (Mescheder et al. 2018), R2 that at generated ones.

    Args:
        judge: Maps what D sees of real and of generated images to the scores of both.
        real: What D sees of real images: the images (N, 3, H, W), or features (N, ...) of several layers.
        generated: The same of generated images.
        weight: gamma.
    """
    leaves = [[x.detach().requires_grad_() for x in seen] for seen in (real, generated)]
    scores = judge(leaves[0], leaves[1])
    squares = []
    for seen, judged in zip(leaves, scores, strict=True):
        summed = torch.stack([at_least_float32(score).mean(1).sum() for score in judged]).mean()
        gradients = torch.autograd.grad(summed, seen, create_graph=True)
        squares += [at_least_float32(gradient).square().flatten(1).sum(1).mean() for gradient in gradients]
    return weight / 2 * torch.stack(squares).sum()


@full_precision
def _head_mean(score: Tensor) -> Tensor:
    return score.mean()


def _mean(function: Callable[[Tensor], Tensor], scores: Scores) -> Tensor:
    return torch.stack([_head_mean(function(at_least_float32(score))) for score in scores]).mean()


def _differences(a: Scores, b: Scores) -> list[Tensor]:
    return [x - y for x, y in zip(a, b, strict=True)]


def _check(penalty: float) -> None:
    if not 0 <= penalty < float("inf"):
        raise UserError(f"adversarial.penalty={penalty} must be a number >= 0 (0: no penalty)")
