"""The number of threads of a process, and how they wait for each other.

Threads that wait at the end of an operation spin for milliseconds by default. Alone on the machine that is the fastest
way to go on; beside other processes the spinning threads take the time that the threads they wait for would need, and
a training becomes ten times as slow. So waiting is short here (`wait_briefly`), the number of threads is what the
process may use, not what the machine has, and where other processes have the cores fewer threads are taken
(`benchmarks/neighbours.py` measures it).
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
"""Rounds that a thread of GNU OpenMP waits before it sleeps: some 10 microseconds, where the default is milliseconds.
To sleep at once makes a training on an idle machine 1.7 times as long, as waking takes longer than most waits."""
_WORTH = 1.1
"""Fewer threads are taken where they compute so many times as fast."""


def wait_briefly() -> None:
    """Makes waiting threads sleep after a short time.

    Must be called before torch is imported, whose OpenMP reads the setting once. Existing environment variables are
    kept.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)
        os.environ.setdefault("KMP_BLOCKTIME", "1")  # milliseconds, LLVM's and Intel's OpenMP


def use_threads(threads: int | str = "auto", recorded: int | None = None, share: int = 1) -> int:
    """Sets how many threads torch computes with in this process, and returns their number for all that share the work.

    Args:
        threads: A number, or `auto`: the recorded number where there is one, else $OMP_NUM_THREADS, else what
            `threads_here` finds.
        recorded: The number that the run had before it was resumed: sums, and so the last bits of all results,
            depend on it.
        share: Among how many processes of this machine the threads are divided.

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
    """How many processors this process may use: those of its affinity, and no more than its container's quota."""
    from joblib import cpu_count  # here, so that `--help` does not wait for it

    return cpu_count()


@functools.cache  # the jobs of a multirun ask again
def threads_here() -> int:
    """How many threads this process should compute with.

    One for each processor that it may use (its affinity and the quota of its container), or fewer, where other
    processes use them and fewer threads are faster.
    """
    import torch

    allowed = processors()
    if allowed == 1 or torch.cuda.is_available():  # beside a GPU the threads do little
        return allowed
    times = _times(_candidates(allowed))
    fastest = min(times, key=times.__getitem__)
    if times[allowed] < _WORTH * times[fastest]:
        return allowed
    log.info(
        "Other processes use the processors: computing with %d of %d threads, which is %.1f times as fast now "
        "(threads=%d: all of them)",
        fastest, allowed, times[allowed] / times[fastest], allowed,
    )  # fmt: skip
    return fastest


def _candidates(allowed: int) -> list[int]:
    """All of them, halves of that, one."""
    numbers = [allowed]
    while numbers[-1] > 1:
        numbers.append(numbers[-1] // 2)
    return numbers


def _times(candidates: list[int], rounds: int = 5) -> dict[int, float]:
    """Seconds that a small training step takes with each number of threads.

    Medians of rounds that take turns, as other processes come and go. Takes about a second in all.
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
    """Forward and backward passes like those of a generator: some twenty operations of a fraction of a millisecond."""
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
    """$OMP_NUM_THREADS, where it is a number."""
    value = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(value) if value.isdigit() and int(value) > 0 else None
