"""Similar classes: the logit against the softmax probability."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from dgn.am.objectives.algebra import Objective
from dgn.am.objectives.language import parse_units
from dgn.metrics.recognition import judge_images
from dgn.studies.base import Measurement, Numbers, Study, side_by_side
from dgn.studies.lab import Lab, share
from dgn.studies.verdicts import Statement, statement


@dataclass(frozen=True, kw_only=True)
class Lookalikes(Study):
    """Keys: the number of pairs of classes that the target confuses most."""

    pairs: int = 4

    title = "Look-alikes: logit against softmax"
    source = "DGN-AM S8"
    claim = "Maximizing the softmax probability instead of the logit makes pictures of similar classes distinguishable."
    measured = (
        "The pairs of classes to whose images the target gives the most of each other's probability. For both classes "
        "of a pair, pictures that maximize the logit and pictures that maximize the log of the softmax probability. "
        "Margin: the judge's log-odds of the class against its look-alike. Told apart: the share of pictures with a "
        "positive margin. Difference: the mean absolute difference of the two classes' pixels from the same noise."
    )

    def measure(self, lab: Lab, seed: int) -> Measurement:
        pairs = _confused(lab, self.pairs)
        prior, layer = lab.trainings.prior(), lab.target.class_layer()
        numbers: dict[str, float] = {}
        columns: dict[str, torch.Tensor] = {}
        for name, form in (("logit", "{}:{}"), ("softmax", "log_softmax({}:{})")):
            units = [parse_units([form.format(layer, i) for i in pair], lab.target) for pair in pairs]
            found = lab.search([unit for pair in units for unit in pair], seed, prior)
            margins = _margins(lab, found.images, units)
            first, second = found.images[::2], found.images[1::2]
            numbers |= {
                f"{name}/margin": float(np.mean(margins)),
                f"{name}/told apart": share([margin > 0 for margin in margins]),
                f"{name}/difference": float((first - second).abs().mean()),
            }
            columns |= {f"{name} · one": first, f"{name} · other": second}
        names = [" / ".join(unit.label for unit in parse_units([f"{layer}:{i}" for i in p], lab.target)) for p in pairs]
        caption = "Preferred images of pairs of similar classes, by logit and by softmax."
        return Measurement(numbers, [side_by_side("lookalikes", columns, names, caption)])

    def statements(self, numbers: Numbers) -> list[Statement]:
        return [
            statement(
                "The judge tells the classes of a pair apart by a larger margin.",
                "margin with softmax minus margin with the logit",
                numbers("softmax/margin") - numbers("logit/margin"),
            ),
            statement(
                "More pictures are on the right side of the pair.",
                "share told apart with softmax minus that with the logit",
                numbers("softmax/told apart") - numbers("logit/told apart"),
            ),
            statement(
                "The pictures of the two classes differ more.",
                "difference with softmax minus that with the logit",
                numbers("softmax/difference") - numbers("logit/difference"),
            ),
        ]


@torch.no_grad()
def _confused(lab: Lab, count: int) -> list[tuple[int, int]]:
    """Returns the pairs of classes that the target confuses most on real images, each class at most once."""
    images, labels = lab.real("val")
    layer = lab.target.class_layer()
    logits = [lab.target(part.to(lab.target.device), [layer])[layer].float().cpu() for part in images.split(64)]
    probabilities = torch.cat(logits).softmax(1)
    classes = min(probabilities.shape[1], max(1, len(lab.data.classes)))
    given = [probabilities[labels == c].mean(0)[:classes] for c in range(classes)]
    mean = torch.nan_to_num(torch.stack(given), 0.0)
    mutual = (mean + mean.T).triu(1)
    pairs: list[tuple[int, int]] = []
    for flat in mutual.flatten().argsort(descending=True, stable=True).tolist():
        i, j = divmod(flat, classes)
        if i < j and not {i, j} & {member for pair in pairs for member in pair}:
            pairs.append((i, j))
        if len(pairs) == count:
            break
    return pairs


def _margins(lab: Lab, images: torch.Tensor, pairs: Sequence[Sequence[Objective]]) -> list[float]:
    """Returns the judge's log-odds of each image's class against the other of its pair."""
    labels = [[_label(unit), _label(other)] for a, b in pairs for unit, other in ((a, b), (b, a))]
    own = judge_images(lab.judge, images, [(pair[0],) for pair in labels])
    others = judge_images(lab.judge, images, [(pair[1],) for pair in labels])
    least = 1e-9
    return [
        float(np.log((a.wanted or 0) + least) - np.log((b.wanted or 0) + least))
        for a, b in zip(own, others, strict=True)
    ]


def _label(objective: Objective) -> str:
    return objective.wanted[0] if objective.wanted else ""
