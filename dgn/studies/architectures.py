"""Targets at growing distance from the network that the prior inverts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import spearmanr
from torch import Tensor

from dgn.metrics.alignment import linear_cka
from dgn.metrics.features import extract_features
from dgn.networks.featurenet import FeatureNet
from dgn.studies.base import Measurement, Numbers, Study, side_by_side
from dgn.studies.lab import Lab
from dgn.studies.verdicts import Statement, statement

ITSELF = "encoder itself"


@dataclass(frozen=True, kw_only=True)
class Architectures(Study):
    """Keys: the targets by name: settings of train.py that choose the network, and the steps of its training.

    The network of `target=` is one more. A target is {settings: [...], steps: N, seed: N}; with steps 0 it has the
    weights that its settings name.
    """

    targets: Mapping[str, Mapping[str, Any]]

    title = "Architectures: quality against the distance from the encoder"
    source = "DGN-AM 3.3"
    claim = "The more a network differs from the encoder of the prior, the worse are its pictures."
    measured = (
        "For every target: the distance from the encoder, 1 minus linear CKA of the features that enter the "
        "classifier, over real images; the Frechet distance of its preferred images from real images of the same "
        "classes in the judge's features; and the share recognized. Over targets, the rank correlation of distance "
        "with each."
    )

    def measure(self, lab: Lab, seed: int) -> Measurement:
        prior, real = lab.trainings.prior(), lab.real("val")[0]
        reference = extract_features(lab.encoder, real)
        numbers: dict[str, float] = {}
        columns: dict[str, Tensor] = {}
        rows: list[list[str]] = []
        for name, net in self._nets(lab).items():
            objectives = lab.units(net)
            rows.append([objective.label for objective in objectives])
            found = lab.search(objectives, seed, prior, net, per_unit=2)
            numbers |= {
                f"{name}/distance": 1 - linear_cka(reference, extract_features(net, real)),
                f"{name}/frechet": lab.frechet(found.images, objectives),
                f"{name}/recognized": lab.recognized(found),
            }
            columns[name] = found.images[::2]
        caption = "Preferred images of the same classes in networks ever further from the encoder, through one prior."
        shown = min(map(len, rows))  # a network with other classes may have fewer
        names = [" · ".join(dict.fromkeys(labels)) for labels in zip(*(own[:shown] for own in rows), strict=True)]
        columns = {name: images[:shown] for name, images in columns.items()}
        return Measurement(numbers, [side_by_side("architectures", columns, names, caption)])

    def statements(self, numbers: Numbers) -> list[Statement]:
        return [
            statement(
                "Pictures are less natural the further the network is from the encoder.",
                "rank correlation of distance and Frechet distance over targets",
                _correlations(numbers, "frechet"),
            ),
            statement(
                "They are recognized less often.",
                "minus the rank correlation of distance and share recognized over targets",
                -_correlations(numbers, "recognized"),
            ),
        ]

    def _nets(self, lab: Lab) -> dict[str, FeatureNet]:
        nets = {ITSELF: lab.encoder}
        if lab.target is not lab.encoder:
            nets["target"] = lab.target
        for name, target in self.targets.items():
            settings: Sequence[str] = target["settings"]
            steps = target.get("steps")
            if steps == 0:
                nets[name] = lab.trainings.pretrained(settings)
            else:
                nets[name] = lab.trainings.classifier(settings, target.get("seed", 0), steps).net
        return nets


def _correlations(numbers: Numbers, figure: str) -> np.ndarray:
    """Returns Spearman's correlation of distance with a figure over targets, for each seed."""
    values = []
    for i in range(len(numbers.seeds)):
        pairs = [(numbers(f"{row}/distance")[i], numbers(f"{row}/{figure}")[i]) for row in numbers.rows]
        x, y = zip(*pairs, strict=True)
        values.append(float(spearmanr(x, y).statistic) if len(set(x)) > 1 and len(set(y)) > 1 else 0.0)
    return np.array(values)
