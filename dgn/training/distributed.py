"""Replicas: every process trains its own copy of the networks on its share of each batch, and all copies stay equal.

The step (`dgn.training.inversion`) takes its gradients with `autograd.grad`, which DistributedDataParallel's hooks
do not see; so gradients are averaged here, in the open, and nothing is wrapped.
"""

import functools
from collections.abc import Iterable, Mapping

import torch
import torch.distributed as dist
from pytorch_lightning.strategies import DDPStrategy
from torch import Tensor, nn


class Replicas(DDPStrategy):
    """Lightning's DDP strategy without the wrapper: the module averages its own gradients (`average_gradients`).
    All processes start from rank 0's networks."""

    def configure_ddp(self) -> None:
        assert self.model is not None  # Lightning has connected it
        for tensor in (*self.model.parameters(), *self.model.buffers()):
            dist.broadcast(tensor.data, 0)


def processes() -> tuple[int, int]:
    """(rank, number) of the processes that train together; (0, 1) where this one trains alone."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_available() and dist.is_initialized() else (0, 1)


@torch.no_grad()
def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Makes every gradient the mean over the processes, in one message. With equal shares of a batch and losses that
    are means over images, that is the gradient of the whole batch."""
    number = processes()[1]
    gradients = [p.grad for p in parameters if p.grad is not None]
    if number == 1 or not gradients:
        return
    flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
    dist.all_reduce(flat)
    parts = flat.div_(number).split([gradient.numel() for gradient in gradients])
    torch._foreach_copy_(gradients, [part.view(g.shape) for part, g in zip(parts, gradients, strict=True)])


def average(scalars: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """{name: 0-d tensor} -> their means over the processes, in one message."""
    number = processes()[1]
    if number == 1:
        return dict(scalars)
    stacked = torch.stack([value.detach().float() for value in scalars.values()])
    dist.all_reduce(stacked)
    return dict(zip(scalars, stacked.div_(number).unbind(), strict=True))


def any_process(flag: bool) -> bool:
    """Whether the flag is set in any of the processes: an answer that all of them get."""
    if processes()[1] == 1:
        return flag
    found = torch.tensor(int(flag))
    dist.all_reduce(found, dist.ReduceOp.MAX, group=_hosts(dist.group.WORLD))
    return bool(found)


@functools.cache
def _hosts(world: dist.ProcessGroup) -> dist.ProcessGroup:
    """The same processes, talking over the hosts' network: a question there does not make the GPU wait."""
    if dist.get_backend(world) == "gloo":
        return world
    hosts = dist.new_group(backend="gloo")
    assert isinstance(hosts, dist.ProcessGroup)  # a number stands for a group that this process is not of
    return hosts
