"""Data loaders whose workers outlive a signal to the whole program, and how their samples become batches."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.utils.data import DataLoader, default_collate

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


def collate(samples: Sequence[tuple[Tensor, int]]) -> tuple[Tensor, Tensor]:
    """Collates samples: images uint8 (N, C, H, W), labels int64 (N,).

    Decoders return channels-last images; these keep their memory format, which makes the copies faster.
    """
    if samples[0][0].ndim != 3 or samples[0][0].stride(0) != 1:
        images, labels = default_collate(list(samples))
        return images, labels
    images, labels = default_collate([(image.permute(1, 2, 0), label) for image, label in samples])
    return images.permute(0, 3, 1, 2), labels
