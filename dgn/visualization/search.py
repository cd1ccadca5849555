"""The searches of an approach: one image for each objective and seed."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from rich.progress import track
from torch import Tensor

from dgn.am.film import Film
from dgn.am.maximize import Preferred, Stage, maximize
from dgn.am.objectives.algebra import Objective
from dgn.am.preferred import joined
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
        stages_from_noise: the stages of the searches that start from noise because their objectives have no start
            (`preferred.starts`), if there are any.
    """

    approach: Approach
    preferred: Preferred
    seconds: float
    stages: Sequence[Stage]
    stages_from_noise: Sequence[Stage] = ()


def search(
    approach: Approach,
    target: FeatureNet,
    objectives: Sequence[Objective],
    settings: SearchSettings,
    data: ImageData | None,
    starts: Starts | Tensor | None = None,
    film: Film | None = None,
) -> SearchResult:
    """Runs the searches of an approach.

    Args:
        approach: the method and the prior.
        target: the network whose units are maximized.
        objectives: the objectives.
        settings: how searches run, and their seeds.
        data: real images on which a method measures statistics.
        starts: the starts of each objective's searches, where searches for other objectives start from noise; or images
            (M, 3, h, w), where seed s starts from image s modulo M; None: `approach.start` says.
        film: is called with the frames of every search.
    """
    others = [o for o in objectives if isinstance(starts, Starts) and o not in starts]
    if not others:
        return _search(approach, target, objectives, settings, data, starts, film)
    from_noise = _search(replace(approach, start="noise"), target, others, settings, data, None, film)
    near = [o for o in objectives if o not in others]
    if not near:
        return replace(from_noise, approach=approach, stages=(), stages_from_noise=from_noise.stages)
    begun = _search(approach, target, near, settings, data, starts, film)
    preferred = joined([begun.preferred, from_noise.preferred], objectives)
    seconds = sum(part.seconds * len(part.preferred.images) for part in (begun, from_noise)) / len(preferred.images)
    return SearchResult(approach, preferred, seconds, begun.stages, from_noise.stages)


def _search(
    approach: Approach,
    target: FeatureNet,
    objectives: Sequence[Objective],
    settings: SearchSettings,
    data: ImageData | None,
    starts: Starts | Tensor | None,
    film: Film | None,
) -> SearchResult:
    """Runs searches that all start where the approach's do, or at `starts`."""
    began = time.perf_counter()
    begin: str | Tensor | Starts = approach.start if starts is None else starts
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
    stages = approach.started_method.stages(setting)
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
    preferred.starts = [approach.start] * len(preferred.images)
    seconds = (time.perf_counter() - began) / len(preferred.images)
    return SearchResult(approach, preferred, seconds, stages)


def _image_batches(data: ImageData | None) -> Callable[[int], Iterator[Tensor]] | None:
    return None if data is None else lambda count: (images for images, _ in data.real_images(count))


def _progress(steps: Iterable[int], total: int) -> Iterable[int]:
    return track(steps, "searching", total=total) if interactive() else steps
