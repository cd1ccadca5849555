"""How the C library keeps memory that torch frees on the CPU.

By default, glibc returns large blocks to the system as soon as they are freed, and takes them again in the next layer;
the kernel clears every page that it gives. At 224 px this takes a sixth to half of the processor time of a network's
forward and backward pass, by the machine. Here freed blocks are kept for the next layer instead
(`benchmarks/allocator.py` measures it).
"""

import ctypes
import gc
import os
import re

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Parameters of mallopt, as in glibc's malloc.h."""
_LARGEST_MAPPED = 32 * 2**20
"""Glibc's largest threshold, in bytes: half of a heap of 64 MiB."""
_SAID = re.compile(r"out of memory|can't allocate memory|Cannot allocate memory|OutOfMemoryError|MemoryError")
_KEPT = 2**31 - 1
"""Bytes of free memory at the end of the heap that are kept, the largest number that mallopt takes."""


def keep_freed_memory() -> bool:
    """Lets this process keep memory that it frees, for its next allocations.

    It has no effect without glibc (macOS, Windows, musl), and environment variables that set the same (MALLOC_*,
    GLIBC_TUNABLES) are not overridden.

    Returns:
        Whether the setting was made.
    """
    if any(name.startswith("MALLOC_") for name in os.environ) or "malloc" in os.environ.get("GLIBC_TUNABLES", ""):
        return False
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018 (only glibc has it)
        mallopt = library.mallopt
    except (OSError, AttributeError, TypeError):
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _LARGEST_MAPPED) and mallopt(_TRIM_THRESHOLD, _KEPT))


def ran_out(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on a GPU or on the CPU, for which torch has no error of its own."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's
        return True
    return isinstance(error, RuntimeError) and _SAID.search(str(error)) is not None


def give_back() -> None:
    """Frees what nothing refers to any more, on a GPU too, before something smaller is tried."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
