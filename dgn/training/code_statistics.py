"""Statistics measured before the first training step: of the codes over real images, and of the feature loss."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from dgn.data.datamodule import ImageData
from dgn.errors import UserError
from dgn.networks.featurenet import FeatureNet
from dgn.networks.usable import check_codes
from dgn.prior.principal import AXES
from dgn.prior.statistics import UnitStatistics, measure
from dgn.runs.progress import announced
from dgn.training.explained import PixelRegression
from dgn.training.loss_weights import Combination
from dgn.training.losses import feature_scales
from dgn.training.resuming import read_checkpoint

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CodeMeasures:
    """What is measured before the first step.

    Attributes:
        codes: The statistics of the codes.
        scales: {comparator layer: factor of its loss} (`dgn.training.losses.feature_scales`).
        explained: The share of the variance of pixels that codes explain (`dgn.training.explained`); None: not known.
    """

    codes: UnitStatistics
    scales: Mapping[str, float]
    explained: float | None = None


def code_statistics(
    data: ImageData,
    encoder: FeatureNet,
    layer: str,
    comparator: FeatureNet,
    comparator_layers: Sequence[str],
    images: int = 2000,
    raw_features: bool = False,
    split: str = "train",
    axes: int = AXES,
    explained: bool = False,
) -> CodeMeasures:
    """Measures the codes over real images, and the scale of the feature loss.

    Args:
        data: The images.
        encoder: The network that computes the codes.
        layer: The layer of the encoder whose activations are the codes.
        comparator: The network of the feature loss.
        comparator_layers: Its layers.
        images: The number of images to measure on, the first of the split.
        raw_features: Use a factor of 1 for every layer of the comparator.
        split: "train": training images, whole; "val": validation images, as DGN-AM measured the bounds of the code.
        axes: The largest number of principal axes of the codes (`dgn.prior.principal`); 0: none.
        explained: Measure too how much of the pixels the codes explain.

    Raises:
        UserError: If the split is unknown, or the codes are not finite or the same for all images.
    """
    if split not in ("train", "val"):
        raise UserError(f"statistics.split={split}: give train or val")
    encoder.layer(layer)
    device = encoder.device
    regression = PixelRegression() if explained else None

    def regress(images: Tensor, activations: Mapping[str, Tensor]) -> None:
        if regression is not None:
            regression.add(images, activations[layer])

    def measured(net: FeatureNet, layers: Sequence[str]) -> Mapping[str, UnitStatistics]:
        read = announced(
            data.real_images(images, split),
            images,
            "Running a network on real images, for the statistics of codes and features",
            "fewer with statistics.images=N",
            64,
        )
        batches = (batch.to(device) for batch, _ in read)
        names = list(dict.fromkeys(layers))
        if net is not encoder:
            return measure(net, names, batches)
        return measure(net, names, batches, {layer: axes}, seen=regress)

    # If both are one network, a single pass gives both. Only one batch is in memory.
    statistics = measured(encoder, [layer, *comparator_layers] if comparator is encoder else [layer])
    codes = statistics[layer]
    check_codes(encoder, layer, codes.mean, codes.std)
    share = None if regression is None else regression.explained()
    if raw_features:
        return CodeMeasures(codes, dict.fromkeys(comparator_layers, 1.0), share)
    features = statistics if comparator is encoder else measured(comparator, comparator_layers)
    scales = feature_scales({name: features[name].total_variance for name in comparator_layers})
    return CodeMeasures(codes, scales, share)


def losses_for_codes(weights: Combination, measures: CodeMeasures) -> Combination:
    """Returns the losses for the codes that were measured; the log says where they differ from those that were set."""
    ours = weights.for_codes(measures.explained)
    if measures.explained is not None and ours.adversarial != weights.adversarial:
        log.info(
            "Codes explain %.0f%% of the variance of pixels: the adversarial loss has a larger share of the gradient: "
            "image %.2f, feature %.2f, adversarial %.2f (loss.explained=null: the shares as they are set)",
            100 * measures.explained, ours.image, ours.feature, ours.adversarial,
        )  # fmt: skip
    return ours


def saved_statistics(checkpoint: Path, layer: str) -> CodeMeasures | None:
    """Returns the result of `code_statistics` that a checkpoint holds, or None if its run inverts another layer.

    Raises:
        UserError: If the checkpoint is damaged.
    """
    saved = read_checkpoint(checkpoint)
    if saved["prior"]["about"]["layer"] != layer:
        return None
    explained = saved["prior"]["about"]["training"].get("explained")  # older checkpoints have none
    return CodeMeasures(UnitStatistics(**saved["code_statistics"]), dict(saved["feature_scales"]), explained)
