"""Targets of the encoder's architecture that were trained on other data than the prior."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from dgn.am.objectives.algebra import Objective
from dgn.networks.featurenet import FeatureNet
from dgn.studies.base import Measurement, Numbers, Study, side_by_side
from dgn.studies.lab import Lab, share
from dgn.studies.verdicts import Statement, statement

_HALF = {"_target_": "dgn.data.modified.of_classes", "part": 0, "parts": 2}
_OTHER_HALF = {**_HALF, "part": 1}
_OUTLINES = {"_target_": "dgn.data.modified.modified", "modification": "outlined"}


@dataclass(frozen=True, kw_only=True)
class Datasets(Study):
    """Keys: further data, as the settings of a data group by name, whose target is judged by a network of its own."""

    others: Mapping[str, Mapping[str, Any]] | None = None

    title = "Data sets: does the prior generalize to networks trained on other data?"
    source = "DGN-AM 3.2"
    claim = "A prior generalizes to networks of the same architecture that were trained on other data."
    shows_target = False
    measured = (
        "An encoder and a prior see every other class only. Targets of the same architecture: that encoder itself "
        "(own data); a network trained on the other classes; one trained on outline drawings of all classes. "
        "Recognized: the share of pictures whose class is the judge's first (the judge is trained on all classes, in "
        "the regular style). By chance: the share of pictures of the same target that the judge takes for the class "
        "of another unit."
    )

    def measure(self, lab: Lab, seed: int) -> Measurement:
        own = lab.trainings.classifier(data=_HALF)
        prior = lab.trainings.prior(data=_HALF, weights=own.path)
        targets: dict[str, tuple[FeatureNet, FeatureNet | None]] = {"own data": (own.net, None)}
        targets["other classes"] = (lab.trainings.classifier(data=_OTHER_HALF).net, None)
        targets["outline drawings"] = (lab.trainings.classifier(data=_OUTLINES).net, None)
        for name, settings in (self.others or {}).items():
            nets = [lab.trainings.classifier(data=settings, seed=n).net for n in range(2)]
            targets[name] = (nets[0], nets[1])
        numbers: dict[str, float] = {}
        columns: dict[str, Tensor] = {}
        rows: list[str] = []
        for name, (target, judge) in targets.items():
            objectives = lab.units(target)
            found = lab.search(objectives, seed, prior, target)
            numbers |= {f"{name}/{key}": value for key, value in _scores(lab, found.images, objectives, judge).items()}
            columns[name] = found.images
            labels = [objective.label for objective in objectives]
            rows = [f"{row} · {label}" for row, label in zip(rows, labels, strict=False)] if rows else labels
        shown = min(len(images) for images in columns.values())
        columns = {name: images[:shown] for name, images in columns.items()}
        caption = (
            "Preferred images through one prior, of targets trained on its data and on others (classes by column)."
        )
        return Measurement(numbers, [side_by_side("datasets", columns, rows[:shown], caption)])

    def statements(self, numbers: Numbers) -> list[Statement]:
        statements = []
        for name in numbers.rows:
            if name == "own data":
                continue
            statements += [
                statement(
                    f"Pictures of the network trained on {name} are recognized more often than by chance.",
                    "share recognized minus that by chance",
                    numbers(f"{name}/recognized") - numbers(f"{name}/by chance"),
                ),
                statement(
                    f"They are recognized at least half as often as those of the prior's own network ({name}).",
                    "share recognized minus half the share for own data",
                    numbers(f"{name}/recognized") - numbers("own data/recognized") / 2,
                ),
            ]
        return statements


def _scores(lab: Lab, images: Tensor, objectives: list[Objective], judge: FeatureNet | None) -> dict[str, float]:
    """Returns the shares of images recognized as their own class, and as that of another unit."""
    wanted = [o.wanted for o in objectives]
    own = lab.verdicts(images, wanted, judge)
    by_chance = []
    for shift in range(1, len(wanted)):
        by_chance += [bool(v.top(1)) for v in lab.verdicts(images, [*wanted[shift:], *wanted[:shift]], judge)]
    return {"recognized": share([bool(v.top(1)) for v in own]), "by chance": share(by_chance)}
