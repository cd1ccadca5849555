from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
import torch
from hypothesis import settings
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

# The same examples in every run: what fails, fails again in the next one (--hypothesis-profile=default: new ones).
# No deadline: a busy machine is slow, which is not a failure.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Runs the files with long tests first, so that the processes of `make test` end at about the same time."""
    long = {item.path for item in items if item.get_closest_marker("slow") or item.get_closest_marker("e2e")}
    items.sort(key=lambda item: item.path not in long)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips tests marked `gpus(n)` where fewer than n GPUs can be used."""
    needed = max((mark.args[0] for mark in item.iter_markers("gpus")), default=0)
    if needed > torch.cuda.device_count():
        pytest.skip(f"needs {needed} GPUs")


class _Float64(TorchDispatchMode):
    """Collects the operations that make a tensor in float64, which mps does not have."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = function(*args, **(kwargs or {}))
        if any(isinstance(tensor, Tensor) and tensor.dtype == torch.float64 for tensor in tree_leaves(made)):
            self.made.append(str(function))
        return made


@pytest.fixture
def making_float64() -> Callable[[], AbstractContextManager[list[str]]]:
    """A context that yields the list of the operations that make a tensor in float64 in it."""

    @contextmanager
    def watching() -> Iterator[list[str]]:
        with _Float64() as mode:
            yield mode.made

    return watching
