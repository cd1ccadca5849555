"""Evolution by asking and telling: the search asks for the scores of images, and whoever has them tells it."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dgn.am.evolution import STRATEGIES, Evolve
from dgn.am.evolution.strategy import MakeStrategy
from dgn.am.parametrizations import Code
from dgn.am.regularizers import Clip
from dgn.am.setting import Setting
from dgn.am.step import Draws, Step
from dgn.data.images import as_images
from dgn.errors import UserError
from dgn.networks.laboratory import BlackBox
from dgn.prior import Prior
from dgn.visualization.live_evolution import TITLE, LiveGenerations


class Evolution:
    """A search without gradients whose scores come from elsewhere.

        search = Evolution(prior, generations=75, folder="evolution")
        while search.generation < 75:
            codes, images = search.ask()
            search.tell(measure(images))
        search.best_image

    With a folder, each generation is written there, whole, as soon as it is told, and the same call goes on after the
    last one, also after a crash: the generations that follow are those of a search that was not stopped. The page
    `evolution.html` in the folder shows scores and images, and reloads itself.

    Args:
        prior: whose codes are searched.
        strategy: "cma_sphere", "cma_cholesky", "cma" or "genetic", or what makes another: `partial(SphericalCMA,
            population=20)`.
        generations: over how many generations schedules run; more can be asked for.
        seed: of its random numbers.
        start: "noise", "sample", or an image; see `Setting.begin`.
        subspace: the number of principal axes that are searched, "all", or None for the code itself; see `Code`.
        clip: whether codes are kept in the prior's bounds. The published searches have none.
        sigmas: the size of these bounds.
        folder: where generations are kept; None: nowhere.
        title: of the page.

    Raises:
        UserError: for an unknown strategy, or a folder with another search.
    """

    def __init__(
        self,
        prior: Prior,
        strategy: str | MakeStrategy = "cma_sphere",
        generations: int = 75,
        seed: int = 0,
        start: str | Any = "noise",
        subspace: int | str | None = None,
        clip: bool = False,
        sigmas: float = 3.0,
        folder: str | Path | None = None,
        title: str = TITLE,
    ) -> None:
        if isinstance(strategy, str) and strategy not in STRATEGIES:
            raise UserError(f"strategy={strategy!r}: give {', '.join(STRATEGIES)}, or what makes one")
        name = strategy if isinstance(strategy, str) else str(strategy)
        begin = start if isinstance(start, str) else as_images(start)
        self._code = Code(Setting(BlackBox(_Caller()), prior, begin=begin), sigmas, subspace)
        self._clip = Clip() if clip else None
        self._update = Evolve(STRATEGIES[strategy] if isinstance(strategy, str) else strategy)
        parameters = self._code.start([seed]).detach().float()
        self._draws, self._steps = Draws([seed], parameters.device), generations
        self._update.begin(parameters, generations, self._code.unit, [self._draws.generators[0].initial_seed()])
        self.generation = 0
        """The number of generations that were told."""
        self.scores: list[Tensor] = []
        """The scores of each, (population,), NaN where there is none."""
        self._asked: tuple[Tensor, Tensor] | None = None
        self._kept = None
        if folder is not None:
            begun = start if isinstance(start, str) else "given"
            about = f"{name}, {generations} generations, seed {seed}, start {begun}, "
            about += f"subspace {subspace}, clip {self._clip is not None}, sigmas {sigmas}, {prior.source}"
            self._kept = LiveGenerations(Path(folder) / "generations", ["search"], about, name, Path(folder), title)
            self._go_on(Path(folder))

    @torch.no_grad()
    def ask(self) -> tuple[Tensor, Tensor]:
        """Returns the next generation: codes (population, *code_shape) and images (population, 3, H, W) in [0, 1].

        Asked again before the scores were told, it returns the same.
        """
        if self._asked is None:
            candidates = self._update.ask()[0]
            if self._clip is not None:
                step = Step(self._code, candidates, candidates.new_empty(0), self._draws, self.generation, self._steps)
                self._clip.project(step)
            self._asked = candidates, self._code.images(candidates)
        candidates, images = self._asked
        return self._code.coordinates.codes(candidates), images

    def tell(self, scores: Any) -> None:
        """Takes the scores of the images that were asked for.

        Args:
            scores: (population,), a tensor, an array or a list; NaN for an image that was missed.

        Raises:
            UserError: if nothing was asked for, or if there are not as many scores as images.
        """
        if self._asked is None:
            raise UserError("nothing was asked for: call ask() before tell(scores)")
        candidates, images = self._asked
        values = (
            scores.detach().cpu() if isinstance(scores, Tensor) else torch.as_tensor(np.asarray(scores, np.float32))
        )
        if tuple(values.shape) != (len(candidates),):
            raise UserError(f"scores of shape {tuple(values.shape)} for {len(candidates)} images; give one score each")
        values = values.float()
        if self._kept is not None:
            self._kept.add(self.generation, candidates[None], values[None], images)
        self._take(candidates, values)

    @property
    def best_score(self) -> float:
        """The highest score of any image; minus infinity before there is one."""
        return float(self._update.best_scores)

    @property
    @torch.no_grad()
    def best_code(self) -> Tensor:
        """The code of that image, (*code_shape)."""
        return self._code.coordinates.codes(self._update.best)[0]

    @property
    @torch.no_grad()
    def best_image(self) -> Tensor:
        """The image with the highest score, (3, H, W)."""
        return self._code.images(self._update.best)[0]

    @property
    @torch.no_grad()
    def centre_image(self) -> Tensor:
        """The image in the middle of the next generation, (3, H, W); with noisy scores it tells more than the best."""
        return self._code.images(self._update.centres)[0]

    def _take(self, candidates: Tensor, scores: Tensor) -> None:
        self._update.tell(candidates[None], scores[None].to(candidates.device))
        self.scores.append(scores)
        self.generation += 1
        self._asked = None

    def _go_on(self, folder: Path) -> None:
        """Tells the generations that are kept to the strategy again."""
        assert self._kept is not None
        if self._kept.of_others():
            raise UserError(f"{folder} holds another search; name another folder, or begin as that one did")
        while (kept := self._kept.find(self.generation)) is not None:
            self._update.ask()  # draws the same random numbers as before
            self._take(kept[0][0].to(self._code.prior.device), kept[1][0])


class _Caller:
    """The scorer of a search whose scores are told."""

    name, channels, repeatable = "the caller", ("score",), False

    def __call__(self, images: Tensor) -> Tensor:
        raise UserError("the scores of this search are told, with tell(scores)")
