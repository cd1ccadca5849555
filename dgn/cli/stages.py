"""From a method's config to a `Method`: the four choices of each stage, made for a setting."""

import itertools
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, cast

from hydra.utils import get_class, instantiate
from omegaconf import DictConfig, OmegaConf

from dgn.am.maximize import Stage
from dgn.am.method import Method, kind_of_start
from dgn.am.objectives.surrogates import below_rectifier
from dgn.am.setting import Setting
from dgn.cli.config import compose, plain
from dgn.errors import UserError
from dgn.prior import Prior
from dgn.prior.missing_code_model import no_code_model

log = logging.getLogger(__name__)

_CHOICES = ("objective", "parametrization", "regularizers", "update", "again")


def read_methods(config: Mapping[str, Any], overrides: Sequence[str], priors: Sequence[Prior] = ()) -> list[Method]:
    """The methods of a config as values. Args: see `method_settings`.

    Raises:
        UserError: If a method is named twice, or for steps below 1.
    """
    settings = method_settings("visualize", config, overrides, priors)
    methods = [read_method(method, config["steps"], overrides) for method in settings]
    names = [method.name for method in methods]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"method=[{','.join(names)}] has {name} twice; name each method once")
    return methods


def method_settings(
    program: str, config: Mapping[str, Any], overrides: Sequence[str], priors: Sequence[Prior] = ()
) -> list[Mapping[str, Any]]:
    """The settings of `method`, and of what `methods` names beside it, as if each had been chosen alone.

    Args:
        program: whose config it is: visualize or toolbox.
        config: of the program.
        overrides: of the command line; they apply to every method.
        priors: those that are searched. If one has no code model, a method that needs one is replaced by the method
            that its file names (`without_code_model`), for all priors, so that they can be compared.
    """
    others = [o for o in overrides if o.split("=")[0].lstrip("+") not in ("method", "methods")]

    def named(name: str) -> Mapping[str, Any]:
        return plain(compose(program, [*others, f"method={name}"]))["method"]

    asked = [config["method"], *map(named, config.get("methods") or [])]
    names = [method["name"] for method in asked]
    lacking = next((prior for prior in priors if prior.code_model is None), None)
    own_keys = any(o.lstrip("+~").startswith("method.") for o in others)  # they say that this very method is meant
    usable = []
    for method in asked:
        other = method.get("without_code_model")
        if other is None or lacking is None or own_keys:
            usable.append(method)
            continue
        log.info("method=%s is used instead of %s: %s", other, method["name"], no_code_model(lacking))
        if other not in names:
            usable.append(named(other))
    return usable


def read_method(settings: Mapping[str, Any], steps: int | None = None, overrides: Sequence[str] = ()) -> Method:
    """A method as a value. settings: the `method` group of the config; steps, overrides: see `method_for`."""
    variants = {kind: _as_value(method_for(settings, kind, steps, overrides)) for kind in ("noise", "sample", "image")}
    own = kind_of_start(settings.get("start", "noise"))
    return replace(variants[own], variants=variants)


def method_for(
    settings: Mapping[str, Any], start: str, steps: int | None, overrides: Sequence[str] = ()
) -> dict[str, Any]:
    """The settings of a method as a run uses them.

    With what they change where the search starts from a real image (`from_image`) or a draw of the code model
    (`from_sample`), and with `steps` steps in all, divided among the stages as their own are. overrides: of the command
    line; those of the method apply whatever the start.
    """
    parts = [settings]
    if changes := settings.get(f"from_{kind_of_start(start)}"):
        given = [o.lstrip("+").removeprefix("method.") for o in overrides if o.lstrip("+").startswith("method.")]
        parts += [changes, plain(OmegaConf.from_dotlist(given))]
    method = _merged(*parts)
    if steps is not None:
        method["steps"] = steps
    if method["steps"] < 1:
        raise UserError(f"steps={method['steps']} must be at least 1")
    stages = method.get("stages") or []
    ends = list(itertools.accumulate((stage["steps"] for stage in stages), initial=0))
    # Rounded where stages end, so that the sum is what was asked for.
    ends = [round(end * method["steps"] / ends[-1]) for end in ends] if stages else ends
    for stage, (first, last) in zip(stages, itertools.pairwise(ends), strict=True):
        stage["steps"] = last - first
    return method


def make_stages(method: Mapping[str, Any], setting: Setting) -> list[Stage]:
    """A method's stages.

    What a stage does not set is the method's. A parametrization that stays the same is the same object, so that its
    parameters are kept. A part that is `_partial_` is made with the setting.
    """
    base = {key: method[key] for key in _CHOICES if key in method} | {"steps": method["steps"]}
    made: dict[str, Any] = {}
    stages = []
    for changes in method.get("stages") or [{}]:
        stage = _merged(base, changes)
        key = repr(stage["parametrization"])
        if key not in made:
            made[key] = _part(stage["parametrization"], setting)
        parts = (stage.get("regularizers") or {}).values()
        regularizers = [_part(part, setting) for part in parts if part is not None]
        reading = instantiate(stage["objective"]) if stage.get("objective") else below_rectifier
        again = instantiate(stage["again"]) if stage.get("again") else None
        stages.append(Stage(made[key], instantiate(stage["update"]), regularizers, stage["steps"], reading, again))
    return stages


def _as_value(settings: Mapping[str, Any]) -> Method:
    return Method(
        name=settings["name"],
        searches_codes=_searches_codes(settings),
        start=settings.get("start", "noise"),
        steps=settings["steps"],
        stages=partial(make_stages, settings),
        settings=settings,
        gradient=_follows_gradient(settings),
    )


def _follows_gradient(method: Mapping[str, Any]) -> bool:
    """Whether an update of the method follows a gradient: its own, or one of a stage."""
    parts = [part.get("update") or {} for part in (method, *(method.get("stages") or []))]
    makers = [get_class(part["_target_"]) for part in parts if "_target_" in part]
    return not all(getattr(maker, "gradient_free", False) for maker in makers)


def _searches_codes(method: Mapping[str, Any]) -> bool:
    """Whether a parametrization of the method searches the codes of a prior: its own, or one of a stage."""
    parts = [part.get("parametrization") or {} for part in (method, *(method.get("stages") or []))]
    makers = [get_class(part["_target_"]) for part in parts if "_target_" in part]  # stages change keys, or the whole
    return any(getattr(maker, "searches_codes", False) for maker in makers)


def _merged(*settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns nested settings with those of later mappings in place of those of earlier ones."""
    return plain(cast(DictConfig, OmegaConf.merge(*settings)))


def _part(settings: Mapping[str, Any], setting: Setting) -> Any:
    part = instantiate(settings)
    return part(setting) if isinstance(part, partial) else part
