"""The number of threads of a process, and how long they spin while they wait for each other.

By default, threads that wait at the end of an operation spin for milliseconds. This is fastest on an idle machine. If
other processes use the cores, the spinning threads take time from the threads that they wait for, and training can be
ten times slower. Therefore threads spin only briefly here (`wait_briefly`), and the number of threads is at most the
number of cores that the process may use, and lower if other processes use them (`benchmarks/neighbours.py` measures
the effect).
"""

import functools
import itertools
import logging
import os
import statistics
import time
from collections.abc import Callable

from dgn.errors import UserError

log = logging.getLogger(__name__)

_SPINS = "1000"
"""Rounds that a thread of GNU OpenMP spins before it sleeps: about 10 microseconds; the default is milliseconds.
Without spinning, training on an idle machine takes 1.7 times as long, because waking takes longer than most waits."""
_SPEEDUP = 1.1
"""Minimum speedup for which fewer threads are used."""


def wait_briefly() -> None:
    """Makes waiting threads sleep after a short time.

    Must be called before torch is imported, because its OpenMP reads the setting once. Environment variables that
    are already set are not changed.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)
        os.environ.setdefault("KMP_BLOCKTIME", "1")  # milliseconds, LLVM's and Intel's OpenMP


def use_threads(threads: int | str = "auto", recorded: int | None = None, share: int = 1) -> int:
    """Sets the number of threads of torch in this process; returns the number for all processes that share the work.

    Args:
        threads: A number, or `auto`: the recorded number if there is one, else $OMP_NUM_THREADS, else the result of
            `threads_here`.
        recorded: The number with which the run started, if it is resumed. The last bits of sums, and so of all
            results, depend on it.
        share: The number of processes on this machine among which the threads are divided.

    Raises:
        UserError: If `threads` is neither a positive number nor `auto`.
    """
    import torch

    if threads != "auto":
        if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
            raise UserError(f"threads={threads}: give a number of threads, at least 1, or auto")
        number = threads
    else:
        number = recorded or _from_environment() or threads_here()
    torch.set_num_threads(max(1, number // share))
    return number


def processors() -> int:
    """Returns how many processors this process may use, according to its affinity and its container's quota."""
    from joblib import cpu_count  # imported here so that `--help` does not wait for it

    return cpu_count()


@functools.cache  # every job of a multirun calls it
def threads_here() -> int:
    """Returns the number of threads that this process should use.

    It is one for each processor that the process may use (its affinity and its container's quota), or fewer if other
    processes use the processors and fewer threads are faster.
    """
    import torch

    allowed = processors()
    if allowed == 1 or torch.cuda.is_available():  # with a GPU the threads do little
        return allowed
    times = _times(_candidates(allowed))
    fastest = min(times, key=times.__getitem__)
    if times[allowed] < _SPEEDUP * times[fastest]:
        return allowed
    log.info(
        "Other processes use the processors: using %d of %d threads, which is %.1f times as fast now "
        "(threads=%d uses all)",
        fastest, allowed, times[allowed] / times[fastest], allowed,
    )  # fmt: skip
    return fastest


def _candidates(allowed: int) -> list[int]:
    """Returns the allowed number of threads and its halves, down to one."""
    numbers = [allowed]
    while numbers[-1] > 1:
        numbers.append(numbers[-1] // 2)
    return numbers


def _times(candidates: list[int], rounds: int = 5) -> dict[int, float]:
    """Returns the seconds of a small training step with each number of threads. Takes about a second.

    The values are medians over rounds; the numbers alternate within a round, because the load of the machine varies.
    """
    import torch

    compute = _small_step()
    before = torch.get_num_threads()
    seconds: dict[int, list[float]] = {number: [] for number in candidates}
    for _ in range(rounds):
        for number in candidates:
            torch.set_num_threads(number)
            compute()  # threads start
            began = time.perf_counter()
            for _ in range(4):
                compute()
            seconds[number].append(time.perf_counter() - began)
    torch.set_num_threads(before)
    return {number: statistics.median(values) for number, values in seconds.items()}


def _small_step() -> Callable[[], None]:
    """Returns a function that runs a forward and backward pass like a generator's: about twenty short operations."""
    import torch
    from torch import nn

    channels = [3, 32, 64, 64, 32, 3]
    layers: list[nn.Module] = []
    with torch.random.fork_rng(devices=[]):
        for before, after in itertools.pairwise(channels):
            layers += [nn.Conv2d(before, after, 3, padding=1), nn.LeakyReLU(0.3)]
        images = torch.rand(4, 3, 32, 32)
    network = nn.Sequential(*layers)

    def compute() -> None:
        network(images).square().mean().backward()
        network.zero_grad(set_to_none=True)

    return compute


def _from_environment() -> int | None:
    """Returns $OMP_NUM_THREADS if it is a positive number, else None."""
    value = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(value) if value.isdigit() and int(value) > 0 else None
