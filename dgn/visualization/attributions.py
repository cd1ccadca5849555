"""What visualize.py image=... computes: attributions of units in images, and how good their maps are."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from dgn.am.objectives.algebra import Objective
from dgn.am.objectives.language import parse_units
from dgn.am.objectives.terms import Unit
from dgn.attribution import (
    Attribution,
    Response,
    at_peak,
    centre_map,
    deletion_and_insertion,
    most_probable,
    random_map,
    read_as_probability,
    reduced,
)
from dgn.errors import UserError
from dgn.metrics.top_images import at_input
from dgn.networks.featurenet import FeatureNet
from dgn.networks.precision import full_precision
from dgn.report.attributions import Explained, MapShown
from dgn.runs.progress import announced
from dgn.visualization.subjects import Subject
from dgn.visualization.unit_notes import receptive_box
from dgn.visualization.view_store import ViewStore

log = logging.getLogger(__name__)

_RANDOM = 4  # random maps, of whose curves the mean is shown


@dataclass(frozen=True)
class AttributionSettings:
    """How images are explained.

    Attributes:
        units: Units in the unit language; None: the classes to which an image gets most probability, or the unit that
            a preferred image was made for.
        top_classes: How many of these classes.
        at: "peak": units of maps are read where their channel is strongest in the image; "unit": as written.
        curve_steps: Steps of deletion and insertion curves; 0: no curves.
    """

    units: str | Sequence[str] | None = None
    top_classes: int = 2
    at: str = "peak"
    curve_steps: int = 20

    def __post_init__(self) -> None:
        if self.at not in ("peak", "unit"):
            raise UserError(f"at={self.at}: give peak (where the channel is strongest) or unit (as written in units=)")
        if not isinstance(self.top_classes, int) or self.top_classes < 1:
            raise UserError(f"top_classes={self.top_classes}: give a number of classes, at least 1")
        if not isinstance(self.curve_steps, int) or self.curve_steps < 0:
            raise UserError(f"curve_steps={self.curve_steps}: give a number of steps, or 0 for no curves")


def explain_images(
    net: FeatureNet,
    subjects: Sequence[Subject],
    methods: Mapping[str, Attribution],
    settings: AttributionSettings,
    kept: ViewStore,
) -> tuple[list[Explained], list[str]]:
    """Explains units in images by several methods.

    Args:
        net: The network.
        subjects: The images.
        methods: The methods by name.
        settings: Which units, and how they are read.
        kept: What an earlier run has finished.

    Returns:
        What was explained, and a sentence for each method that was left out.

    Raises:
        UserError: If no method can read the network.
    """
    pairs = [(subject, image, unit) for subject, image, units in _asked(net, subjects, settings) for unit in units]
    left_out: dict[str, str] = {}
    explained = []
    what, shorter = "Explaining units in images", "fewer images, units= or attributions="
    for number, (subject, image, unit) in announced(enumerate(pairs), len(pairs), what, shorter):
        part = kept.find(f"explained-{number:05d}")
        if part is None:
            unit = at_peak(unit, net, image) if settings.at == "peak" else unit
            maps = _maps(net, unit, image, methods, left_out)
            if not maps and methods:
                raise UserError(next(iter(left_out.values())))
            part = _explained(net, subject, image, unit, maps, settings.curve_steps).as_plain()
            kept.add(f"explained-{number:05d}", part | {"left_out": dict(left_out)})
        left_out |= part.pop("left_out", {})
        explained.append(Explained.from_plain(part))
    for name, reason in left_out.items():
        log.warning("%s is left out: %s", name, reason)
    return explained, list(left_out.values())


def seen(net: FeatureNet, image: Tensor) -> Tensor:
    """Returns an image (3, H, W) as a network sees it, in image space, on the network's device."""
    size = net.input_space.size
    if size is None and image.shape[-2:] != net.probe_size:
        image = torch.nn.functional.interpolate(image[None], net.probe_size, mode="bilinear", antialias=True)[0]
    return at_input(net, image[None].to(net.device))[0]


def _asked(
    net: FeatureNet, subjects: Sequence[Subject], settings: AttributionSettings
) -> list[tuple[Subject, Tensor, list[Objective]]]:
    """Returns each image as the network sees it, with the units to explain in it."""
    named = None if settings.units is None else parse_units(settings.units, net)
    asked = []
    for subject in subjects:
        image = seen(net, subject.image)
        if named is not None:
            units = list(named)
        elif subject.unit is not None:
            units = parse_units(subject.unit, net)
        else:
            (units,) = most_probable(net, image[None], settings.top_classes)
        asked.append((subject, image, units))
    return asked


@full_precision
@torch.inference_mode(False)
def _maps(
    net: FeatureNet,
    unit: Objective,
    image: Tensor,
    methods: Mapping[str, Attribution],
    left_out: dict[str, str],
) -> list[MapShown]:
    """Returns the maps of the methods, without curves; a method that cannot read the network is left out."""
    maps: list[MapShown] = []
    for name, method in methods.items():
        if name in left_out:
            continue
        try:
            attributed = method(net, unit, image[None])
        except UserError as error:
            left_out[name] = str(error)
            continue
        colours = attributed[0].cpu() if method.colour and attributed.shape[1] == image.shape[0] else None
        values = reduced(attributed, method.channels)[0].cpu()
        maps.append(MapShown(name, values, colours, zero=method.zero))
    return maps


@torch.no_grad()
def _explained(
    net: FeatureNet,
    subject: Subject,
    image: Tensor,
    unit: Objective,
    maps: Sequence[MapShown],
    steps: int,
) -> Explained:
    height, width = image.shape[-2:]
    shown = list(maps)
    if steps:
        floors = [random_map(height, width, seed) for seed in range(_RANDOM)]
        own = [entry.values for entry in maps if entry.values is not None]
        curves = deletion_and_insertion(net, unit, image, [*own, centre_map(height, width), *floors], steps)
        shown = [_with_curves(entry, [curve]) for entry, curve in zip(maps, curves, strict=False)]
        shown.append(_with_curves(MapShown("centre", None, is_floor=True), curves[len(own) : len(own) + 1]))
        shown.append(_with_curves(MapShown("random", None, is_floor=True), curves[len(own) + 1 :]))
    read = read_as_probability(unit, net)
    probability = float(Response(net, read)(image[None])) if read != unit else None
    value = float(Response(net, unit)(image[None]))
    box = receptive_box(net, unit, (height, width))
    return Explained(image.cpu(), subject.name, str(unit), _title(unit), value, probability, box, shown)


def _with_curves(entry: MapShown, curves: Sequence) -> MapShown:
    deletion = torch.stack([curve.deletion for curve in curves]).mean(0)
    insertion = torch.stack([curve.insertion for curve in curves]).mean(0)
    return replace(
        entry,
        deletion=deletion.tolist(),
        insertion=insertion.tolist(),
        deletion_area=sum(curve.deletion_area for curve in curves) / len(curves),
        insertion_area=sum(curve.insertion_area for curve in curves) / len(curves),
    )


def _title(unit: Objective) -> str:
    ((_, term), *more) = unit.terms
    return unit.label if not more and isinstance(term, Unit) and term.label else str(unit)
