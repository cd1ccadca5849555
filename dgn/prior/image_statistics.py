"""The statistics of a network's codes over the images in a folder, for priors that are imported."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dgn.data.sources import image_folder
from dgn.devices import default_device, placed
from dgn.errors import UserError
from dgn.networks.featurenet import FeatureNet
from dgn.prior.principal import AXES, NUMBERS
from dgn.prior.statistics import UnitStatistics, measure
from dgn.runs.threads import processors


def measure_folder(
    encoder: FeatureNet,
    layer: str,
    folder: str | Path,
    count: int,
    image_size: int,
    resize: int | None = None,
    axes: int | None = None,
) -> tuple[UnitStatistics, Mapping[str, Any]]:
    """Measures the codes of up to `count` images in a folder, cut as in training's validation.

    Args:
        encoder: The network.
        layer: The layer of the codes.
        folder: The folder.
        count: The number of images.
        image_size: Side of the cut images in pixels.
        resize: The short side to which images are resized before; None: image_size.
        axes: The most principal axes to fit; None: up to `AXES`, as many as take 16 MB (`NUMBERS`).

    Returns:
        The statistics with principal axes, and the settings from which the images can be opened again.
    """
    if count < 2:
        raise UserError(f"--count {count} is too few pictures to compute bounds over; give at least 2")
    if axes is not None and axes < 1:
        raise UserError(f"--axes {axes}: give the most principal axes to fit, at least 1")
    root = str(Path(folder).expanduser().resolve())
    # Validation: all of it, the centre.
    where: dict[str, Any] = {"root": root, "val_root": root, "image_size": image_size, "resize": resize or image_size}
    device = default_device()
    data = image_folder(**where, num_workers=min(8, processors()))
    batches = (images.to(device) for images, _ in data.real_images(count, "val"))
    numbers = NUMBERS if axes is None else None
    statistics = measure(placed(encoder, device), [layer], batches, {layer: axes or AXES}, numbers)[layer]
    encoder.cpu()
    classes = list(data.classes)
    return statistics, {"_target_": "dgn.data.sources.image_folder", **where, "classes": classes}
