"""The views of visualize.py that look into a network instead of searching preferred images."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate

from dgn.am.objectives.language import parse_units
from dgn.cli.roles import load_priors, load_target, logger_makers, open_data, read_search, read_units
from dgn.cli.run_command import gallery_command
from dgn.cli.stages import read_methods
from dgn.cli.stopped import VisualizationRun, saying_how_to_resume
from dgn.data.datamodule import ImageData, samples_of
from dgn.data.display import showing
from dgn.data.reference import Reference
from dgn.errors import UserError
from dgn.networks.featurenet import FeatureNet
from dgn.prior import Prior
from dgn.report.activations import write_activations
from dgn.report.attributions import write_attributions
from dgn.report.embedding import write_embedding
from dgn.report.layers import write_layers
from dgn.report.patches import write_patches
from dgn.runs.folders import SEARCHES
from dgn.runs.threads import use_threads
from dgn.visualization.approaches import Approach, make_approaches
from dgn.visualization.attributions import AttributionSettings, explain_images
from dgn.visualization.channels import ChannelSettings, describe_activations
from dgn.visualization.network_views import describe_embedding, describe_layers, describe_patches
from dgn.visualization.search_store import SearchStore
from dgn.visualization.subjects import read_subjects
from dgn.visualization.view_store import ViewStore
from dgn.visualization.view_tracking import (
    LoggedView,
    log_view,
    logged_attributions,
    logged_embedding,
    logged_layers,
    logged_patches,
)

PREFERRED = "preferred"
"""The value of `view=` that is no view of this file."""


@dataclass(frozen=True)
class _Inputs:
    """What a view is made of."""

    config: Mapping[str, Any]
    overrides: Sequence[str]
    folder: Path
    command: str
    target: FeatureNet
    priors: Sequence[Prior]
    data: ImageData | None

    @property
    def kept(self) -> ViewStore:
        """What an earlier run in this folder has finished."""
        return ViewStore(self.folder / SEARCHES / "view")

    def reference(self, why: str) -> Reference:
        """Returns the real images. Raises UserError, with what they are for, if there are none."""
        reference = self.reference_or_none()
        if reference is None:
            raise UserError(f"{why}: name real images with data=doodles, or data=image_folder data.root=FOLDER")
        return reference

    def reference_or_none(self) -> Reference | None:
        count = self.config["reference_images"]
        return Reference(self.data, count) if self.data is not None and count else None

    @property
    def channels(self) -> int | None:
        """The number of channels that image files are read as; None: RGB."""
        if self.data is not None:
            channels = self.data.channels
        else:
            channels = self.priors[0].image_shape[0] if self.priors else self.target.input_space.image_channels
        return None if channels == 3 else channels

    def page(self, title: str) -> tuple[str, str, dict[str, Any]]:
        """Returns a page's title, command and settings."""
        return self.config["title"] or title, self.command, {**self.config, "target": self.target.name}


def asks_to_inspect(config: Mapping[str, Any]) -> bool:
    """Whether a config of visualize.py asks for one of the views of this file. Raises UserError for an unknown one."""
    view = config["view"]
    if view not in (PREFERRED, *_VIEWS):
        raise UserError(f"view={view}: give {PREFERRED}, {', '.join(_VIEWS)}")
    return view != PREFERRED or config["image"] is not None


def inspect(config: Mapping[str, Any], run: VisualizationRun, folder: Path, device: torch.device) -> Path:
    """Writes the page of the view that the config asks for; returns its path.

    What is finished is kept in the folder until the page is written, and `resume=` goes on after it.

    Args:
        config: The config of visualize.py.
        run: How the run was started.
        folder: The run's folder.
        device: Where networks compute.
    """
    view = "image" if config["view"] == PREFERRED else config["view"]
    if view == "image" and config["image"] is None:
        raise UserError("view=image shows an image; name one with image=FILE, or doodle:7")
    config = {**config, "threads": use_threads(config["threads"])}
    command = gallery_command(run.overrides)
    priors = load_priors(config, device)
    run.record(config, [prior.source for prior in priors])
    data = open_data(priors[0] if priors else None, config.get("data"))
    target = load_target(config["target"], priors, device, data)
    inputs = _Inputs(config, run.overrides, folder, command, target, priors, data)
    with saying_how_to_resume(folder), showing(config["show"]["channels"], samples_of(data)):
        page, shown = _VIEWS[view](inputs)
        log_view(logger_makers(config["logger"]), config, folder, shown)
    return page


