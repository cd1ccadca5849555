"""Are preferred images copies of training images?"""

from dataclasses import dataclass

import numpy as np
import torch

from dgn.data.reference import Reference, TrainingImages
from dgn.metrics.neighbours import PIXELS, code_spaces, nearest
from dgn.metrics.scorer import class_index
from dgn.studies.base import Measurement, Numbers, Study, side_by_side
from dgn.studies.lab import Lab
from dgn.studies.verdicts import Statement, statement


@dataclass(frozen=True, kw_only=True)
class Memorization(Study):
    """Keys: training images of each class that are searched."""

    of_class: int | None = 250

    title = "Memorization: the nearest training images"
    source = "DGN-AM S22"
    claim = "Preferred images are no copies: they are no nearer to training images than held-out real images are."
    measured = (
        "The Euclidean distance to the nearest training image of the class, in pixels and in the codes of eight "
        "layers, of preferred images and of held-out real images of the same classes; their ratio."
    )

    def measure(self, lab: Lab, seed: int) -> Measurement:
        objectives = lab.units()
        found = lab.search(objectives, seed, lab.trainings.prior())
        labels = [class_index(o, lab.data.classes) for o in objectives]
        real, real_labels = lab.real("val")
        own = {
            label: torch.nonzero(real_labels == label).flatten().tolist() for label in set(labels) if label is not None
        }
        held_out = []
        for label in labels:
            places = own.get(label, []) if label is not None else []
            held_out.append(places[seed % len(places)] if places else seed)
        reference = Reference(lab.data, lab.budget.images)
        training = TrainingImages(reference, self.of_class)
        layers = code_spaces(lab.target)
        sets = [found.images, real[held_out]]
        results = nearest(sets, training.of_labels(set(labels)), lab.target, layers, [labels, labels], reference.count)
        numbers: dict[str, float] = {}
        for space in (PIXELS, *layers):
            preferred, others = (float(np.nanmean(r[space].distances.numpy())) for r in results)
            numbers |= {
                f"{space}/preferred": preferred, f"{space}/held out": others, f"{space}/ratio": preferred / others
            }  # fmt: skip
        columns = {"preferred": found.images}
        for space in (PIXELS, layers[len(layers) // 2], layers[-1]):
            places = [max(0, place) for place in results[0][space].indices.tolist()]
            images = reference.images_at(places)
            columns[f"nearest · {space}"] = torch.stack([images[place] for place in places])
        caption = "Preferred images and the training images of the class that are nearest to them, in three spaces."
        return Measurement(numbers, [side_by_side("nearest", columns, [o.label for o in objectives], caption)])

    def statements(self, numbers: Numbers) -> list[Statement]:
        return [
            statement(
                f"In {space}, preferred images are no nearer than held-out real images.",
                "log of the ratio of the distances",
                np.log(numbers(f"{space}/ratio")),
            )
            for space in numbers.rows
        ]
