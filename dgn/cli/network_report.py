"""The accuracy of a run's networks on real images, printed at its start."""

import json
import logging
from dataclasses import asdict
from pathlib import Path

import torch

from dgn.data.datamodule import ImageData
from dgn.errors import UserError
from dgn.files import write_whole
from dgn.metrics.network_check import POOR, NetworkCheck, check_network
from dgn.networks.featurenet import FeatureNet
from dgn.records import read_json
from dgn.runs.ranks import rank

log = logging.getLogger(__name__)

_IMAGES = 256
_FILE = "networks.json"
"""The file in a run's folder that keeps the results, so that a resumed run does not measure again."""


def report_accuracy(role: str, net: FeatureNet, data: ImageData | None, folder: Path) -> None:
    """Logs how well a network classifies validation images, and warns if it does so poorly for no visible reason.

    Nothing is logged if the images have no classes of the network's. Networks with random weights are left out.

    Args:
        role: "encoder", "comparator", "target" or "judge".
        net: the network.
        data: the images.
        folder: the run's folder, which keeps the result.
    """
    is_random = net.spec.get("weights") is None and net.spec.get("builder") != "custom"
    if rank() != 0 or data is None or not data.classes or is_random or net.headless:
        return
    path = folder / _FILE
    known = read_json(path, "record of the networks") if path.is_file() else {}
    key = f"{net.fingerprint()} {net.input_space.to_dict()}"
    if key in known:
        return
    try:
        checked = _measure(net, data)
    except UserError:  # no class layer, or images that cannot be read: reported where they are used
        return
    if checked is None:
        return
    write_whole(path, json.dumps(known | {key: asdict(checked)}, indent=1))
    for level, line in _lines(role, net, checked):
        log.log(level, "%s", line)


def _measure(net: FeatureNet, data: ImageData) -> NetworkCheck | None:
    images, labels = zip(*data.real_images(_IMAGES, "val"), strict=True)
    return check_network(net, torch.cat(images), torch.cat(labels), data.classes)


def _lines(role: str, net: FeatureNet, checked: NetworkCheck) -> list[tuple[int, str]]:
    right = f"{role}: {net.name} classifies {checked.accuracy:.0%} of {checked.images} validation images correctly"
    if checked.settings:
        settings = " ".join(f"{role}.{word}" for word in checked.settings.split())
        return [(logging.WARNING, f"{right}, but {checked.better:.0%} of some of them with {settings}; set these keys")]
    if checked.accuracy < POOR:
        return [
            (
                logging.WARNING,
                f"{right}. No other mean, std, channel order or size that was tried is much better: are the images of "
                f"the kind that it was trained on, and in the order of its classes ({role}.labels)?",
            )
        ]
    return [(logging.INFO, right)]
