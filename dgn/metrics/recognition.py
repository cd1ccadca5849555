"""What a judge, a network that shares no weights with the target, sees in an image."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dgn.data.batches import Images, batches
from dgn.errors import UserError
from dgn.networks.featurenet import FeatureNet
from dgn.networks.precision import full_precision


@dataclass(frozen=True)
class Verdict:
    """What the judge makes of one image.

    label, probability: its first label (the class's number where classes have no names) and the softmax
    probability of it. classes: how many it chose from.
    wanted, rank: the probability of what the image should show and its place among the judge's labels, 1 the
    first; None where the judge knows none of the names asked for.
    """

    label: str
    probability: float
    classes: int
    wanted: float | None = None
    rank: int | None = None

    def top(self, k: int) -> bool | None:
        """Whether what the image should show is among the judge's first k labels (k clipped to its classes)."""
        return None if self.rank is None else self.rank <= min(k, self.classes)


@torch.no_grad()
@full_precision
def judge_images(judge: FeatureNet, images: Images, wanted: Sequence[Collection[str]] | None = None) -> list[Verdict]:
    """images (N, 3, H, W) in image space, or batches of them -> the judge's verdict on each.

    wanted: for each image the labels that it should be given, any of them (case and underscores don't count)."""
    layer, device = judge.class_layer(), judge.device
    logits = torch.cat([judge(batch.to(device), [layer])[layer].float().cpu() for batch in batches(images)])
    probabilities = logits.softmax(1)
    order = logits.sort(dim=1, descending=True, stable=True).indices  # equal logits: the lower class first
    ranks = order.argsort(1) + 1
    names = judge.labels or tuple(str(i) for i in range(logits.shape[1]))
    places = {plain_label(name): i for i, name in reversed(list(enumerate(names)))}
    verdicts = []
    for row, asked in enumerate(wanted if wanted is not None else [()] * len(logits)):
        first = int(order[row, 0])
        known = [places[plain_label(name)] for name in asked if plain_label(name) in places]
        best = min(known, key=lambda i: int(ranks[row, i])) if known else None
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
    """images (N, 3, H, W) in image space -> the judge's first label and its softmax probability for each (None
    where there is no judge). Classes without a name are named by their number."""
    return None if judge is None else [(v.label, v.probability) for v in judge_images(judge, images)]


def check_independent(judge: FeatureNet, target: FeatureNet) -> None:
    """Raises UserError where judge and target share weights: an image made to please the target would then be
    judged by the target. Compared are matrices and filters, tensor by tensor, so that a fine-tuned copy with a
    frozen trunk is found too."""
    shared = _weights(judge).keys() & _weights(target).keys()
    if shared:
        name = _weights(judge)[min(shared)]
        raise UserError(
            f"the judge {judge.name} shares {len(shared)} weight tensors with the target {target.name} (first "
            f"{name}), so it would only repeat what the target says; give a judge of its own weights, e.g. "
            "judge=mini_resnet judge.weights=FILE, or judge=none"
        )


def _weights(net: FeatureNet) -> dict[str, str]:
    """SHA-256 -> name of every weight tensor that no two networks have by chance: two dimensions or more, not all
    one value."""
    found = {}
    for name, tensor in net.network.state_dict().items():
        if tensor.ndim >= 2 and tensor.is_floating_point() and bool((tensor != tensor.flatten()[0]).any()):
            data = tensor.detach().float().cpu().contiguous().numpy()
            found[hashlib.sha256(f"{data.shape}".encode() + data.tobytes()).hexdigest()] = name
    return found


def plain_label(label: str) -> str:
    """A label as labels are compared: case, underscores and outer blanks don't count."""
    return label.strip().lower().replace("_", " ")
