"""Recognition of images by a judge: a network that shares no weights with the target."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dgn.am.objectives.unit_names import plain_label
from dgn.data.batches import Images, batches
from dgn.devices import moved
from dgn.networks.featurenet import FeatureNet
from dgn.networks.precision import full_precision


@dataclass(frozen=True)
class Verdict:
    """The judge's prediction for one image.

    Attributes:
        label: the top label (the class's number if classes have no names).
        probability: its softmax probability.
        classes: the number of classes.
        wanted: the probability of the label that the image should show; None if the judge has no such label.
        rank: the rank of that label among the judge's labels, from 1; None if the judge has no such label.
    """

    label: str
    probability: float
    classes: int
    wanted: float | None = None
    rank: int | None = None

    def top(self, k: int) -> bool | None:
        """Whether the wanted label is among the judge's top k labels (k clipped to its classes); None if unknown."""
        return None if self.rank is None else self.rank <= min(k, self.classes)


@torch.no_grad()
@full_precision
def judge_images(judge: FeatureNet, images: Images, wanted: Sequence[Collection[str]] | None = None) -> list[Verdict]:
    """Returns the judge's verdict on each image.

    Args:
        judge: the network that classifies the images.
        images: (N, 3, H, W) in image space, or batches of them.
        wanted: the accepted labels of each image (case and underscores are ignored).
    """
    layer, device = judge.class_layer(), judge.device
    logits = torch.cat([judge(moved(batch, device), [layer])[layer].float().cpu() for batch in batches(images)])
    probabilities = logits.softmax(1)
    order = logits.sort(dim=1, descending=True, stable=True).indices  # of equal logits, the lower class first
    ranks = order.argsort(1) + 1
    names = judge.labels or tuple(str(i) for i in range(logits.shape[1]))
    classes = {plain_label(name): i for i, name in reversed(list(enumerate(names)))}
    verdicts = []
    for row, labels in enumerate(wanted if wanted is not None else [()] * len(logits)):
        first = int(order[row, 0])
        accepted = [classes[plain_label(label)] for label in labels if plain_label(label) in classes]
        best = min(accepted, key=lambda i: int(ranks[row, i])) if accepted else None
        verdicts.append(
            Verdict(
                names[first],
                float(probabilities[row, first]),
                len(names),
                None if best is None else float(probabilities[row, best]),
                None if best is None else int(ranks[row, best]),
            )
        )
    return verdicts


def recognize(judge: FeatureNet | None, images: Tensor) -> list[tuple[str, float]] | None:
    """Returns the judge's top label and its softmax probability for images (N, 3, H, W); None without a judge.

    Classes without a name are named by their number.
    """
    return None if judge is None else [(v.label, v.probability) for v in judge_images(judge, images)]
