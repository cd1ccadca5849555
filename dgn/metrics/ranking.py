"""Two metrics for ranking many sets of preferred images: the fraction recognized, and the Frechet distance.

The intervals and other metrics of `dgn.metrics.scorer` are left out because they take longer.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from dgn.am.objectives.unit_names import plain_label
from dgn.metrics.features import extract_features
from dgn.metrics.naturalness import same_classes
from dgn.metrics.recognition import judge_images
from dgn.networks.featurenet import FeatureNet
from dgn.networks.usable import check_independent
from dgn.prior.frechet import frechet


class RankingMetrics:
    """Measures sets of images.

    Args:
        judge: classifies the images; None: recognition is not measured, and the Frechet distance uses the
            target's features.
        target: the network whose units were maximized.
        real: batches (images in image space, labels) of real images; None: no Frechet distance.
        classes: the names of their labels; empty if they have no labels.

    Raises:
        UserError: if the judge shares weights with the target.
    """

    def __init__(
        self,
        judge: FeatureNet | None,
        target: FeatureNet,
        real: Iterable[tuple[Tensor, Tensor]] | None,
        classes: Sequence[str] = (),
    ) -> None:
        if judge is not None:
            check_independent(judge, target)
        self.judge, self.feature_net = judge, judge or target
        self.classes = {plain_label(name): i for i, name in enumerate(classes)}
        batches = [(extract_features(self.feature_net, images), labels) for images, labels in real or ()]
        self.real = torch.cat([features for features, _ in batches]) if batches else None
        self.real_classes = torch.cat([labels for _, labels in batches]).tolist() if batches else []

    def measure(self, images: Tensor, wanted: Sequence[Sequence[str]]) -> dict[str, float]:
        """Measures one set of images.

        Args:
            images: (N, 3, H, W) in image space.
            wanted: the labels that each image was made for; empty if the unit has none.

        Returns:
            recognition: the fraction of images with a label for which it is the judge's top label.
            frechet_distance (`dgn.metrics.naturalness.frechet`): the distance to real images; if every image has a
            class, to real images of the same classes in the same proportions.
            Metrics that cannot be measured are left out.
        """
        figures = {}
        if self.judge is not None:
            verdicts = [verdict.top(1) for verdict in judge_images(self.judge, images, wanted)]
            comparable = [recognized for recognized in verdicts if recognized is not None]
            if comparable:
                figures["recognition"] = sum(comparable) / len(comparable)
        if self.real is not None:
            classes = [self.classes.get(plain_label(labels[0])) if len(labels) == 1 else None for labels in wanted]
            matched = set(classes) <= set(self.real_classes)
            real = self.real[same_classes(classes, self.real_classes)] if matched else self.real
            if min(len(images), len(real)) > 1:
                figures["frechet_distance"] = frechet(extract_features(self.feature_net, images), real)
        return figures

    def describe(self) -> str:
        """Returns a sentence that names the judge and the network of the features; "" if nothing is measured."""
        parts = [f"recognized by {self.judge.name}"] if self.judge else []
        if self.real is not None:
            parts.append(
                f"Frechet distance in the features of {self.feature_net.name} from {len(self.real)} real images"
            )
        sentence = "; ".join(parts)
        return f"{sentence[:1].upper()}{sentence[1:]}." if sentence else ""
