"""Where a run trains: its processes and their devices, from the `trainer` group of its config."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from dgn.devices import device_of_accelerator
from dgn.errors import UserError
from dgn.runs.ranks import local_rank, processes_per_node, started_by_launcher


def device(trainer: Mapping[str, Any]) -> torch.device:
    """Returns the device of this process, the same that the Trainer uses.

    With a list in trainer.devices, it is the GPU of that list for the local rank.

    Raises:
        UserError: If this machine has no such device.
    """
    device = device_of_accelerator(trainer["accelerator"])
    if device.type != "cuda":
        return device
    devices = trainer["devices"]
    if isinstance(devices, list):
        return torch.device("cuda", devices[local_rank() % len(devices)])
    return torch.device("cuda", local_rank() % torch.cuda.device_count())


def processes_to_start(trainer: Mapping[str, Any]) -> int:
    """Returns how many processes this one has to start; 1: it trains itself.

    Raises:
        UserError: If the devices do not exist, or another machine's processes would have to be started.
    """
    if started_by_launcher():
        return 1
    cpu, gpus = trainer["accelerator"] == "cpu", torch.cuda.device_count()
    together = _together(trainer)
    if together and not cpu and gpus == 0:
        raise UserError("trainer=ddp needs CUDA GPUs, and there is none here; give trainer=ddp_cpu, or trainer=auto")
    count = _devices(trainer["devices"], cpu or gpus == 0, gpus)
    if count > 1 and not together:  # Lightning would start the command line again, a multirun's too
        raise UserError(
            f"trainer.devices={trainer['devices']}: several train together with trainer=ddp, or trainer=ddp_cpu"
        )
    nodes = trainer.get("num_nodes", 1)
    if nodes != 1:
        raise UserError(
            f"trainer.num_nodes={nodes}: processes on several machines are started by srun or torchrun "
            "(docs/clusters.md)"
        )
    return count if together else 1


def placement(trainer: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the arguments of Lightning's Trainer for where it runs, beyond the config.

    With a launcher, they are what the launcher has started. A list of GPUs is kept: process i of this machine computes
    on the list's i-th.

    Raises:
        UserError: If a list names another number of GPUs than the launcher has started processes.
    """
    devices = trainer["devices"]
    gpus = list(devices) if isinstance(devices, list) and trainer["accelerator"] != "cpu" else None
    if not _together(trainer):
        return {"devices": gpus} if gpus else {}
    if not started_by_launcher():
        return {"strategy": "auto", "devices": gpus or 1}  # one process is all there is
    local, nodes = processes_per_node()
    if gpus is not None and len(gpus) != local:
        raise UserError(f"trainer.devices={gpus}: the launcher started {local} processes here; name as many GPUs")
    return {"devices": gpus or local, "num_nodes": nodes}


def _together(trainer: Mapping[str, Any]) -> bool:
    """Whether several processes train one network together, by a strategy."""
    return trainer.get("strategy") not in (None, "auto")


def _devices(devices: Any, cpu: bool, gpus: int) -> int:
    """Returns how many devices trainer.devices means, on a machine with `gpus` GPUs."""
    what = "processes" if cpu else "GPUs"
    if isinstance(devices, list):
        count = _distinct_gpus(devices, 0 if cpu else gpus)
    elif devices in ("auto", -1, "-1"):
        count = 1 if cpu else gpus
    else:
        count = int(devices) if str(devices).isdigit() else 0
    if count < 1 or (not cpu and count > gpus):
        known = "" if cpu else f" (there are {gpus} here), or auto for all of them"
        raise UserError(f"trainer.devices={devices}: give a number of {what}{known}")
    return count


def _distinct_gpus(numbers: Sequence[int], gpus: int) -> int:
    """Returns how many GPUs a list of their numbers names.

    Raises:
        UserError: If a GPU of the list does not exist or is named twice.
    """
    known = f"there are 0 .. {gpus - 1} here" if gpus else "there are none here: on a CPU give a number of processes"
    if not numbers or len(set(numbers)) < len(numbers) or not all(n in range(gpus) for n in numbers):
        raise UserError(f"trainer.devices={list(numbers)}: a list names each GPU once by its number, and {known}")
    return len(numbers)
