"""trainer.precision: the precision of the layers of the networks during training (`dgn.networks.precision`)."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from pytorch_lightning.plugins import Precision

from dgn.devices import device_of_accelerator
from dgn.errors import UserError
from dgn.networks.precision import low_precision

Name = Literal["32-true", "bf16-mixed"]
FULL: Name = "32-true"
LOW: Name = "bf16-mixed"
_NAMES: dict[str, Name] = {"32": FULL, "32-true": FULL, "bf16": LOW, "bf16-mixed": LOW}
"""Lightning's names, and ours."""


class OwnLayers(Precision):
    """Lightning precision plugin: only the layers of our networks compute in low precision.

    Lightning's `MixedPrecision` runs the whole step under autocast, including losses and resizing. Validation is in
    float32, like every use of the prior.
    """

    precision: Name = FULL

    def __init__(self, name: Name) -> None:
        self.precision = name

    @contextmanager
    def train_step_context(self) -> Iterator[None]:
        with low_precision(torch.bfloat16 if self.precision == LOW else None):
            yield


def resolve_precision(precision: str | int, accelerator: str = "auto") -> Name:
    """Returns the precision to train in, "bf16-mixed" or "32-true".

    `auto` is "bf16-mixed" on GPUs of compute capability 8 or higher and on CPUs with AMX or AVX512-BF16, else
    "32-true", as on mps: emulated bf16 is slower than float32.

    Raises:
        UserError: If the precision is not supported.
    """
    if precision == "auto":
        return LOW if has_bf16(device_of_accelerator(accelerator).type) else FULL
    if str(precision) in _NAMES:
        return _NAMES[str(precision)]
    if str(precision).startswith("16"):
        raise UserError(
            f"trainer.precision={precision}: float16 would need scaled losses, which the training steps do not have; "
            f"give {LOW} (any processor, and GPUs from compute capability 8), {FULL} or auto"
        )
    raise UserError(f"trainer.precision={precision} is not known; give auto, {LOW} or {FULL}")


def has_bf16(device: str) -> bool:
    """Returns whether a device, "cuda", "mps" or "cpu", is known to compute faster in bf16 than in float32."""
    if device == "cuda":
        return torch.cuda.get_device_capability()[0] >= 8
    if device == "mps":
        return False
    return torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
