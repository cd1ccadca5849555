"""Data loaders whose workers outlive a signal to the whole program."""

from typing import Any

from torch.utils.data import DataLoader

from dgn.runs.signals import held_back, leave_group


class Loader(DataLoader):
    """A DataLoader whose workers ignore Ctrl-C, SIGTERM and other signals to all processes of a program.

    The main process ends them (`dgn.runs.signals.leave_group`).

    Args:
        dataset: As DataLoader's.
        arguments: Further arguments of DataLoader.
    """

    def __init__(self, dataset: Any, **arguments: Any) -> None:
        super().__init__(dataset, worker_init_fn=leave_group, **arguments)

    def __iter__(self) -> Any:
        with held_back():  # while workers start, and are still of the group
            return super().__iter__()
