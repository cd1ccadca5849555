"""Priors that invert different layers, with the same units and seeds."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from dgn.data.modified import alter
from dgn.metrics.kinds import KindJudge, fit_kind_judge
from dgn.metrics.repetition import repetition
from dgn.studies.base import Measurement, Numbers, Study, side_by_side
from dgn.studies.lab import Lab
from dgn.studies.verdicts import Statement, statement


@dataclass(frozen=True, kw_only=True)
class Layers(Study):
    """Keys: layers whose codes are maps and vectors ("auto": the encoder's), images for the judge of coherence."""

    convolutional: Sequence[str] | str = "auto"
    connected: Sequence[str] | str = "auto"
    shuffled_images: int = 256

    title = "Layers: which code makes a whole picture?"
    source = "DGN-AM 3.1, S13"
    claim = (
        "Priors of fully connected layers give pictures with coherent global structure; those of convolutional layers "
        "repeat patches."
    )
    measured = (
        "Repetition: the highest peak of the autocorrelation of the edges at shifts of an eighth of the side or "
        "more, after averaging to 16 x 16 pixels. (A first version without averaging, on which the lattice of dots "
        "that short trainings leave has most effect, came to the same.) Coherence: the probability, by a classifier "
        "of real images and of real images with shuffled quarters, that the picture is not shuffled. Recognized: the "
        "share of pictures whose class is the judge's first. The row of real images has the same measures of "
        "held-out images."
    )

    def measure(self, lab: Lab, seed: int) -> Measurement:
        convolutional, connected = self._layers(lab)
        objectives = lab.units()
        all_given = all(lab.trainings.given_for(layer) is not None for layer in (*convolutional, *connected))
        steps = None if all_given else lab.trainings.prior_steps  # priors are compared: all are trained alike
        judge = _whole_or_shuffled(lab, self.shuffled_images)
        numbers: dict[str, float] = {"judge of coherence/accuracy": judge.accuracy}
        columns: dict[str, torch.Tensor] = {}
        for kind, layers in (("map", convolutional), ("vector", connected)):
            of_kind = []
            for layer in layers:
                found = lab.search(objectives, seed, lab.trainings.prior(layer, steps=steps))
                numbers |= _scores(layer, found.images, judge) | {f"{layer}/recognized": lab.recognized(found)}
                columns[layer] = found.images
                of_kind.append(found.images)
            numbers |= _scores(f"{kind} codes", torch.cat(of_kind), judge)
        numbers |= _scores("real images", lab.real("val")[0], judge)
        caption = "Preferred images of the same units through priors of different layers."
        return Measurement(numbers, [side_by_side("layers", columns, [o.label for o in objectives], caption)])

    def statements(self, numbers: Numbers) -> list[Statement]:
        return [
            statement(
                "Codes that are maps repeat patches more than codes that are vectors.",
                "repetition through map codes minus that through vector codes",
                numbers("map codes/repetition") - numbers("vector codes/repetition"),
            ),
            statement(
                "Codes that are vectors give more coherent pictures.",
                "coherence through vector codes minus that through map codes",
                numbers("vector codes/coherence") - numbers("map codes/coherence"),
            ),
        ]

    def _layers(self, lab: Lab) -> tuple[list[str], list[str]]:
        maps, vectors = lab.maps(lab.encoder), lab.vectors(lab.encoder)
        auto = [maps[len(maps) // 2], maps[-1]] if len(maps) > 1 else maps
        convolutional = auto if isinstance(self.convolutional, str) else list(self.convolutional)
        connected = vectors[:2] if isinstance(self.connected, str) else list(self.connected)
        return convolutional, connected


def _whole_or_shuffled(lab: Lab, count: int) -> KindJudge:
    """Returns a classifier of whole images and images with shuffled quarters."""
    (train, _), (val, _) = lab.real("train"), lab.real("val")
    sets = [{"whole": images[:count], "shuffled": alter(images[:count], "shuffled")} for images in (train, val)]
    return fit_kind_judge(lab.judge, sets[0], sets[1])


def _scores(row: str, images: torch.Tensor, judge: KindJudge) -> dict[str, float]:
    return {
        f"{row}/repetition": float(repetition(images).mean()),
        f"{row}/coherence": float(np.mean(judge.probability(images, "whole"))),
    }