def _image(inputs: _Inputs) -> tuple[Path, LoggedView]:
    config, target = inputs.config, inputs.target
    settings = _read_attribution_settings(config)
    methods = {name: instantiate(method) for name, method in (config["attributions"] or {}).items()}
    subjects = read_subjects(_read_images(config["image"]), max(target.probe_size), inputs.channels)
    explained, notes = explain_images(target, subjects, methods, settings, inputs.kept)
    title, command, shown = inputs.page(f"What {target.name} sees")
    channels = _read_channels(config)
    pages: list[str] = []
    if channels is not None:
        approach = _approach(inputs) if config["channel_images"] else None
        reference = inputs.reference_or_none() if config["channel_images"] else None
        search = read_search(config, [0])
        kept = SearchStore(inputs.folder / SEARCHES / "channels")
        activations = describe_activations(target, subjects, channels, approach, search, inputs.data, reference, kept)
        pages = write_activations(inputs.folder, activations, title, command)
    links = {subject.name: page for subject, page in zip(subjects, pages, strict=False)}
    page = write_attributions(inputs.folder, explained, title, command, shown, notes, links)
    return page, logged_attributions(explained)


def _approach(inputs: _Inputs) -> Approach | None:
    """Returns how preferred images of channels are searched; None without a prior, unless the method needs none."""
    method = read_methods(inputs.config, inputs.overrides, inputs.priors)[0]
    if method.searches_codes and not inputs.priors:
        return None
    return make_approaches([method], inputs.priors[:1], "noise", None)[0]


def _layers(inputs: _Inputs) -> tuple[Path, LoggedView]:
    layers = read_layers(inputs.config["view_layers"])
    filters, rows = describe_layers(inputs.target, layers, inputs.reference_or_none(), inputs.kept)
    images = inputs.config["reference_images"] if rows else 0
    page = write_layers(inputs.folder, filters, rows, images, *inputs.page(f"The layers of {inputs.target.name}"))
    return page, logged_layers(filters, rows)


def _embedding(inputs: _Inputs) -> tuple[Path, LoggedView]:
    config, target = inputs.config, inputs.target
    layer = (read_layers(config["view_layers"]) or [target.code_layer()])[0]
    units = parse_units(read_units(config["units"], target), target) if config["units"] not in ("none", None) else []
    reference = inputs.reference("view=embedding lays out real images")
    shown = describe_embedding(target, layer, instantiate(config["embedding"]), reference, units, inputs.kept)
    title = f"How {target.name} sees {reference.count:,} images"
    return write_embedding(inputs.folder, shown, *inputs.page(title)), logged_embedding(shown)


def _patches(inputs: _Inputs) -> tuple[Path, LoggedView]:
    config, target = inputs.config, inputs.target
    units = parse_units(read_units(config["units"], target), target)
    reference = inputs.reference("view=patches shows parts of real images")
    channels = describe_patches(target, units, reference, inputs.kept)
    page = write_patches(inputs.folder, channels, *inputs.page(f"What excites {target.name}"))
    return page, logged_patches(channels)


_VIEWS: dict[str, Callable[[_Inputs], tuple[Path, LoggedView]]] = {
    "image": _image,
    "layers": _layers,
    "embedding": _embedding,
    "patches": _patches,
}


def _read_attribution_settings(config: Mapping[str, Any]) -> AttributionSettings:
    units = config["units"]
    named: str | list[str] | None = None
    if units not in ("all", None):
        named = units if isinstance(units, list) else str(units)
    return AttributionSettings(named, config["top_classes"], config["at"], config["curve_steps"])


def _read_channels(config: Mapping[str, Any]) -> ChannelSettings | None:
    """Reads which channels of an image are shown; None: none are."""
    count = config["channels"]
    if not isinstance(count, int) or isinstance(count, bool) or count < 0:
        raise UserError(f"channels={count}: give a number of channels of each layer, or 0 for none")
    return ChannelSettings(count, read_layers(config["view_layers"])) if count else None


def read_layers(layers: Any) -> list[str] | None:
    """Returns the layers of `view_layers=`, one or a list; None if none are named."""
    if layers is None:
        return None
    return [layers] if isinstance(layers, str) else list(layers)


def _read_images(images: Any) -> list[str]:
    """Returns the names of `image=`, one or a list."""
    names = images if isinstance(images, list) else [images]
    if not all(isinstance(name, str | int) for name in names):
        raise UserError(f"image={images}: give a file, a list of files, a folder, or doodle:7")
    return [str(name) for name in names]
