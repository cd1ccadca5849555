"""The searches of an approach: one image for each objective and seed."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from rich.progress import track
from torch import Tensor

from dgn.am.film import Film
from dgn.am.maximize import Preferred, Stage, maximize
from dgn.am.objectives.algebra import Objective
from dgn.am.preferred import joined
from dgn.am.setting import Setting
from dgn.am.starts import Starts
from dgn.data.datamodule import ImageData
from dgn.data.exact import read_exact
from dgn.networks.featurenet import FeatureNet
from dgn.prior import Prior
from dgn.prior.location import load_code_prior
from dgn.runs.progress import announced
from dgn.runs.ranks import interactive
from dgn.visualization.approaches import Approach
from dgn.visualization.search_store import SearchStore
from dgn.visualization.settings import SearchSettings


@dataclass(frozen=True)
class Purpose:
    """What searches are for, for the lines that say how far they are.

    Attributes:
        what: what is searched, and what for.
        shorter: how to make it shorter.
    """

    what: str
    shorter: str


PREFERRED = Purpose("Searching preferred images", "fewer units=, seeds= or steps=")


@dataclass(frozen=True)
class SearchResult:
    """What the searches of an approach gave.

    Attributes:
        approach: the method and the prior.
        preferred: the preferred images.
        seconds: the duration of a search.
        stages: the stages of the searches.
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
    kept: SearchStore | None = None,
    purpose: Purpose = PREFERRED,
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
        kept: keeps the finished searches; those that it has are not run again.
        purpose: what the searches are for.
    """
    others = [o for o in objectives if isinstance(starts, Starts) and o not in starts]
    run = partial(_search, target=target, settings=settings, data=data, film=film, purpose=purpose)
    if not others:
        return run(approach, objectives=objectives, starts=starts, kept=kept)
    noise = replace(approach, start="noise")
    from_noise = run(noise, objectives=others, starts=None, kept=kept.part("noise") if kept is not None else None)
    near = [o for o in objectives if o not in others]
    if not near:
        return replace(from_noise, approach=approach, stages=(), stages_from_noise=from_noise.stages)
    begun = run(approach, objectives=near, starts=starts, kept=kept)
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
    kept: SearchStore | None,
    purpose: Purpose,
) -> SearchResult:
    """Runs searches that all start where the approach's do, or at `starts`."""
    began = time.perf_counter()
    begin: str | Tensor | Starts = approach.start if starts is None else starts
    if isinstance(begin, str) and begin not in ("noise", "sample"):
        begin = read_start(begin, target, approach.prior, data)
    setting = Setting(
        target,
        approach.prior,
        settings.canvas_size,
        _image_batches(data),
        begin,
        lambda: load_code_prior(settings.code_prior, setting.codes()),
        None if approach.prior is not None or data is None else _searched_channels(target, data),
    )
    stages = approach.started_method.stages(setting)
    start = _start_in_words(approach, starts, stages[0])
    kept = replace(kept, start=start) if kept is not None else None
    earlier = kept.seconds if kept is not None else 0.0
    preferred = maximize(
        target,
        objectives,
        stages,
        settings.seeds,
        settings.batch_size,
        settings.seed,
        settings.diversity,
        partial(_progress, purpose=purpose),
        film,
        kept,
    )
    preferred.starts = [start] * len(preferred.images)
    seconds = (earlier + time.perf_counter() - began) / len(preferred.images)
    return SearchResult(approach, preferred, seconds, stages)


def _start_in_words(approach: Approach, starts: Starts | Tensor | None, first: Stage) -> str:
    """Where the searches start: as the approach says, or "real" where noise is added to real images or one is drawn."""
    if approach.start == "noise" and starts is None:
        return getattr(first.parametrization, "own_start", "noise")
    if approach.start == "sample" and not approach.method.searches_codes:
        return "real"
    return approach.start


def _searched_channels(target: FeatureNet, data: ImageData) -> int:
    """The number of channels of images that are searched without a prior: the data's, if the target takes them."""
    space = target.input_space
    fits = data.channels == space.image_channels or space.bands is not None or (space.channels, data.channels) == (1, 1)
    return data.channels if fits else space.image_channels


def read_start(path: str, target: FeatureNet, prior: Prior | None, data: ImageData | None) -> Tensor:
    """Reads the image of start=PATH, (1, C, H, W), of the channels of the prior, else of the data or the target."""
    if prior is not None:
        channels = prior.image_shape[0]
    else:
        channels = target.input_space.image_channels if data is None else _searched_channels(target, data)
    return read_exact(Path(path), None if channels == 3 else channels)[None]


def _image_batches(data: ImageData | None) -> Callable[[int], Iterator[Tensor]] | None:
    if data is None:
        return None

    def read(count: int) -> Iterator[Tensor]:
        batches = announced(
            data.real_images(count),
            count,
            "Reading real images that the method measures",
            "other methods need none",
            64,
        )
        return (images for images, _ in batches)

    return read


def _progress(steps: Iterable[int], total: int, purpose: Purpose) -> Iterable[int]:
    """Shows a bar in a terminal, and lines elsewhere; a step is one of a batch of searches."""
    what = f"{purpose.what}, in steps of a batch"
    if interactive():
        return track(steps, f"{purpose.what} ({purpose.shorter})", total=total)
    return announced(steps, total, what, purpose.shorter)
