"""One yardstick for several sets of preferred images: how many of each are recognized, how natural each is.

Figures to rank many runs by, without the intervals and the other figures of `dgn.metrics.scorer`, which cost more.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from dgn.metrics.features import features_of
from dgn.metrics.naturalness import frechet, same_classes
from dgn.metrics.recognition import check_independent, judge_images, plain_label
from dgn.networks.featurenet import FeatureNet


class Yardstick:
    """Measures sets of images.

    judge: says what they show; None: recognition is not measured, and the Frechet distance is one of the target's
        features. Raises UserError where it shares weights with the target.
    real: batches (images in image space, labels) of real images; None: no Frechet distance.
    classes: the names of their labels, none where they have no labels."""

    def __init__(
        self,
        judge: FeatureNet | None,
        target: FeatureNet,
        real: Iterable[tuple[Tensor, Tensor]] | None,
        classes: Sequence[str] = (),
    ) -> None:
        if judge is not None:
            check_independent(judge, target)
        self.judge, self.eyes = judge, judge or target
        self.classes = {plain_label(name): i for i, name in enumerate(classes)}
        read = [(features_of(self.eyes, images), labels) for images, labels in real or ()]
        self.real = torch.cat([features for features, _ in read]) if read else None
        self.real_classes = torch.cat([labels for _, labels in read]).tolist() if read else []

    def measure(self, images: Tensor, wanted: Sequence[Sequence[str]]) -> dict[str, float]:
        """images (N, 3, H, W) in image space; wanted: for each the labels that it was made for, none where the unit
        has none. recognition: the share of images with a label whose first verdict it is; frechet_distance
        (`dgn.metrics.naturalness.frechet`): from real images, of the same classes in the same proportions where every
        image has one. What cannot be measured is left out."""
        found = {}
        if self.judge is not None:
            verdicts = [verdict.top(1) for verdict in judge_images(self.judge, images, wanted)]
            known = [first for first in verdicts if first is not None]
            if known:
                found["recognition"] = sum(known) / len(known)
        if self.real is not None:
            kept = [self.classes.get(plain_label(labels[0])) if len(labels) == 1 else None for labels in wanted]
            alike = set(kept) <= set(self.real_classes)
            real = self.real[same_classes(kept, self.real_classes)] if alike else self.real
            if min(len(images), len(real)) > 1:
                found["frechet_distance"] = frechet(features_of(self.eyes, images), real)
        return found

    def words(self) -> str:
        """Who measures, in a sentence; empty where nobody does."""
        said = [f"recognized by {self.judge.name}"] if self.judge else []
        if self.real is not None:
            said.append(f"Frechet distance in the features of {self.eyes.name} from {len(self.real)} real images")
        told = "; ".join(said)
        return f"{told[:1].upper()}{told[1:]}." if told else ""
