"""A search of visualize.py: a method, through a prior where it searches codes, applied to objectives and seeds."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hydra.utils import get_class
from omegaconf import DictConfig
from rich.progress import track
from torch import Tensor

from dgn.am.film import Film
from dgn.am.maximize import Preferred, maximize
from dgn.am.objectives.algebra import Objective
from dgn.am.objectives.diversity import Diversity
from dgn.am.preferred import joined
from dgn.am.setting import Setting
from dgn.am.starts import Starts
from dgn.cli.config import compose, from_here
from dgn.cli.roles import names_of
from dgn.cli.stages import method_for, stages_of
from dgn.data.datamodule import ImageData
from dgn.data.images import read_image
from dgn.data.reference import Reference
from dgn.errors import UserError
from dgn.networks.featurenet import FeatureNet
from dgn.prior import Prior
from dgn.prior.code_prior import CodePrior
from dgn.runs.folders import CODE_PRIOR, OUTPUTS
from dgn.runs.programs import command
from dgn.runs.ranks import interactive


@dataclass(frozen=True)
class Contender:
    """A column of the gallery: a method and the prior whose codes it searches.

    The method is one of `dgn.cli.stages.method_for`. Columns call the prior `name`; prior and name are None and "" for
    methods that search no codes. start: where its searches start. from_noise: the method as it starts from noise, for
    units that have no real image to start near.
    """

    method: DictConfig
    prior: Prior | None
    name: str
    start: str
    from_noise: DictConfig


def contenders_of(
    config: DictConfig, priors: Sequence[Prior], overrides: Sequence[str], reference: Reference | None
) -> list[Contender]:
    """Every method with every prior; methods that search no codes once.

    overrides: of the command line, which apply to each method. reference: real images, which searches may start from.
    """
    contenders = []
    for method in methods_of(config, overrides):
        pairs: list[tuple[Prior | None, str]] = [(None, "")]
        if searches_codes(method):
            pairs = list(zip(priors, names_of(list(priors)), strict=True)) or pairs
        for prior, name in pairs:
            start = "facets" if config.facets is not None else start_of(config, method, prior, reference)
            begun, plain = (method_for(method, begin, config.steps, overrides) for begin in (start, "noise"))
            contenders.append(Contender(begun, prior, name, start, plain))
    return contenders


def methods_of(config: DictConfig, overrides: Sequence[str]) -> list[DictConfig]:
    """The methods of a config: `method`, and what `methods` names beside it, as if each had been chosen alone."""
    named = list(config.get("methods") or [])
    others = [o for o in overrides if o.split("=")[0].lstrip("+") not in ("method", "methods")]
    methods = [config.method, *(compose("visualize", [*others, f"method={name}"]).method for name in named)]
    names = [method.name for method in methods]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UserError(f"method=[{','.join(names)}] has {twice} twice; name each method once")
    return methods


def searches_codes(method: DictConfig) -> bool:
    """Whether a method searches the codes of a prior."""
    parts = [part.get("parametrization") or {} for part in (method, *(method.get("stages") or []))]
    made_by = [get_class(part["_target_"]) for part in parts if "_target_" in part]  # stages change keys, or the whole
    return any(getattr(maker, "searches_codes", False) for maker in made_by)


def search(
    config: DictConfig,
    contender: Contender,
    target: FeatureNet,
    objectives: Sequence[Objective],
    seeds: Sequence[int],
    data: ImageData | None,
    starts: Starts | None = None,
    film: Film | None = None,
) -> Preferred:
    """Runs the searches of a contender: one image for each objective and seed.

    Args:
        config: The config of visualize.
        contender: The method and the prior.
        target: The network whose units are visualized.
        objectives: The objectives.
        seeds: The seeds of each objective.
        data: Real images on which a method measures statistics.
        starts: Starting points for objectives, if the searches start from real images. Searches for other objectives
            start from noise then.
        film: Records the searches, if given.

    Returns:
        The preferred images.
    """
    if starts is not None and (others := [o for o in objectives if o not in starts]):
        begun = [o for o in objectives if o in starts]
        plain = replace(contender, method=contender.from_noise, start="noise")
        parts = [search(config, contender, target, begun, seeds, data, starts, film)] if begun else []
        return joined([*parts, search(config, plain, target, others, seeds, data, None, film)], objectives)
    method, prior = contender.method, contender.prior
    begin: str | Tensor | Starts = starts or contender.start
    if isinstance(begin, str) and begin not in ("noise", "sample"):
        begin = read_image(from_here(begin)).unsqueeze(0).float().div(255)
    setting = Setting(
        target,
        prior,
        config.image_size if config.image_size is None or isinstance(config.image_size, int) else (*config.image_size,),
        _images(data),
        begin,
        lambda: load_code_prior(config.code_prior, setting.codes()),
    )
    diversity = Diversity(config.diversity, config.diversity_layer) if config.diversity else None
    stages = stages_of(method, setting)
    found = maximize(target, objectives, stages, seeds, config.batch_size, config.seed, diversity, _progress, film)
    found.starts = [contender.start] * len(found.objectives)
    return found


def load_code_prior(where: str | None, prior: Prior) -> CodePrior:
    """The prior over codes that `code_prior=` means.

    where: a file, a run's folder, or None for the newest under outputs/ that was fitted to this prior's codes.
    """
    if where is not None:
        path = from_here(where)
        return CodePrior.load(path / CODE_PRIOR if path.is_dir() else path)
    for path in sorted(Path(OUTPUTS).glob(f"*/*/{CODE_PRIOR}"), key=lambda path: path.stat().st_mtime, reverse=True):
        code_prior = CodePrior.load(path)
        if code_prior.fits(prior):
            return code_prior
    raise UserError(
        f"this method needs a prior over the codes of {prior.source}, and {OUTPUTS}/ holds none; fit one with "
        f"`{command('train', 'task=code_prior', f'prior={prior.source}')}`, or name one with code_prior=FILE"
    )


def _images(data: ImageData | None) -> Callable[[int], Iterator[Tensor]] | None:
    return None if data is None else lambda count: (batch for batch, _ in data.real_images(count))


def _progress(steps: Iterable[int], total: int) -> Iterable[int]:
    return track(steps, "searching", total=total) if interactive() else steps


def start_of(config: DictConfig, method: DictConfig, prior: Prior | None, reference: Reference | None) -> str:
    """Where a method's searches start.

    It is config.start; where that is auto, it is what the method's own file gives, as far as real images, and the
    prior's encoder, are available. Raises UserError for start=real without real images.
    """
    asked = config.start != "auto"
    start = config.start if asked else method.get("start", "noise")
    if start != "real":
        return start
    if reference is None:
        if asked:
            raise UserError(
                "start=real needs real images, and none are known here: name some with data=image_folder "
                "data.root=FOLDER (or data=doodles), and leave reference_images above 0"
            )
        return "noise"
    if prior is not None and not asked:
        try:
            prior.encoder_net()
        except UserError:
            return "noise"
    return start
