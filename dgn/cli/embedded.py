"""The embedded world's encoder and judge: fitted to the doodles when first needed, and kept."""

import hashlib
import json
import logging
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from filelock import FileLock
from hydra.utils import get_method
from omegaconf import DictConfig

from dgn.cli.built_network import built_network
from dgn.cli.config import compose, plain
from dgn.cli.config_folders import config_exists, without_own_configs
from dgn.data.doodles import VERSION
from dgn.errors import Interrupted, UserError
from dgn.files import cache_dir, written_aside
from dgn.networks.zoo import EMBEDDED
from dgn.runs.ranks import alone

log = logging.getLogger(__name__)


def embedded_weights(target: str) -> Path:
    """The file of an embedded network's weights.

    Where there is none of the present recipe, fits it first (about a minute) and logs that. target: the `_target_` of
    the network's config.
    """
    recipe = EMBEDDED.get(get_method(target))
    if recipe is None:
        raise UserError(f"weights=embedded: {target} is not of the embedded world; give a weights file, or null")
    values = _recipe(recipe)
    key = hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()[:12]
    name = target.rsplit(".", 1)[-1]
    path = cache_dir() / "networks" / f"{name}-{key}.safetensors"
    if path.exists():
        return path
    from dgn.cli.classifier import fit_classifier  # here, as it imports Lightning

    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):  # jobs side by side need it at the same moment; one fits it
        if path.exists():
            return path
        log.info("The embedded %s (%s) is not there yet: fitting it to the doodles first, about a minute", recipe, name)
        with tempfile.TemporaryDirectory(prefix="dgn-") as folder, alone():
            try:
                made = fit_classifier(plain(_config(recipe)), Path(folder), built_network)
            except Interrupted as error:
                raise Interrupted(error.signal, f"stopped while the embedded {recipe} was fitted") from None
            with written_aside(path) as aside:
                shutil.copyfile(made, aside)
        log.info("Kept for later runs in %s", path)
    return path


_WITHOUT_EFFECT = (
    "task", "resume", "threads", "logger", "metric", "comparison",
    "comparator", "generator", "discriminator", "loss", "adversarial", "code_noise", "comparator_shift",
    "progressive", "fan_in_limit",
    "ema_decay", "statistics", "export", "code_model", "snapshots", "show",
)  # fmt: skip
"""Keys that a classifier's weights do not depend on: where metrics go and what follows from them, where the task's
function is, and what only the training of a prior uses."""


@cache  # half a second; the jobs of a multirun ask again
def _recipe(name: str) -> dict[str, Any]:
    """The settings that an embedded network's weights depend on."""
    config = _config(name)
    values = {k: v for k, v in plain(config).items() if k not in _WITHOUT_EFFECT}
    # Keys of later versions that are not set here: weights of before stay valid.
    values["encoder"] = {k: v for k, v in values["encoder"].items() if k not in ("channels", "bands")}
    return {"doodles": VERSION} | values


def _config(recipe: str) -> DictConfig:
    """The package's own files alone: a user's files must not change what the embedded networks are."""
    without_local = ["~local"] if config_exists("local/default") else []
    with without_own_configs():
        return compose("train", [f"experiment=embedded/{recipe}", "logger=none", *without_local])
