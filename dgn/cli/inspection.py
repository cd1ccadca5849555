"""The views of visualize.py that look into a network instead of searching preferred images."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from hydra.utils import instantiate

from dgn.cli.roles import load_priors, load_target, open_data
from dgn.cli.run_command import gallery_command
from dgn.errors import UserError
from dgn.files import write_whole
from dgn.networks.featurenet import FeatureNet
from dgn.prior import Prior
from dgn.report.attributions import write_attributions
from dgn.runs.folders import CONFIG
from dgn.runs.threads import use_threads
from dgn.visualization.attributions import AttributionSettings, explain_images
from dgn.visualization.subjects import read_subjects


def inspect(config: Mapping[str, Any], overrides: Sequence[str], folder: Path, device: torch.device) -> Path:
    """Writes the page of the view that the config asks for; returns its path.

    Args:
        config: The config of visualize.py.
        overrides: Those of the command.
        folder: The run's folder.
        device: Where networks compute.
    """
    config = {**config, "threads": use_threads(config["threads"])}
    command = gallery_command(overrides)
    write_whole(folder / CONFIG, f"# {command}\n{yaml.safe_dump(dict(config), sort_keys=False)}")
    return _look_into_images(config, folder, device, command)


def _look_into_images(config: Mapping[str, Any], folder: Path, device: torch.device, command: str) -> Path:
    settings = read_attribution_settings(config)
    methods = {name: instantiate(method) for name, method in (config["attributions"] or {}).items()}
    target, _ = _load(config, device)
    subjects = read_subjects(read_images(config["image"]), max(target.probe_size))
    explained, notes = explain_images(target, subjects, methods, settings)
    title = config["title"] or f"What {target.name} sees"
    return write_attributions(folder, explained, title, command, {**config, "target": target.name}, notes)


def read_attribution_settings(config: Mapping[str, Any]) -> AttributionSettings:
    """Reads which units of an image are explained, and how. Raises UserError for invalid values."""
    units = config["units"]
    named = None if units in ("all", None) else units if isinstance(units, list) else str(units)
    return AttributionSettings(named, config["top_classes"], config["at"], config["curve_steps"])


def read_images(images: Any) -> list[str]:
    """Returns the names of `image=`, one or a list."""
    names = images if isinstance(images, list) else [images]
    if not all(isinstance(name, str | int) for name in names):
        raise UserError(f"image={images}: give a file, a list of files, a folder, or doodle:7")
    return [str(name) for name in names]


def _load(config: Mapping[str, Any], device: torch.device) -> tuple[FeatureNet, list[Prior]]:
    """Loads the target and the priors, if there are any."""
    priors = load_priors(config, device)
    first = priors[0] if priors else None
    data = open_data(first, config.get("data")) if config.get("data") else None
    return load_target(config["target"], priors, device, data), priors
