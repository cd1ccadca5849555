"""The rank of this process among the processes of a run, read from the environment variables of the launcher.

Launchers are torchrun, srun and `dgn.runs.processes`.
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from dgn.errors import UserError


def rank() -> int:
    """Returns the rank of this process; 0 for a single process."""
    return _rank_and_world_size()[0]


def world_size() -> int:
    """Returns the number of processes that train together."""
    return _rank_and_world_size()[1]


def local_rank() -> int:
    """Returns the rank of this process among those on this machine."""
    return int(os.environ.get("LOCAL_RANK") or (os.environ.get("SLURM_LOCALID", "0") if _srun() else "0"))


def started_by_launcher() -> bool:
    """Whether torchrun, srun or `run_in_processes` started this process as one of several."""
    return "RANK" in os.environ or _srun()


def processes_per_node() -> tuple[int, int]:
    """Returns (processes per machine, machines) of a run that a launcher started."""
    if "RANK" in os.environ:
        local = int(os.environ.get("LOCAL_WORLD_SIZE", os.environ.get("WORLD_SIZE", "1")))
        return local, max(1, int(os.environ.get("WORLD_SIZE", "1")) // local)
    nodes = int(os.environ.get("SLURM_NNODES", "1"))
    return int(os.environ["SLURM_NTASKS"]) // nodes, nodes


def agreed(choose: Callable[[str | None], Path]) -> Path:
    """Returns the same folder in all processes of a run: rank 0 chooses it, and the others receive its choice.

    Args:
        choose: Returns the folder. Under srun, where the processes cannot communicate yet, it gets the name of the job.

    Raises:
        UserError: If the processes of another launcher cannot communicate.
    """
    if world_size() == 1:
        return choose(None)
    if "RANK" not in os.environ:
        return choose(f"slurm-{os.environ['SLURM_JOB_ID']}")
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        raise UserError(
            "this process is one of several that torchrun did not start: set the run's folder with hydra.run.dir=FOLDER"
        )
    from torch.distributed import TCPStore

    key = f"dgn/folder/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}"
    store = TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False)
    if rank() == 0:
        store.set(key, str(choose(None)))
    return Path(store.get(key).decode())


@contextmanager
def alone() -> Iterator[None]:
    """Hides the other processes of the run within the block, for a small training that only one process does."""
    names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK", "SLURM_STEP_ID", "SLURM_NTASKS")
    removed = {name: os.environ.pop(name) for name in (*names, "TORCHELASTIC_RUN_ID") if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(removed)


def _rank_and_world_size() -> tuple[int, int]:
    if "RANK" in os.environ:
        return int(os.environ["RANK"]), int(os.environ.get("WORLD_SIZE", "1"))
    if _srun():
        return int(os.environ["SLURM_PROCID"]), int(os.environ["SLURM_NTASKS"])
    return 0, 1


def _srun() -> bool:
    return "SLURM_STEP_ID" in os.environ and int(os.environ.get("SLURM_NTASKS", "1")) > 1


def interactive() -> bool:
    """Whether a progress bar can be shown."""
    return sys.stdout.isatty()
