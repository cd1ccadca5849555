"""Every method of conf/method as a Python function, made from the same file as `method=NAME` of visualize.py.

    from dgn import Prior, methods

    prior = Prior.load("prior.safetensors")
    methods.dgn_am_short(prior, "fc8:3", seeds=4).save("codes")
    methods.olah2017(prior.encoder_net(), "conv5:12", steps=256, update={"lr": 0.02}).save("spectra")

`dir(dgn.methods)` lists the methods, those of your own config files ($DGN_CONFIG_DIR) among them.
`help(methods.olah2017)` shows a method's source and settings. Hydra, which reads the files, is imported when a method
is called.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dgn.am.maximize import Preferred
from dgn.am.method import Method
from dgn.am.objectives.algebra import Objective
from dgn.am.objectives.language import as_objectives
from dgn.am.starts import Starts
from dgn.data.datamodule import ImageData
from dgn.data.images import as_images
from dgn.data.reference import Reference
from dgn.errors import UserError
from dgn.networks.featurenet import FeatureNet
from dgn.prior import Prior
from dgn.visualization.approaches import make_approaches
from dgn.visualization.search import search
from dgn.visualization.settings import SearchSettings, Visualization
from dgn.visualization.starts import near_real, start_images

_ARGUMENTS = """
Args:
    target: the network whose units are maximized. A prior stands for its encoder; methods that search codes then search
        the codes of this prior.
    units: as for `dgn.maximize`, e.g. "fc8:3".
    prior: the prior whose codes are searched, by methods that search codes.
    seeds: the seeds of each unit, or how many.
    steps: the number of steps, divided among the method's stages as its own are; None: the method's.
    start: "auto" (the method's own start; "real" becomes "noise" where no real images are known), "noise", "sample",
        "real", or images: a file, or anything that `dgn.data.images.as_images` accepts.
    data: real images, for methods and starts that use them; None: those that the prior was trained on.
    canvas_size: side of the images of methods without codes, or (height, width); None: the target's input size.
    batch_size: searches that run together; None: as many as fit in memory.
    seed: added to all seeds.
    overrides: settings of the method that replace those below, e.g. update={"first": 2}.

Returns:
    The preferred images, as `visualize.py method=NAME` finds them with the same settings and seeds.

Raises:
    UserError: if the method has no such setting, or needs a prior or real images and has none.
"""


def __getattr__(name: str) -> Callable[..., Preferred]:
    if name.startswith("_") or name not in __dir__():
        raise AttributeError(f"module 'dgn.methods' has no attribute {name!r}; methods: {', '.join(__dir__())}")
    return _twin(name)


def __dir__() -> list[str]:
    from dgn.cli.config_folders import choices

    return choices("method")


@cache
def _twin(name: str) -> Callable[..., Preferred]:
    """The function of the method of that name."""
    from dgn.cli.config_folders import config_file

    def method(
        target: FeatureNet | Prior,
        units: str | Objective | Sequence[str | Objective],
        prior: Prior | FeatureNet | None = None,
        seeds: int | Sequence[int] = (0,),
        steps: int | None = None,
        start: str | Path | Tensor | Any = "auto",
        data: ImageData | None = None,
        canvas_size: int | tuple[int, int] | None = None,
        batch_size: int | None = None,
        seed: int = 0,
        **overrides: Any,
    ) -> Preferred:
        target, prior = _networks(target, prior)
        chosen_seeds = list(range(seeds)) if isinstance(seeds, int) else list(seeds)
        settings = SearchSettings(chosen_seeds, seed, batch_size, canvas_size)
        objectives = as_objectives(units, target)
        return _search(_read(name, steps, overrides), target, prior, objectives, start, data, settings)

    text = config_file(f"method/{name}").read_text(encoding="utf-8")
    lines = text.splitlines()
    head = [line.removeprefix("#").strip() for line in lines[: _comments_at_the_top(lines)]]
    method.__name__ = method.__qualname__ = name
    method.__module__ = __name__
    method.__doc__ = "\n".join([*head, _ARGUMENTS, "Settings (conf/method):\n", *lines[len(head) :]])
    return method


def _comments_at_the_top(lines: Sequence[str]) -> int:
    for count, line in enumerate(lines):
        if not line.startswith("#"):
            return count
    return len(lines)


def _networks(first: FeatureNet | Prior, second: FeatureNet | Prior | None) -> tuple[FeatureNet, Prior | None]:
    """Returns the target and the prior, which may be given in either order; without a target, the prior's encoder."""
    target, prior = (second, first) if isinstance(first, Prior) else (first, second)
    if target is None and isinstance(prior, Prior):
        target = prior.encoder_net()
    if not isinstance(target, FeatureNet) or not isinstance(prior, Prior | None):
        raise UserError("give a target (a FeatureNet), a prior (dgn.Prior), or one of each")
    return target, prior


@torch.inference_mode(False)
def _search(
    method: Method,
    target: FeatureNet,
    prior: Prior | None,
    objectives: Sequence[Objective],
    start: Any,
    data: ImageData | None,
    settings: SearchSettings,
) -> Preferred:
    """Runs the searches as visualize.py does."""
    from dgn.cli.roles import own_data

    if data is None and prior is not None:
        data, _ = own_data(prior)
    reference = None if data is None else Reference(data, Visualization.reference_images)
    named = isinstance(start, str | Path)
    priors = [] if prior is None else [prior]
    (approach,) = make_approaches([method], priors, str(start) if named else "images", reference)
    starts: Starts | Tensor | None = None if named else as_images(start)
    if approach.start == "real":
        assert reference is not None  # checked by `make_approaches`
        places = start_images(target, objectives, reference)
        starts = near_real(target, approach.prior, places, settings.shifted_seeds, reference)
    return search(approach, target, objectives, settings, data, starts).preferred


def _read(name: str, steps: int | None, settings: Mapping[str, Any]) -> Method:
    """Reads a method's file, with settings in place of its own."""
    from dgn.cli.config import compose, plain
    from dgn.cli.stages import read_method

    config = compose("visualize", [f"method={name}"])
    _check_settings(name, config.method, settings)
    config.merge_with({"method": dict(settings)})
    changes = [f"method.{key}={json.dumps(value)}" for key, value in _dotted(settings)]
    return read_method(plain(config)["method"], steps, changes)


def _check_settings(name: str, config: Any, given: Mapping[str, Any], inside: str = "") -> None:
    """Raises UserError for a setting that the method does not have."""
    for key, value in given.items():
        if key not in config:
            known = ", ".join(f"{inside}{known}" for known in config if known != "name" and known[0] != "_")
            raise UserError(f"{name} has no setting {inside}{key}; its settings: {known}")
        if isinstance(value, Mapping):
            _check_settings(name, config[key], value, f"{inside}{key}.")


def _dotted(tree: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    """Yields the keys, dotted, and the values of nested mappings."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _dotted(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
