"""Data-parallel training: each process trains a copy of the networks on its share of each batch.

The training step (`dgn.training.inversion`) computes gradients with `autograd.grad`, which does not trigger the hooks
of DistributedDataParallel. Gradients are therefore averaged explicitly here, and the module is not wrapped.
"""

import functools
from collections.abc import Iterable, Mapping

import torch
import torch.distributed as dist
from pytorch_lightning.strategies import DDPStrategy
from torch import Tensor, nn


class Replicas(DDPStrategy):
    """Lightning's DDP strategy without the DistributedDataParallel wrapper.

    The module averages its gradients itself (`average_gradients`). All processes start from the networks of rank 0.
    """

    def configure_ddp(self) -> None:
        assert self.model is not None  # Lightning has connected it
        for tensor in (*self.model.parameters(), *self.model.buffers()):
            dist.broadcast(tensor.data, 0)


def processes() -> tuple[int, int]:
    """Returns (rank, world size) of distributed training, or (0, 1) if there is only this process."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_available() and dist.is_initialized() else (0, 1)


@torch.no_grad()
def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replaces every gradient by its mean over the processes, with one all-reduce.

    With equal shares of a batch and losses that are means over images, the mean is the gradient of the whole batch.

    Args:
        parameters: The parameters; those without a gradient are skipped.
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
    """Returns the means of 0-d tensors {name: value} over the processes, with one all-reduce."""
    number = processes()[1]
    if number == 1:
        return dict(scalars)
    stacked = torch.stack([value.detach().float() for value in scalars.values()])
    dist.all_reduce(stacked)
    return dict(zip(scalars, stacked.div_(number).unbind(), strict=True))


def any_process(flag: bool) -> bool:
    """Returns, in all processes, whether the flag is set in any of them."""
    if processes()[1] == 1:
        return flag
    largest = torch.tensor(int(flag))
    dist.all_reduce(largest, dist.ReduceOp.MAX, group=_hosts(dist.group.WORLD))
    return bool(largest)


@functools.cache
def _hosts(world: dist.ProcessGroup) -> dist.ProcessGroup:
    """Returns a gloo group of the same processes, whose collectives run on the CPU without a GPU synchronization."""
    if dist.get_backend(world) == "gloo":
        return world
    hosts = dist.new_group(backend="gloo")
    assert isinstance(hosts, dist.ProcessGroup)  # new_group returns a number to processes outside the group
    return hosts
