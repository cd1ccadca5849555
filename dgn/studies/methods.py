"""Every earlier method on the same units."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from dgn.am.preferred import Preferred
from dgn.metrics.predictive import PredictivePower, explanations_by_unit
from dgn.metrics.scorer import Scorer
from dgn.metrics.similarity import FeatureSimilarity
from dgn.studies.base import Measurement, Numbers, Study, side_by_side
from dgn.studies.lab import Lab
from dgn.studies.verdicts import Statement, statement

_FIGURES = {"top1": "recognized", "probability": "probability", "percentile": "percentile", "diversity": "diversity"}


@dataclass(frozen=True, kw_only=True)
class Methods(Study):
    """Keys: the method of the claim, the others, their steps (null: their own), pictures of each unit, 2AFC tasks."""

    ours: str = "dgn_am_short"
    others: Sequence[str] = (
        "dgn_am",
        "simonyan2013",
        "yosinski2015",
        "mahendran2015",
        "mfv2016",
        "olah2017",
        "maco2023",
    )
    steps: int | None = None
    per_unit: int = 2
    tasks: int = 10

    title = "Methods side by side"
    source = "DGN-AM S17"
    claim = "The pictures of DGN-AM are the most recognizable and the most natural of all methods."
    measured = (
        "Every method shows the same units from noise. Recognized: the share whose class is the judge's first; "
        "probability: what the judge gives to the class. Percentile: of the activation among real images. Frechet and "
        "KID: distances from real images of the same classes in the judge's features. Diversity: between pictures of "
        "a unit, relative to real images. 2AFC: how often the pictures tell which of two real images excites the unit "
        "more, by the judge's features (0.5 is chance). The row of real images is measured by the same code."
    )

    def measure(self, lab: Lab, seed: int) -> Measurement:
        objectives, prior = lab.units(), lab.trainings.prior()
        scorer = Scorer(
            lab.target, lab.judge, lab.reference, lab.data.classes, lab.reference.held_out(lab.budget.images)
        )
        sets: dict[str, Preferred] = {}
        for method in (self.ours, *self.others):
            sets[method] = lab.search(
                objectives, seed, prior, method=method, steps=self.steps, per_unit=self.per_unit, start="noise"
            )
        similarity = FeatureSimilarity(lab.judge)
        power = PredictivePower(
            lab.target, objectives, lab.reference.images, similarity, self.tasks, self.per_unit, seed=seed
        )
        predictions = power.measure({name: explanations_by_unit(found) for name, found in sets.items()})
        sets["real images"] = _later(scorer.real_instead(objectives, self.per_unit * (seed + 1)), self.per_unit)
        numbers: dict[str, float] = {}
        columns: dict[str, Tensor] = {}
        for name, found in sets.items():
            measured, _ = scorer.measure(found, name, near={})
            numbers |= {
                f"{name}/{title}": float(np.nanmean(measured.per_unit[key]))
                for key, title in _FIGURES.items()
                if key in measured.per_unit
            }
            numbers |= {f"{name}/{key}": value for key, (value, _) in measured.of_set.items()}
            if name in predictions:
                numbers[f"{name}/2AFC"] = float(np.nanmean(predictions[name].accuracy))
            columns[name] = found.images[:: self.per_unit]
        real = [p for name, p in predictions.items() if name not in sets][-1]
        numbers["real images/2AFC"] = float(np.nanmean(real.accuracy))
        caption = "The same units by every method, and held-out real images of the class."
        return Measurement(numbers, [side_by_side("methods", columns, [o.label for o in objectives], caption)])

    def statements(self, numbers: Numbers) -> list[Statement]:
        recognized, frechet = (
            np.stack([numbers(f"{name}/{figure}") for name in self.others]) for figure in ("recognized", "frechet")
        )
        return [
            statement(
                "DGN-AM's pictures are recognized more often than those of any other method.",
                "share recognized minus the highest of the others",
                numbers(f"{self.ours}/recognized") - recognized.max(0),
            ),
            statement(
                "They are nearer to real images than those of any other method.",
                "the lowest Frechet distance of the others minus DGN-AM's",
                frechet.min(0) - numbers(f"{self.ours}/frechet"),
            ),
        ]


def _later(real: Preferred, per_unit: int) -> Preferred:
    """Returns the last `per_unit` real images of each unit, so that every seed has others."""
    units: dict[str, list[int]] = {}
    for i, objective in enumerate(real.objectives):
        units.setdefault(str(objective), []).append(i)
    rows = [i for own in units.values() for i in own[-per_unit:]]
    return replace(
        real,
        images=real.images[rows],
        activations=real.activations[rows],
        curve=real.curve[:, rows],
        objectives=[real.objectives[i] for i in rows],
        seeds=[real.seeds[i] for i in rows],
        outcomes=[real.outcomes[i] for i in rows],
        steps=[real.steps[i] for i in rows],
        starts=[real.starts[i] for i in rows],
    )
