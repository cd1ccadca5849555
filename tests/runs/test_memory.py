import os
import platform
import subprocess
import sys

import pytest

GLIBC = platform.libc_ver()[0] == "glibc"
FAULTS = """
import resource, sys
from dgn.runs.memory import keep_freed_memory

kept = keep_freed_memory() if sys.argv[1] == "kept" else None
import torch
for _ in range(10):
    torch.zeros(5_000_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    torch.zeros(5_000_000)
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(setting, **environment):
    """Page faults of twenty allocations of 20 MB after the first ten, in a process of its own."""
    own = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "GLIBC_"))}
    command = [sys.executable, "-c", FAULTS, setting]
    out = subprocess.run(command, env=own | environment, capture_output=True, text=True, check=True).stdout.split()
    return out[0], int(out[1])


@pytest.mark.slow
@pytest.mark.skipif(not GLIBC, reason="glibc's allocator")
def test_freed_memory_is_not_taken_from_the_kernel_again():
    # A page is 4 KiB: 20 MB are 4,900 faults where the kernel gives them anew.
    mapped = faults("default", MALLOC_MMAP_THRESHOLD_="1000000")[1]
    made, kept = faults("kept")
    assert made == "True"
    assert kept < 0.5 * mapped


@pytest.mark.slow
def test_settings_of_the_environment_are_not_overridden():
    assert faults("kept", MALLOC_ARENA_MAX="2")[0] == "False"
    assert faults("kept", GLIBC_TUNABLES="glibc.malloc.arena_max=2")[0] == "False"
