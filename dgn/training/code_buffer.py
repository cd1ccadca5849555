"""The codes that training has seen last, as coordinates along their principal axes, in bounded memory."""

import torch
from torch import Tensor

from dgn.prior.code_model import to_coordinates
from dgn.prior.principal import PrincipalAxes
from dgn.training.distributed import gathered


class CodeBuffer:
    """Keeps the last `size` codes that were added, for the code model.

    Args:
        axes: The principal axes of the codes.
        size: The number of codes that are kept.
        of_all: Whether those of all processes are kept in each; all then add equally many. Else each keeps its own.
    """

    def __init__(self, axes: PrincipalAxes, size: int, of_all: bool = True) -> None:
        self.axes, self.size, self.of_all = axes, size, of_all
        self._rows: list[Tensor] = []
        self._count = 0

    def add(self, codes: Tensor) -> None:
        """Adds codes (N, *code_shape)."""
        if self.axes.mean.device != codes.device:
            self.axes = self.axes.to(codes.device)
        with torch.no_grad():
            rows = to_coordinates(codes.float(), self.axes)
            rows = gathered(rows).cpu() if self.of_all else rows.cpu()
        self._rows.append(rows)
        self._count += len(rows)
        while self._count - len(self._rows[0]) >= self.size:
            self._count -= len(self._rows.pop(0))

    def clear(self) -> None:
        """Forgets all codes."""
        self._rows, self._count = [], 0

    @property
    def coordinates(self) -> Tensor:
        """The coordinates (N, k) of the codes, the oldest first, on the CPU."""
        return torch.cat(self._rows)[-self.size :] if self._rows else torch.empty(0, self.axes.count)

    @coordinates.setter
    def coordinates(self, rows: Tensor) -> None:
        self._rows, self._count = [rows], len(rows)
