"""The settings that several tasks have: accumulation, clipping, the images to overfit, the code model."""

from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig

from dgn.errors import UserError
from dgn.training.code_model import CodeModelFit


def step_settings(config: DictConfig) -> dict[str, Any]:
    """The settings `accumulate` and `gradient_clip`, for the LightningModules of all tasks.

    Raises UserError for wrong ones. (Configs saved by earlier versions have neither.)
    """
    accumulate, clip = config.get("accumulate", 1), config.get("gradient_clip")
    if not isinstance(accumulate, int) or isinstance(accumulate, bool) or accumulate < 1:
        raise UserError(f"accumulate={accumulate}: give a number of batches, at least 1")
    is_number = isinstance(clip, int | float) and not isinstance(clip, bool)
    if clip is not None and not (is_number and clip > 0):
        raise UserError(f"gradient_clip={clip}: give the largest norm, a number above 0, or null for none")
    return {"accumulate": accumulate, "gradient_clip": clip}


def read_overfit(config: DictConfig) -> int | None:
    """Reads the number of images to overfit; None: train on all. Raises UserError if it is not a positive number."""
    count = config.get("overfit")
    if count is not None and (not isinstance(count, int) or isinstance(count, bool) or count < 1):
        raise UserError(f"overfit={count}: give a number of training images, at least 1, or null for all")
    return count


def read_code_model(config: DictConfig) -> CodeModelFit | None:
    """Reads how the code model is fitted; None if there is none. Raises UserError for a number that is too small."""
    group = config.get("code_model") or {}  # configs saved by earlier versions have none
    if group.get("_target_") is None:
        return None
    for key in ("codes", "axes", "width", "blocks", "steps", "batch_size"):
        if not isinstance(group[key], int) or isinstance(group[key], bool) or group[key] < 1:
            raise UserError(f"code_model.{key}={group[key]}: give a whole number, at least 1")
    return instantiate(group)
