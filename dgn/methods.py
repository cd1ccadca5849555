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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from dgn.am.maximize import Preferred, maximize
from dgn.am.objectives.algebra import Objective
from dgn.am.objectives.language import as_objectives
from dgn.am.setting import Setting
from dgn.am.starts import Starts
from dgn.data.datamodule import ImageData
from dgn.data.images import read_image
from dgn.data.reference import Reference
from dgn.errors import UserError
from dgn.networks.featurenet import FeatureNet
from dgn.prior import Prior

if TYPE_CHECKING:
    from omegaconf import DictConfig

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
    image_size: side of the images of methods without codes, or (height, width); None: the target's input size.
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
        image_size: int | tuple[int, int] | None = None,
        batch_size: int | None = None,
        seed: int = 0,
        **overrides: Any,
    ) -> Preferred:
        target, prior = _networks(target, prior)
        search = _Search(name, target, prior, data, overrides)
        return search.run(as_objectives(units, target), seeds, steps, start, image_size, batch_size, seed)

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


class _Search:
    """A method for a target and a prior, as visualize.py would run it."""

    def __init__(
        self,
        name: str,
        target: FeatureNet,
        prior: Prior | None,
        data: ImageData | None,
        overrides: Mapping[str, Any],
    ) -> None:
        from dgn.cli.config import compose
        from dgn.cli.roles import own_data

        self.config = compose("visualize", [f"method={name}"])
        _check_settings(name, self.config.method, overrides)
        self.config.merge_with({"method": dict(overrides)})
        self.overrides = [f"method.{key}={json.dumps(value)}" for key, value in _dotted(overrides)]
        self.target, self.prior = target, prior
        self.data = data
        if data is None and prior is not None:
            self.data, _ = own_data(prior)

    @torch.inference_mode(False)
    def run(
        self,
        objectives: Sequence[Objective],
        seeds: int | Sequence[int],
        steps: int | None,
        start: Any,
        image_size: int | tuple[int, int] | None,
        batch_size: int | None,
        seed: int,
    ) -> Preferred:
        from dgn.cli.search import load_code_prior
        from dgn.cli.stages import make_stages

        seeds = range(seeds) if isinstance(seeds, int) else seeds
        begin, method = self._start(start, objectives, [seed + s for s in seeds], steps)
        images = None if self.data is None else self._images
        setting = Setting(
            self.target, self.prior, image_size, images, begin, lambda: load_code_prior(None, setting.codes())
        )
        return maximize(self.target, objectives, make_stages(method, setting), seeds, batch_size, seed)

    def _start(
        self, start: Any, objectives: Sequence[Objective], seeds: Sequence[int], steps: int | None
    ) -> tuple[Any, "DictConfig"]:
        """Returns where the searches start, and the method as it is for searches that start there."""
        from dgn.cli.search import searches_codes, start_of
        from dgn.cli.stages import method_for

        if not isinstance(start, str | Path):
            return start, method_for(self.config.method, "images", steps, self.overrides)
        reference = None if self.data is None else Reference(self.data, self.config.reference_images)
        self.config.start = str(start)
        prior = self.prior if searches_codes(self.config.method) else None
        chosen = start_of(self.config, self.config.method, prior, reference)
        method = method_for(self.config.method, chosen, steps, self.overrides)
        return self._begin(chosen, prior, objectives, seeds, reference), method

    def _begin(
        self,
        start: str,
        prior: Prior | None,
        objectives: Sequence[Objective],
        seeds: Sequence[int],
        reference: Reference | None,
    ) -> str | Tensor | Starts:
        from dgn.visualization.starts import near_real

        if start in ("noise", "sample"):
            return start
        if start == "real":
            assert reference is not None  # `start_of` refuses it
            return near_real(self.target, prior, objectives, seeds, reference)
        return read_image(Path(start)).unsqueeze(0).float().div(255)

    def _images(self, count: int) -> Iterator[Tensor]:
        assert self.data is not None
        return (batch for batch, _ in self.data.real_images(count))


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
