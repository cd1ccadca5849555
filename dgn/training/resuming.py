"""Finds, reads and checks the checkpoint from which a run is resumed."""

import logging
import shlex
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from dgn.errors import UserError, first_line
from dgn.networks.weights.paths import check_archive
from dgn.runs.folders import CHECKPOINT, PREVIOUS
from dgn.runs.programs import command, override, own_configs_flag

log = logging.getLogger(__name__)


def find_checkpoint(folder: Path) -> Path | None:
    """Returns the checkpoint from which to resume a run: the last one, else the previous one, else None."""
    return next((path for path in (folder / CHECKPOINT, folder / PREVIOUS) if path.is_file()), None)


def check_checkpoint(folder: Path) -> None:
    """Checks the checkpoint from which to resume a run, by reading the whole file once.

    Raises:
        UserError: If the checkpoint is damaged: truncated, or with a changed byte.
    """
    path = find_checkpoint(folder)
    if path is None:
        return
    if path.name == PREVIOUS.name:
        log.warning("%s is missing; resuming from %s", folder / CHECKPOINT, path)
    try:
        check_archive(path)
        with zipfile.ZipFile(path) as archive:
            entry = archive.testzip()
    except UserError:
        raise damaged(path, "it would become a hundred times as large") from None
    # Damaged archives raise many exceptions: zlib's, of unknown methods, of encrypted entries, ...
    except Exception:
        raise damaged(path, "it is truncated or not a checkpoint") from None
    if entry is not None:
        raise damaged(path, f"{entry} in it was changed")
    read_checkpoint(path)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Reads a checkpoint; its tensors are memory-mapped. Raises UserError if it is damaged."""
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # torch.load has no closed list of what a damaged file makes it raise
        raise damaged(path, first_line(error).split(". ")[0].rstrip(".")) from None
    keys = checkpoint if isinstance(checkpoint, Mapping) else {}
    if not {"state_dict", "global_step"} <= set(keys) or not isinstance(keys["state_dict"], Mapping):
        raise damaged(path, "it holds no training")
    return checkpoint


def damaged(path: Path, reason: str) -> UserError:
    """Returns the error of a checkpoint that cannot be read, with the reason and how to resume without it."""
    folder, earlier = path.parent.parent, path.with_name(PREVIOUS.name)
    message = f"{path} cannot be read: {reason}"
    if path.name == CHECKPOINT.name and earlier.is_file():
        try:
            step = read_checkpoint(earlier)["global_step"]
        except UserError:
            message += f", and neither can {earlier}"
        else:
            move = shlex.join(["mv", str(earlier), str(path)])
            again = command("train", *own_configs_flag(), override("resume", folder))
            return UserError(f"{message}. To resume from the checkpoint before it, of step {step}: {move} && {again}")
    return UserError(
        f"{message}. Start a new run without resume=, or remove {path.parent} to train this one from step 0"
    )


def check_same_networks(path: Path, module: pl.LightningModule) -> None:
    """Checks that a checkpoint matches the networks of a module.

    Raises:
        UserError: If the encoder, the layer, or the names or shapes of the parameters differ.
    """
    checkpoint = read_checkpoint(path)
    difference = _encoder_difference(checkpoint, module) or _shape_difference(checkpoint, module)
    if difference:
        raise UserError(
            f"{path} (step {checkpoint['global_step']}) is of a run with other networks: {difference}; resume it with "
            "its own settings, or start a new run without resume= in another folder"
        )


def _encoder_difference(checkpoint: Mapping[str, Any], module: pl.LightningModule) -> str:
    """Describes how the encoders differ if the checkpoint is of an Inversion; else returns an empty string."""
    saved, current = checkpoint.get("prior", {}).get("about"), getattr(module, "about", None)
    if not saved or not current:
        return ""
    if saved["layer"] != current["layer"]:
        return f"encoder.layer={current['layer']} here, {saved['layer']} there"
    if saved["encoder"]["fingerprint"] != current["encoder"]["fingerprint"]:
        return (
            f"the encoder here is {current['encoder']['name']} with other weights than {saved['encoder']['name']} there"
        )
    return ""


def _shape_difference(checkpoint: Mapping[str, Any], module: pl.LightningModule) -> str:
    """Describes the first parameter that differs in shape or is missing on one side; else an empty string."""
    there, here = _shapes(checkpoint["state_dict"]), _shapes(module.state_dict())
    for name in dict.fromkeys((*here, *there)):
        if there.get(name) != here.get(name):
            shapes = ("x".join(map(str, side[name])) if name in side else "absent" for side in (here, there))
            return "{} is {} here, {} there".format(name, *shapes)
    return ""


def _shapes(state: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Returns {name: shape} of the networks in checkpoints, without counters, which are 0-d."""
    tensors = {name: value for name, value in state.items() if isinstance(value, torch.Tensor) and value.ndim}
    return {name: tuple(value.shape) for name, value in tensors.items() if not name.startswith(_FIXED)}


_FIXED = ("encoder.", "comparator.")
"""Frozen networks, which are not in the checkpoint of an Inversion."""
