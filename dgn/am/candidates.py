"""Where searches start among the draws of a code model: at codes that excite their objectives."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from dgn.am.attempts import attempt_of
from dgn.am.objectives.algebra import Objective
from dgn.am.objectives.evaluation import objective_values
from dgn.am.objectives.surrogates import is_log_probability, log_probability
from dgn.networks.featurenet import FeatureNet
from dgn.prior import Prior
from dgn.prior.code_model import CodeModel, to_codes
from dgn.runs.progress import announced

_BATCH = 64
_BLOCK = 16  # seeds whose candidates differ
_FEWER = "fewer with method.parametrization.candidates=N, none with start=noise"
_OTHER_BLOCKS = 100_003  # between the numbers of a block's first and second attempt
_TILT = 2.0  # of the log-probability, or of standard deviations


class Candidates:
    """Draws codes once, and chooses one for each search by what the target sees in its image.

    Seed s of an objective starts at candidate i with a probability in proportion to w_i, and no two seeds of a block of
    16 (0 to 15, 16 to 31, ...) at the same one. For a class, w is the square of the probability that the target gives
    it: candidates are drawn from p(z), the code model, so that the chosen ones are draws from p(z) p(class | z)^2. For
    any other objective f, w = exp(2 (f - mean) / standard deviation), both over the candidates.

    The candidates depend on the prior alone, and the choice on objective and seed: not on what else is searched.

    Args:
        prior: the prior, which has a code model.
        target: the network whose units are maximized.
        count: how many codes are drawn.
    """

    def __init__(self, prior: Prior, target: FeatureNet, count: int) -> None:
        self._prior, self._target, self._count = prior, target, count
        self._weights: dict[Objective, Tensor] = {}
        self._spreads: dict[Objective, float] = {}

    @torch.no_grad()
    def choose(self, seeds: Sequence[int], objectives: Sequence[Objective] = ()) -> Tensor:
        """Returns coordinates of the code model, (N, k), for N searches of these seeds and objectives.

        Without objectives every candidate is as probable.
        """
        coordinates = self.drawn.coordinates
        if not objectives:
            return coordinates[[choice(torch.zeros(self._count), seed) for seed in seeds]]
        new = [objective for objective in dict.fromkeys(objectives) if objective not in self._weights]
        if new:
            self._weights |= dict(zip(new, self._log_weights(new), strict=True))
        rows = [choice(self._weights[o], seed) for o, seed in zip(objectives, seeds, strict=True)]
        return coordinates[rows]

    def spread(self, objectives: Sequence[Objective]) -> Tensor:
        """Returns the standard deviation over the candidates of each objective, (N, 1); for objectives of `choose`."""
        return torch.tensor([[self._spreads[objective]] for objective in objectives])

    @cached_property
    def drawn(self) -> "Drawn":
        """The draws, made when they are first needed."""
        return draws_of(self._prior, self._count)

    def _log_weights(self, objectives: Sequence[Objective]) -> Tensor:
        """Returns log w of every candidate for each objective, (objectives, count), on the CPU."""
        read = [log_probability(objective, self._target) for objective in objectives]
        what = "Showing the target what the prior draws, where searches start"
        parts = announced(self.drawn.images.split(_BATCH), self._count, what, _FEWER, _BATCH)
        batches = (part.float().div(255) for part in parts)
        values = objective_values(self._target, read, batches).T.nan_to_num(-torch.inf, posinf=-torch.inf)
        self._spreads |= {o: _deviation(row) for o, row in zip(objectives, values, strict=True)}
        return torch.stack([
            _TILT * row if all(is_log_probability(term) for _, term in objective.terms) else tilted(row)
            for row, objective in zip(values, read, strict=True)
        ])  # fmt: skip


@dataclass(frozen=True)
class Drawn:
    """Codes that a code model has drawn, and their images.

    Attributes:
        generator: what painted the images.
        coordinates: of the code model, (count, k).
        images: uint8 (count, C, H, W): 500 images of 227 pixels are 77 MB.
        measured: what was measured of the images, by the network that saw them.
    """

    generator: nn.Module
    coordinates: Tensor
    images: Tensor
    measured: "WeakKeyDictionary[nn.Module, dict[tuple[float, int], Tensor]]" = field(default_factory=WeakKeyDictionary)

    def are_of(self, prior: Prior, count: int) -> bool:
        return self.generator is prior.generator and (len(self.images), self.images.device) == (count, prior.device)


_KEPT: "WeakKeyDictionary[nn.Module, Drawn]" = WeakKeyDictionary()
"""The draws of every code model in use: a run has several groups of searches, and draws depend on the prior alone."""


def draws_of(prior: Prior, count: int) -> Drawn:
    """Returns `count` draws of a prior's code model, always the same; those of the last count are kept."""
    model = prior.code_model
    assert model is not None  # NoisyCode asks for it
    drawn = _KEPT.get(model)
    if drawn is None or not drawn.are_of(prior, count):
        drawn = _KEPT[model] = _draw(prior, model, count)
    return drawn


def _draw(prior: Prior, model: CodeModel, count: int) -> Drawn:
    axes, rectified = prior.code_axes, prior.statistics.rectified
    coordinates = model.sample(count, torch.Generator().manual_seed(0))
    what = "Drawing images of the prior, of which searches start at those that excite their unit"
    parts = announced(coordinates.split(_BATCH), count, what, _FEWER, _BATCH)
    with torch.no_grad():
        images = [prior.decode(to_codes(part, axes, rectified)).mul(255).round().byte() for part in parts]
    return Drawn(prior.generator, coordinates, torch.cat(images))


def choice(log_weights: Tensor, seed: int) -> int:
    """Returns the candidate of a seed: a draw in proportion to exp(log_weights), (count,), without those of the block.

    The candidates in the order of log w plus Gumbel noise are draws without replacement (Vieira 2014). A search that is
    begun again (`dgn.am.again`) takes part in another such draw, with the same attempt of the block's other seeds.
    """
    attempt, own = attempt_of(seed)
    block, place = divmod(own, _BLOCK)
    generator = torch.Generator().manual_seed(block + attempt * _OTHER_BLOCKS)
    uniform = torch.rand(len(log_weights), generator=generator)
    noisy = log_weights - (-uniform.clamp(1e-9, 1 - 1e-7).log()).log()
    return int(noisy.argsort(descending=True, stable=True)[place % len(noisy)])


def tilted(values: Tensor) -> Tensor:
    """Returns log w of values (count,): in their standard deviations, times 2."""
    finite = values[values.isfinite()]
    if len(finite) < 2:
        return torch.zeros_like(values)
    return _TILT * (values - finite.mean()) / finite.std().clamp_min(1e-12)


def _deviation(values: Tensor) -> float:
    """The standard deviation of the finite values; 0 for fewer than two."""
    finite = values[values.isfinite()]
    return float(finite.std()) if len(finite) > 1 else 0.0
