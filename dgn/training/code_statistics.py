"""Measurements before training: statistics of the codes over real images, and scales of the feature loss."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from dgn.data.datamodule import ImageData
from dgn.errors import UserError
from dgn.networks.featurenet import FeatureNet
from dgn.prior.statistics import UnitStatistics, measure
from dgn.training.losses import feature_scales
from dgn.training.resuming import read_checkpoint


def code_statistics(
    data: ImageData,
    encoder: FeatureNet,
    layer: str,
    comparator: FeatureNet,
    comparator_layers: Sequence[str],
    images: int = 2000,
    raw_features: bool = False,
    split: str = "train",
) -> tuple[UnitStatistics, dict[str, float]]:
    """Statistics of the encoder's layer over the first `images` images of a split, and the feature loss's factor for
    each of the comparator's layers (`dgn.training.losses.feature_scales`; 1 with raw_features).

    split: "train": augmented training images; "val": validation images, as DGN-AM measured the code's bounds.
    Raises UserError for another split, where the codes are not finite, or are the same for all images."""
    if split not in ("train", "val"):
        raise UserError(f"statistics.split={split}: give train or val")
    encoder.layer(layer)
    device = encoder.device

    def measured(net: FeatureNet, layers: Sequence[str]) -> Mapping[str, UnitStatistics]:
        batches = (batch.to(device) for batch, _ in data.real_images(images, split))
        return measure(net, list(dict.fromkeys(layers)), batches)

    # As in training, one pass measures both if they are the same network. Only one batch is held in memory.
    statistics = measured(encoder, [layer, *comparator_layers] if comparator is encoder else [layer])
    codes = statistics[layer]
    if not (codes.std.isfinite().all() and codes.mean.isfinite().all()):
        raise UserError(f"{layer} of {encoder.name} is not finite on real images; check its weights")
    if codes.total_variance == 0:
        raise UserError(f"{layer} of {encoder.name} is the same for all images: nothing to invert")
    if raw_features:
        return codes, dict.fromkeys(comparator_layers, 1.0)
    features = statistics if comparator is encoder else measured(comparator, comparator_layers)
    return codes, feature_scales({name: features[name].total_variance for name in comparator_layers})


def saved_statistics(checkpoint: Path, layer: str) -> tuple[UnitStatistics, dict[str, float]] | None:
    """Reads the result of `code_statistics` from a checkpoint.

    Args:
        checkpoint: The checkpoint.
        layer: The encoder's layer to invert.

    Returns:
        The statistics and the feature scales, or None if the checkpoint's run inverts another layer.

    Raises:
        UserError: If the checkpoint is damaged.
    """
    saved = read_checkpoint(checkpoint)
    if saved["prior"]["about"]["layer"] != layer:
        return None
    return UnitStatistics(**saved["code_statistics"]), dict(saved["feature_scales"])
