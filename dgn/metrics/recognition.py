"""What a judge, a network that shares no weights with the target, sees in an image."""

import torch
from torch import Tensor

from dgn.networks.featurenet import FeatureNet


@torch.no_grad()
def recognize(judge: FeatureNet | None, images: Tensor) -> list[tuple[str, float]] | None:
    """images (N, 3, H, W) in image space -> the judge's first label and its softmax probability for each (None
    where there is no judge). Classes without a name are named by their number."""
    if judge is None:
        return None
    layer = judge.class_layer()
    logits = torch.cat([judge(batch, [layer])[layer].float() for batch in images.split(64)])
    probabilities, indices = logits.softmax(1).max(1)
    names = judge.labels or [str(i) for i in range(logits.shape[1])]
    return [(names[i], p) for i, p in zip(indices.tolist(), probabilities.tolist(), strict=True)]
