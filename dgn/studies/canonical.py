"""Classes that are seen upright, and the same classes seen in any pose."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dgn.metrics.kinds import KindJudge, fit_kind_judge
from dgn.studies.base import Measurement, Numbers, Study, side_by_side
from dgn.studies.lab import Lab
from dgn.studies.modified import search_both, twice
from dgn.studies.verdicts import Statement, statement

_POSES = ("upright", "turned by 90", "turned by 180", "turned by 270")


@dataclass(frozen=True, kw_only=True)
class Canonical(Study):
    """Keys: images of each unit, over which the spread is measured; real images that the judge of poses learns from."""

    per_unit: int = 3
    images: int = 256

    title = "Canonical and varied views"
    source = "DGN-AM S5"
    claim = "Pictures from unusual views reflect the unit: units that have seen varied poses give varied poses."
    shows_target = False
    measured = (
        "A network with twice the classes: upright, and the same turned by 0, 90, 180 or 270 degrees at random. A "
        "judge of poses, fitted to real images turned by each, names the pose of every picture. Turned: the share of "
        "pictures that are not upright (0 and 3/4 in the data). Spread: the entropy of the poses in bits (0 and 2 in "
        "the data)."
    )

    def measure(self, lab: Lab, seed: int) -> Measurement:
        trained, judge = twice(lab, "turned"), _pose_judge(lab, self.images)
        upright, varied, rows = search_both(lab, trained, lab.trainings.prior(), seed, self.per_unit)
        numbers: dict[str, float] = {}
        for name, images in (("upright classes", upright), ("varied classes", varied)):
            poses = judge(images)
            numbers |= {f"{name}/turned": float(np.mean([pose != _POSES[0] for pose in poses]))}
            numbers |= {f"{name}/spread": _entropy(poses)}
        numbers |= {"upright classes/turned in the data": 0.0, "varied classes/turned in the data": 0.75}
        numbers |= {"upright classes/spread in the data": 0.0, "varied classes/spread in the data": 2.0}
        numbers["judge of poses/accuracy"] = judge.accuracy
        columns: dict[str, Tensor] = {}
        for name, images in (("upright", upright), ("varied", varied)):
            columns |= {f"{name} · {i + 1}": images[i :: self.per_unit] for i in range(self.per_unit)}
        caption = "Preferred images of classes seen upright, and of the same classes seen in any pose."
        return Measurement(numbers, [side_by_side("canonical", columns, rows, caption)])

    def statements(self, numbers: Numbers) -> list[Statement]:
        return [
            statement(
                "Units of varied classes give more pictures that are not upright.",
                "share turned for varied classes minus that for upright classes",
                numbers("varied classes/turned") - numbers("upright classes/turned"),
            ),
            statement(
                "Their poses spread more.",
                "entropy of the poses for varied classes minus that for upright classes",
                numbers("varied classes/spread") - numbers("upright classes/spread"),
            ),
        ]


def _pose_judge(lab: Lab, count: int) -> KindJudge:
    """Returns a classifier of the four poses."""
    sets: list[dict[str, Tensor]] = []
    for split in ("train", "val"):
        images = lab.real(split)[0][:count]
        sets.append({pose: torch.rot90(images, turns, (2, 3)) for turns, pose in enumerate(_POSES)})
    return fit_kind_judge(lab.judge, sets[0], sets[1])


def _entropy(names: list[str]) -> float:
    """Returns the entropy of the names' frequencies, in bits."""
    _, counts = np.unique(names, return_counts=True)
    frequencies = counts / counts.sum()
    return float(-(frequencies * np.log2(frequencies)).sum())
