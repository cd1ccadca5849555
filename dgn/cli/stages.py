"""Builds the stages of a search from a method's config: objective, parametrization, regularizers and update."""

import itertools
from collections.abc import Sequence
from functools import partial
from typing import Any, cast

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from dgn.am.maximize import Stage
from dgn.am.objectives.surrogates import below_rectifier
from dgn.am.setting import Setting
from dgn.errors import UserError

_CHOICES = ("objective", "parametrization", "regularizers", "update")


def method_for(method: DictConfig, start: str, steps: int | None, overrides: Sequence[str] = ()) -> DictConfig:
    """Returns the method's config with the changes for its start and with the number of steps.

    Args:
        method: The method's config.
        start: Where the searches start. For a real image, applies the method's `from_image` settings.
        steps: Total number of steps, divided among the stages in the method's proportions. None keeps the method's.
        overrides: Overrides of the command line; those of the method take precedence over `from_image`.

    Raises:
        UserError: If the number of steps is less than 1.
    """
    method = method.copy()
    if start not in ("noise", "sample"):
        changes = [o.lstrip("+").removeprefix("method.") for o in overrides if o.lstrip("+").startswith("method.")]
        method = _merged(method, method.get("from_image") or {}, OmegaConf.from_dotlist(changes))
    if steps is not None:
        method.steps = steps
    if method.steps < 1:
        raise UserError(f"steps={method.steps} must be at least 1")
    stages = method.get("stages") or []
    ends = list(itertools.accumulate((stage.steps for stage in stages), initial=0))
    # The ends of the stages are rounded, so that the steps add up to method.steps.
    ends = [round(end * method.steps / ends[-1]) for end in ends] if stages else ends
    for stage, (first, last) in zip(stages, itertools.pairwise(ends), strict=True):
        stage.steps = last - first
    return method


def stages_of(method: DictConfig, setting: Setting) -> list[Stage]:
    """Builds the stages of a method.

    A stage inherits the method's settings. Stages with equal parametrizations share one object, so that its parameters
    carry over. A part that is `_partial_` is called with the setting.
    """
    base = OmegaConf.create({key: method[key] for key in _CHOICES if key in method} | {"steps": method.steps})
    made: dict[str, Any] = {}
    stages = []
    for changes in method.get("stages") or [{}]:
        stage = _merged(base, changes)
        key = OmegaConf.to_yaml(stage.parametrization, resolve=True)
        if key not in made:
            made[key] = _part(stage.parametrization, setting)
        regularizers = [_part(part, setting) for part in (stage.get("regularizers") or {}).values() if part is not None]
        reading = instantiate(stage.objective) if stage.get("objective") else below_rectifier
        stages.append(Stage(made[key], instantiate(stage["update"]), regularizers, stage.steps, reading))
    return stages


def _merged(*configs: Any) -> DictConfig:
    return cast(DictConfig, OmegaConf.merge(*configs))


def _part(config: DictConfig, setting: Setting) -> Any:
    part = instantiate(config)
    return part(setting) if isinstance(part, partial) else part
