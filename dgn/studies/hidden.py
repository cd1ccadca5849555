"""Units of all layers at the size of their receptive fields, beside multifaceted feature visualization."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dgn.am.objectives.algebra import Objective
from dgn.metrics.predictive import PredictivePower, explanations_by_unit
from dgn.metrics.similarity import FeatureSimilarity
from dgn.networks.featurenet import FeatureNet
from dgn.studies.base import Measurement, Numbers, Study, side_by_side
from dgn.studies.lab import Lab
from dgn.studies.verdicts import Statement, statement
from dgn.visualization.unit_notes import receptive_box

_SIDE = 64


@dataclass(frozen=True, kw_only=True)
class Hidden(Study):
    """Keys: layers ("auto": the target's main layers below the classes), units of each, the other method, its steps."""

    layers: Sequence[str] | str = "auto"
    per_layer: int = 4
    other: str = "mfv2016"
    other_steps: int | None = 100
    tasks: int = 10

    title = "Hidden units, by DGN-AM and by another method"
    source = "DGN-AM 3.4, S14"
    claim = "DGN-AM and multifaceted feature visualization agree on what a hidden unit detects, in every layer."
    varies = "which units are shown, and the noise in which searches start"
    measured = (
        "Units of every layer, shown at the size of their receptive field. 2AFC: how often a unit's picture tells "
        "which of two real images excites it more, by the judge's features (0.5 is chance). Agreement: the mean rank "
        "correlation, over the layer's units, of the activations by the pictures of both methods for the same unit, "
        "minus that for different units of the layer: both pictures excite the layer in the same way."
    )

    def measure(self, lab: Lab, seed: int) -> Measurement:
        prior = lab.trainings.prior()
        numbers: dict[str, float] = {}
        columns: dict[str, list[Tensor]] = {"dgn_am_short": [], self.other: []}
        rows = []
        similarity = FeatureSimilarity(lab.judge)
        for layer in self._layers(lab):
            units = lab.hidden_units(layer, self.per_layer, seed)
            found = {
                "dgn_am_short": lab.search(units, seed, prior),
                self.other: lab.search(units, seed, method=self.other, steps=self.other_steps, start="noise"),
            }
            power = PredictivePower(lab.target, units, lab.reference.images, similarity, self.tasks, 1, seed=seed)
            predictions = power.measure({name: explanations_by_unit(images) for name, images in found.items()})
            for name, images in found.items():
                numbers[f"{layer}/2AFC {name}"] = float(np.nanmean(predictions[name].accuracy))
                columns[name] += [_at_field(lab.target, o, i) for o, i in zip(units, images.images, strict=True)]
            first, second = (_activations(lab.target, images.images, layer) for images in found.values())
            numbers[f"{layer}/agreement"] = _agreement(first, second)
            rows += [str(unit) for unit in units]
        figures = ["agreement", *(f"2AFC {name}" for name in columns)]
        layers = list(dict.fromkeys(name.rpartition("/")[0] for name in numbers))
        numbers |= {f"all layers/{f}": float(np.nanmean([numbers[f"{row}/{f}"] for row in layers])) for f in figures}
        chosen = list(range(0, len(rows), max(1, self.per_layer // 2)))
        shown = {name: torch.stack([images[i] for i in chosen]) for name, images in columns.items()}
        caption = "Preferred images of hidden units, cropped to their receptive fields."
        return Measurement(numbers, [side_by_side("hidden", shown, [rows[i] for i in chosen], caption)])

    def statements(self, numbers: Numbers) -> list[Statement]:
        names = [name for name in numbers.figures if name.startswith("2AFC ")]
        return [
            statement(
                "Both methods' pictures of a unit excite its layer alike.",
                "agreement, over all layers",
                numbers("all layers/agreement"),
            ),
            *(
                statement(
                    f"Pictures of {name.removeprefix('2AFC ')} predict what excites hidden units.",
                    "2AFC minus 1/2, over all layers",
                    numbers(f"all layers/{name}") - 0.5,
                )
                for name in names
            ),
        ]

    def _layers(self, lab: Lab) -> list[str]:
        return [*lab.maps(), *lab.vectors()] if isinstance(self.layers, str) else list(self.layers)


def _at_field(target: FeatureNet, objective: Objective, image: Tensor) -> Tensor:
    """Returns the part of an image in the unit's receptive field, enlarged."""
    box = receptive_box(target, objective, (image.shape[-2], image.shape[-1]))
    if box is not None:
        left, top, right, bottom = (max(0, side) for side in box)
        image = image[:, top:bottom, left:right]
    return F.interpolate(image[None].float(), (_SIDE, _SIDE), mode="nearest-exact")[0]


@torch.no_grad()
def _activations(target: FeatureNet, images: Tensor, layer: str) -> np.ndarray:
    """Returns the layer's units on each image, (N, units): of maps at the centre."""
    size = target.input_space.size or tuple(images.shape[-2:])
    sized = F.interpolate(images.float(), size, mode="bilinear", antialias=True)
    activations = target(sized.to(target.device), [layer])[layer].float().cpu()
    if activations.ndim == 4:
        activations = activations[:, :, activations.shape[2] // 2, activations.shape[3] // 2]
    elif activations.ndim == 3:
        activations = activations.mean(1)
    return activations.numpy()


def _agreement(first: np.ndarray, second: np.ndarray) -> float:
    """Returns the mean rank correlation of equal rows minus that of different rows; NaN for a single row."""
    ranks = [values.argsort(1).argsort(1).astype(float) for values in (first, second)]
    correlations = np.corrcoef(ranks[0], ranks[1])[: len(first), len(first) :]
    same = np.eye(len(first), dtype=bool)
    return float(correlations[same].mean() - correlations[~same].mean()) if len(first) > 1 else float("nan")
