import os
import subprocess
import sys

import pytest
import torch

from dgn.errors import UserError
from dgn.runs import threads


@pytest.fixture(autouse=True)
def as_before(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = torch.get_num_threads()
    measured = threads.threads_here
    measured.cache_clear()
    yield
    measured.cache_clear()
    torch.set_num_threads(before)


def test_the_key_wins_over_the_environment_and_that_over_the_machine(monkeypatch):
    monkeypatch.setattr(threads, "threads_here", lambda: 5)
    assert threads.use_threads("auto") == 5
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert threads.use_threads("auto") == torch.get_num_threads() == 3
    assert threads.use_threads(2) == torch.get_num_threads() == 2


def test_a_resumed_run_has_as_many_threads_as_before(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert threads.use_threads("auto", recorded=4) == 4
    assert threads.use_threads(2, recorded=4) == 2


@pytest.mark.parametrize(("share", "each"), [(1, 4), (2, 2), (3, 1), (8, 1)])
def test_processes_share_the_threads(share, each):
    assert threads.use_threads(4, share=share) == 4
    assert torch.get_num_threads() == each


@pytest.mark.parametrize("value", [0, -1, 1.5, "many", True, None])
def test_other_values_are_refused(value):
    with pytest.raises(UserError, match=f"threads={value}"):
        threads.use_threads(value)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="affinity is Linux's")
def test_affinity_is_respected():
    script = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\nfrom dgn.runs.threads import processors\n"
    )
    printed = subprocess.run([sys.executable, "-c", script + "print(processors())"], capture_output=True, text=True)
    assert printed.stdout.strip() == "1", printed.stderr


@pytest.mark.parametrize(
    ("allowed", "times", "chosen"),
    [
        (2, {2: 1.0, 1: 1.6}, 2),  # alone
        (2, {2: 1.0, 1: 0.95}, 2),  # no difference that is worth it
        (2, {2: 1.0, 1: 0.7}, 1),  # a neighbour
        (8, {8: 3.0, 4: 1.0, 2: 1.8, 1: 3.5}, 4),  # neighbours on half of the processors
    ],
)
def test_fewer_threads_where_they_are_faster(monkeypatch, allowed, times, chosen):
    monkeypatch.setattr(threads, "processors", lambda: allowed)
    monkeypatch.setattr(threads, "_times", lambda candidates: {n: times[n] for n in candidates})
    assert threads.threads_here() == chosen


def test_one_processor_needs_no_measurement(monkeypatch):
    monkeypatch.setattr(threads, "processors", lambda: 1)
    monkeypatch.setattr(threads, "_times", None)
    assert threads.threads_here() == 1


def test_the_measurement_leaves_threads_and_random_numbers_as_they_were():
    torch.set_num_threads(1)
    state = torch.get_rng_state()
    times = threads._times([2, 1], rounds=1)
    assert list(times) == [2, 1]
    assert min(times.values()) > 0
    assert torch.get_num_threads() == 1
    assert torch.equal(torch.get_rng_state(), state)


def test_waiting_is_short_unless_the_environment_says_otherwise(monkeypatch):
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"):
        monkeypatch.delenv(name, raising=False)
    threads.wait_briefly()
    assert 0 < int(os.environ["GOMP_SPINCOUNT"]) < 10_000
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    threads.wait_briefly()
    assert os.environ["GOMP_SPINCOUNT"] == "7"
    monkeypatch.delenv("GOMP_SPINCOUNT")
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    threads.wait_briefly()
    assert "GOMP_SPINCOUNT" not in os.environ


def test_torch_is_imported_after_the_environment_is_set():
    script = "import sys, dgn.cli.commands, dgn.runs.threads; print('torch' in sys.modules)"
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert printed.stdout.strip() == "False", printed.stderr
