"""A network with twice the classes, half of them of modified images: whose preference does the picture show?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dgn.am.objectives.language import parse_units
from dgn.data.modified import alter
from dgn.metrics.kinds import KindJudge, fit_kind_judge
from dgn.prior import Prior
from dgn.studies.base import Measurement, Numbers, Study, side_by_side
from dgn.studies.lab import Lab, Trained
from dgn.studies.verdicts import Statement, statement


@dataclass(frozen=True, kw_only=True)
class Modified(Study):
    """Keys: the modifications, each with a network of its own; real images that the classifier of them learns from."""

    modifications: Sequence[str] = ("shuffled", "brg", "blurred")
    images: int = 256

    title = "Modified classes: the neuron's preference, or the prior's?"
    source = "DGN-AM 3.5, S19 to S21"
    claim = "Pictures show what a neuron prefers and not what the prior knows: modified classes give modified pictures."
    shows_target = False
    measured = (
        "A network with twice the classes: of the images as they are, and of the same images modified. The prior has "
        "seen no modified image. A classifier of real images, regular against modified, judges the preferred images "
        "of both kinds of units: the share that it takes for modified. The prior's own rate is the same share of its "
        "reconstructions of regular images; that of its reconstructions of modified images says what the prior can "
        "paint at all."
    )

    def measure(self, lab: Lab, seed: int) -> Measurement:
        prior = lab.trainings.prior()
        numbers: dict[str, float] = {}
        columns: dict[str, Tensor] = {}
        rows: list[str] = []
        for name in self.modifications:
            trained = twice(lab, name)
            judge = kind_judge(lab, name, self.images)
            regular, changed, rows = search_both(lab, trained, prior, seed)
            judged = {"regular units": regular, "modified units": changed} | _reconstructions(lab, prior, name)
            for row, images in judged.items():
                found = np.mean([kind == name for kind in judge(images)])
                numbers[f"{name}: {row}/taken for modified"] = float(found)
            numbers[f"{name}: real images/accuracy of the classifier"] = judge.accuracy
            numbers[f"{name}: network/validation accuracy"] = float(trained.metrics["val/accuracy"])
            columns |= {f"{name} · regular": regular, f"{name} · modified": changed}
        caption = "Preferred images of regular classes and of the same classes modified."
        return Measurement(numbers, [side_by_side("modified", columns, rows, caption)])

    def statements(self, numbers: Numbers) -> list[Statement]:
        statements = []
        for name in self.modifications:
            rate = {row: numbers(f"{name}: {row}/taken for modified") for row in _ROWS}
            statements += [
                statement(
                    f"Units of {name} classes give pictures that are taken for {name} more often than regular units.",
                    "share for modified units minus that for regular units",
                    rate["modified units"] - rate["regular units"],
                ),
                statement(
                    f"They do so more often than the prior by itself ({name}).",
                    "share for modified units minus that of the prior's reconstructions of regular images",
                    rate["modified units"] - rate["prior, regular images"],
                ),
            ]
        return statements


_ROWS = ("regular units", "modified units", "prior, regular images")


def twice(lab: Lab, modification: str) -> Trained:
    """Returns a network with twice the classes: regular ones, and the same modified."""
    return lab.trainings.classifier(data={"_target_": "dgn.data.modified.twice", "modification": modification})


def kind_judge(lab: Lab, modification: str, count: int) -> KindJudge:
    """Returns a classifier of regular and modified real images."""
    sets = []
    for split in ("train", "val"):
        images = lab.real(split)[0][:count]
        sets.append({"regular": images, modification: alter(images, modification)})
    return fit_kind_judge(lab.judge, sets[0], sets[1])


def search_both(
    lab: Lab, trained: Trained, prior: Prior, seed: int, per_unit: int = 1
) -> tuple[Tensor, Tensor, list[str]]:
    """Returns preferred images of regular and of modified units of the same classes, and the classes' names."""
    layer, classes = trained.net.class_layer(), len(lab.data.classes)
    count = min(classes, lab.budget.units)
    chosen = [i * classes // count for i in range(count)]
    units = parse_units([f"{layer}:{i + n * classes}" for n in range(2) for i in chosen], trained.net)
    images = lab.search(units, seed, prior, trained.net, per_unit=per_unit).images
    half = len(images) // 2
    return images[:half], images[half:], [str(lab.data.classes[i]) for i in chosen]


@torch.no_grad()
def _reconstructions(lab: Lab, prior: Prior, modification: str) -> dict[str, Tensor]:
    """Returns what the prior makes of real images, as they are and modified."""
    real = lab.real("val")[0][:64]
    changed = alter(real, modification, 1)
    return {
        f"prior, {kind} images": prior.decode(prior.encode(images)).cpu()
        for kind, images in (("regular", real), ("modified", changed))
    }
