import pytest
import torch
from hypothesis import settings

# The same examples in every run: what fails, fails again in the next one (--hypothesis-profile=default: new ones).
# No deadline: a busy machine is slow, which is not a failure.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips tests marked `gpus(n)` where fewer than n GPUs can be used."""
    needed = max((mark.args[0] for mark in item.iter_markers("gpus")), default=0)
    if needed > torch.cuda.device_count():
        pytest.skip(f"needs {needed} GPUs")
