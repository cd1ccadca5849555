"""Silences messages of Lightning that are meant for developers."""

import logging
import warnings


def quieten_lightning() -> None:
    """Silences Lightning's warnings, and its log messages below the level of warnings."""
    warnings.filterwarnings("ignore", module="pytorch_lightning|lightning_fabric")
    warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
