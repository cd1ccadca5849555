"""task=encoder: fit a classifier, so that there is a network to invert (or a judge)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dgn.cli.classifier import fit_classifier
from dgn.cli.networks import network


def fit_encoder(config: Mapping[str, Any], folder: Path) -> Path:
    """Fits config.encoder to config.data; returns the path of encoder.safetensors.

    Writes encoder.safetensors (weights, labels, how it was made), metrics.json and the checkpoint into the folder.
    """
    return fit_classifier(config, folder, network)
