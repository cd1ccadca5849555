"""Filters for Lightning's messages that concern developers only."""

import logging
import warnings


def quieten_lightning() -> None:
    """Silences Lightning's warnings and the lines that it logs below warnings."""
    warnings.filterwarnings("ignore", module="pytorch_lightning|lightning_fabric")
    warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
