"""The searches of an approach: one image for each objective and seed."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from rich.progress import track
from torch import Tensor

from dgn.am.film import Film
from dgn.am.maximize import Preferred, Stage, maximize
from dgn.am.objectives.algebra import Objective
from dgn.am.setting import Setting
from dgn.am.starts import Starts
from dgn.data.datamodule import ImageData
from dgn.data.images import read_image
from dgn.networks.featurenet import FeatureNet
from dgn.prior.location import load_code_prior
from dgn.runs.ranks import interactive
from dgn.visualization.approaches import Approach
from dgn.visualization.settings import SearchSettings


@dataclass(frozen=True)
class SearchResult:
    """What the searches of an approach gave.

    Attributes:
        approach: the method and the prior.
        preferred: the preferred images.
        seconds: the duration of a search.
        stages: the stages of the searches. The first one's `parametrization.start(seeds, objectives)` returns the
            parameters with which searches start, from the seeds of `preferred` plus the run's seed.
    """

    approach: Approach
    preferred: Preferred
    seconds: float
    stages: Sequence[Stage]


def search(
    approach: Approach,
    target: FeatureNet,
    objectives: Sequence[Objective],
    settings: SearchSettings,
    data: ImageData | None,
    starts: Starts | None = None,
    film: Film | None = None,
) -> SearchResult:
    """Runs the searches of an approach.

    Args:
        approach: the method and the prior.
        target: the network whose units are maximized.
        objectives: the objectives.
        settings: how searches run, and their seeds.
        data: real images on which a method measures statistics.
        starts: the starts of each objective's searches; None: `approach.start` says.
        film: is called with the frames of every search.
    """
    began = time.perf_counter()
    begin: str | Tensor | Starts = starts or approach.start
    if isinstance(begin, str) and begin not in ("noise", "sample"):
        begin = read_image(begin).unsqueeze(0).float().div(255)
    setting = Setting(
        target,
        approach.prior,
        settings.canvas_size,
        _image_batches(data),
        begin,
        lambda: load_code_prior(settings.code_prior, setting.codes()),
    )
    stages = approach.method.stages(setting)
    preferred = maximize(
        target,
        objectives,
        stages,
        settings.seeds,
        settings.batch_size,
        settings.seed,
        settings.diversity,
        _progress,
        film,
    )
    seconds = (time.perf_counter() - began) / len(preferred.images)
    return SearchResult(approach, preferred, seconds, stages)


def _image_batches(data: ImageData | None) -> Callable[[int], Iterator[Tensor]] | None:
    return None if data is None else lambda count: (images for images, _ in data.real_images(count))


def _progress(steps: Iterable[int], total: int) -> Iterable[int]:
    return track(steps, "searching", total=total) if interactive() else steps
