"""The class units through the training of their network."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import spearmanr
from torch import Tensor

from dgn.metrics.alignment import linear_cka
from dgn.metrics.features import extract_features
from dgn.metrics.neighbours import code_spaces
from dgn.networks.featurenet import FeatureNet
from dgn.studies.base import Measurement, Numbers, Study, side_by_side
from dgn.studies.lab import Lab
from dgn.studies.verdicts import Statement, statement

_TRAINING, _OVERFITTED = "step", "overfitted"


@dataclass(frozen=True, kw_only=True)
class Snapshots(Study):
    """Keys: points of the training as fractions of it; images and steps of the overfitted network."""

    at: Sequence[float] = (0, 0.05, 0.15, 0.3, 0.6, 1)
    overfit_images: int = 64
    close: float = 0.9

    title = "Snapshots: pictures through the training of a network"
    source = "DGN-AM S6; Zeiler & Fergus 2014, figure 4"
    claim = "Pictures become better as validation accuracy rises, and features appear from the low layers up."
    varies = "the training of the target and the noise in which searches start"
    shows_target = False
    measured = (
        "A target is trained, and its weights are kept at points of the training (at the first it is underfitted); "
        "another is overfitted, to few images. Recognized: the share of preferred images whose class is the judge's "
        "first. Layers: linear CKA of every layer with itself at the end; the point at which a layer first reaches "
        "the given CKA."
    )

    def measure(self, lab: Lab, seed: int) -> Measurement:
        prior, real = lab.trainings.prior(), lab.real("val")[0]
        steps = self._steps(lab)
        trained = lab.trainings.classifier(seed=seed, snapshots=steps)
        spoiled = lab.trainings.classifier([f"overfit={self.overfit_images}"], seed=seed)
        accuracies = {f"{_TRAINING} {step}": accuracy for step, (_, accuracy) in trained.snapshots.items()}
        nets = {f"{_TRAINING} {step}": net for step, (net, _) in trained.snapshots.items()}
        nets[_OVERFITTED], accuracies[_OVERFITTED] = spoiled.net, float(spoiled.metrics["val/accuracy"])
        numbers: dict[str, float] = {}
        columns: dict[str, Tensor] = {}
        for name, net in nets.items():
            found = lab.search(lab.units(net), seed, prior, net)
            numbers |= {f"{name}/accuracy": accuracies[name], f"{name}/recognized": lab.recognized(found)}
            columns[name] = found.images
        curves = self._layers(list(nets.values())[: len(steps)], real)
        for depth, (layer, values) in enumerate(curves.items()):
            reached = next(i for i, value in enumerate(values) if value >= self.close or i == len(values) - 1)
            numbers |= {
                f"layer {layer}/depth": float(depth),
                f"layer {layer}/formed at": steps[reached] / max(1, steps[-1]),
            }
        rows = [objective.label for objective in lab.units(trained.net)]
        caption = "Preferred images at points of the training, and of an overfitted network."
        figure = replace(side_by_side("snapshots", columns, rows, caption), moves=True)
        curves |= {"recognized": [numbers[f"{_TRAINING} {step}/recognized"] for step in steps]}
        curves |= {"accuracy": [numbers[f"{_TRAINING} {step}/accuracy"] for step in steps]}
        axis = "points of the training: " + ", ".join(f"{share:g}" for share in self.at) + " of its steps"
        return Measurement(numbers, [figure], curves, axis)

    def statements(self, numbers: Numbers) -> list[Statement]:
        steps = [row for row in numbers.rows if row.startswith(_TRAINING)]
        layers = [row for row in numbers.rows if row.startswith("layer ")]
        return [
            statement(
                "Pictures are better when validation accuracy is higher.",
                "rank correlation of accuracy and share recognized, over snapshots and the overfitted network",
                _correlation(numbers, [*steps, _OVERFITTED], "accuracy", "recognized"),
            ),
            statement(
                "An overfitted network's pictures are worse than those of the trained one.",
                "share recognized at the end of training minus that of the overfitted network",
                numbers(f"{steps[-1]}/recognized") - numbers(f"{_OVERFITTED}/recognized"),
            ),
            statement(
                "Low layers are formed before high ones.",
                "rank correlation of depth and the point at which a layer is formed",
                _correlation(numbers, layers, "depth", "formed at"),
            ),
        ]

    def _steps(self, lab: Lab) -> list[int]:
        total = lab.trainings.encoder_steps
        return sorted({round(share * total) for share in self.at})

    def _layers(self, nets: Sequence[FeatureNet], images: Tensor) -> dict[str, Sequence[float]]:
        """Returns for each layer CKA of every net with the last."""
        curves: dict[str, Sequence[float]] = {}
        for layer in code_spaces(nets[-1]):
            features = [extract_features(net, images, layer) for net in nets]
            curves[layer] = [linear_cka(own, features[-1]) for own in features]
        return curves


def _correlation(numbers: Numbers, rows: Sequence[str], first: str, second: str) -> np.ndarray:
    values = []
    for i in range(len(numbers.seeds)):
        x, y = ([numbers(f"{row}/{figure}")[i] for row in rows] for figure in (first, second))
        values.append(float(spearmanr(x, y).statistic) if len(set(x)) > 1 and len(set(y)) > 1 else 0.0)
    return np.array(values)
