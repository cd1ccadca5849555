"""Data-parallel training: each process trains a replica of the networks on its share of each batch.

The step (`dgn.training.inversion`) computes its gradients with `autograd.grad`, which bypasses the hooks of
DistributedDataParallel. So gradients are averaged here explicitly, and the networks are not wrapped.
"""

import functools
from collections.abc import Iterable, Mapping

import torch
import torch.distributed as dist
from pytorch_lightning.strategies import DDPStrategy
from torch import Tensor, nn


class Replicas(DDPStrategy):
    """Lightning's DDP strategy without the wrapper: the module averages its own gradients (`average_gradients`).

    All processes start from rank 0's networks.
    """

    def configure_ddp(self) -> None:
        assert self.model is not None  # Lightning has connected it
        for tensor in (*self.model.parameters(), *self.model.buffers()):
            dist.broadcast(tensor.data, 0)


def processes() -> tuple[int, int]:
    """Returns (rank, world size) of the process group; (0, 1) for a single process."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_available() and dist.is_initialized() else (0, 1)


@torch.no_grad()
def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Averages all gradients over the processes, in one all-reduce.

    With equal shares of a batch and losses that are means over images, the result is the gradient of the whole batch.
    """
    number = processes()[1]
    gradients = [p.grad for p in parameters if p.grad is not None]
    if number == 1 or not gradients:
        return
    flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
    dist.all_reduce(flat)
    parts = flat.div_(number).split([gradient.numel() for gradient in gradients])
    torch._foreach_copy_(gradients, [part.view(g.shape) for part, g in zip(parts, gradients, strict=True)])


def average(scalars: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Averages {name: 0-d tensor} over the processes, in one all-reduce."""
    number = processes()[1]
    if number == 1:
        return dict(scalars)
    stacked = torch.stack([value.detach().float() for value in scalars.values()])
    dist.all_reduce(stacked)
    return dict(zip(scalars, stacked.div_(number).unbind(), strict=True))


def gathered(rows: Tensor) -> Tensor:
    """Returns the rows (N, ...) of all processes, in the order in which one process alone has them.

    Each process has the same number of rows, every world-size-th of the batch (`dgn.data.datamodule.StepBatches`).
    """
    number = processes()[1]
    if number == 1:
        return rows
    parts = [torch.empty_like(rows) for _ in range(number)]
    dist.all_gather(parts, rows.contiguous())
    return torch.stack(parts, 1).flatten(0, 1)


def any_process(flag: bool) -> bool:
    """Returns, in all processes, whether the flag is set in any of them."""
    if processes()[1] == 1:
        return flag
    any_flag = torch.tensor(int(flag))
    dist.all_reduce(any_flag, dist.ReduceOp.MAX, group=_hosts(dist.group.WORLD))
    return bool(any_flag)


@functools.cache
def _hosts(world: dist.ProcessGroup) -> dist.ProcessGroup:
    """Returns a gloo group of the same processes, whose collectives do not make the GPU wait."""
    if dist.get_backend(world) == "gloo":
        return world
    hosts = dist.new_group(backend="gloo")
    assert isinstance(hosts, dist.ProcessGroup)  # a number stands for a group that this process is not of
    return hosts
