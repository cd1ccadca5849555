"""Statistics measured before the first training step: of the codes over real images, and of the feature loss."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from dgn.data.datamodule import ImageData
from dgn.errors import UserError
from dgn.networks.featurenet import FeatureNet
from dgn.networks.usable import check_codes
from dgn.prior.principal import AXES
from dgn.prior.statistics import UnitStatistics, measure
from dgn.runs.progress import announced
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
    axes: int = AXES,
) -> tuple[UnitStatistics, dict[str, float]]:
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

    Returns:
        The statistics of the codes, and {comparator layer: factor} (`dgn.training.losses.feature_scales`).

    Raises:
        UserError: If the split is unknown, or the codes are not finite or the same for all images.
    """
    if split not in ("train", "val"):
        raise UserError(f"statistics.split={split}: give train or val")
    encoder.layer(layer)
    device = encoder.device

    def measured(net: FeatureNet, layers: Sequence[str]) -> Mapping[str, UnitStatistics]:
        read = announced(
            data.real_images(images, split),
            images,
            "Running a network on real images, for the statistics of codes and features",
            "fewer with statistics.images=N",
            64,
        )
        batches = (batch.to(device) for batch, _ in read)
        return measure(net, list(dict.fromkeys(layers)), batches, {layer: axes} if net is encoder else None)

    # If both are one network, a single pass gives both. Only one batch is in memory.
    statistics = measured(encoder, [layer, *comparator_layers] if comparator is encoder else [layer])
    codes = statistics[layer]
    check_codes(encoder, layer, codes.mean, codes.std)
    if raw_features:
        return codes, dict.fromkeys(comparator_layers, 1.0)
    features = statistics if comparator is encoder else measured(comparator, comparator_layers)
    return codes, feature_scales({name: features[name].total_variance for name in comparator_layers})


def saved_statistics(checkpoint: Path, layer: str) -> tuple[UnitStatistics, dict[str, float]] | None:
    """Returns the result of `code_statistics` that a checkpoint holds, or None if its run inverts another layer.

    Raises:
        UserError: If the checkpoint is damaged.
    """
    saved = read_checkpoint(checkpoint)
    if saved["prior"]["about"]["layer"] != layer:
        return None
    return UnitStatistics(**saved["code_statistics"]), dict(saved["feature_scales"])
