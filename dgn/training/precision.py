"""trainer.precision=auto: bf16 where the hardware computes in bf16, float32 elsewhere."""

import torch


def resolve_precision(precision: str | int, accelerator: str = "auto") -> str | int:
    """`auto` -> "bf16-mixed" on GPUs of compute capability 8 and more and on CPUs with AMX or AVX512-BF16, else
    "32-true": where bf16 is only emulated it is slower than float32. Anything else is Lightning's, and stays."""
    if precision != "auto":
        return precision
    return "bf16-mixed" if has_bf16("cpu" if accelerator == "cpu" else None) else "32-true"


def has_bf16(device: str | None = None) -> bool:
    """Whether the device (None: the GPU where there is one, else the CPU) computes in bf16 in hardware."""
    if device != "cpu" and torch.cuda.is_available():
        return torch.cuda.get_device_capability()[0] >= 8
    return torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
