import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from dgn.errors import UserError
from dgn.runs.processes import run_in_processes
from dgn.runs.ranks import processes_per_node, rank, world_size
from dgn.training.distributed import any_process, average, average_gradients


def _together(folder: str) -> dict:
    """What two processes find out together; each takes its rows of one batch."""
    import torch.distributed as dist

    from dgn.networks.dropout import SharedDropout

    dist.init_process_group("gloo")
    number = rank()
    layer = torch.nn.Linear(4, 3)
    torch.nn.init.constant_(layer.weight, 0.5)
    images = torch.arange(32.0).view(8, 4)[number::2]
    torch.nn.init.zeros_(layer.bias)
    layer(images).square().mean().backward()
    layer.bias.grad = None  # who has no gradient gets none
    average_gradients(layer.parameters())
    torch.manual_seed(7)
    kept = SharedDropout(0.5)(torch.ones(4, 6))
    found = {
        "gradient": layer.weight.grad.tolist(),
        "bias": layer.bias.grad,
        "mean": float(average({"a": torch.tensor(float(number))})["a"]),
        "any": [any_process(number == 1), any_process(False)],
        "kept": kept.tolist(),
        "world": world_size(),
    }
    torch.save(found, Path(folder, f"{number}.pt"))
    return {"by": number}


def _fails() -> None:
    if rank() == 1:
        raise UserError("one can mend this")
    signal.pause()  # as one that waits for the other does


def test_processes_agree_on_gradients_means_flags_and_dropout(tmp_path):
    assert run_in_processes(_together, [str(tmp_path)], 2) == {"by": 0}
    a, b = (torch.load(tmp_path / f"{number}.pt", weights_only=True) for number in (0, 1))
    layer = torch.nn.Linear(4, 3)
    torch.nn.init.constant_(layer.weight, 0.5)
    torch.nn.init.zeros_(layer.bias)
    layer(torch.arange(32.0).view(8, 4)).square().mean().backward()
    torch.testing.assert_close(torch.tensor(a["gradient"]), layer.weight.grad)
    assert a["gradient"] == b["gradient"]
    assert a["bias"] is None
    assert a["mean"] == b["mean"] == 0.5
    assert a["any"] == b["any"] == [True, False]
    assert a["world"] == 2
    torch.manual_seed(7)
    whole = torch.nn.Dropout(0.5)(torch.ones(8, 6))
    assert torch.equal(whole[0::2], torch.tensor(a["kept"]))
    assert torch.equal(whole[1::2], torch.tensor(b["kept"]))


def test_a_failure_in_one_process_is_the_runs_and_the_others_end(monkeypatch):
    monkeypatch.setattr("dgn.runs.processes._GRACE", 0.5)
    with pytest.raises(UserError, match="one can mend this"):
        run_in_processes(_fails, [], 2)


def test_in_one_process_nothing_is_averaged():
    layer = torch.nn.Linear(2, 2)
    layer(torch.ones(1, 2)).sum().backward()
    before = layer.weight.grad.clone()
    average_gradients(layer.parameters())
    assert torch.equal(layer.weight.grad, before)
    assert average({"a": torch.tensor(3.0)}) == {"a": torch.tensor(3.0)}
    assert any_process(True)
    assert not any_process(False)


@pytest.mark.parametrize(
    ("environment", "place", "per_node"),
    [
        ({"RANK": "3", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4"}, (3, 8), (4, 2)),
        ({"SLURM_STEP_ID": "0", "SLURM_NTASKS": "6", "SLURM_PROCID": "5", "SLURM_NNODES": "3"}, (5, 6), (2, 3)),
        ({"SLURM_NTASKS": "6", "SLURM_PROCID": "0"}, (0, 1), None),  # in the script itself, not under srun
        ({}, (0, 1), None),
    ],
)
def test_a_process_finds_its_place_among_those_a_launcher_started(monkeypatch, environment, place, per_node):
    for name in [name for name in os.environ if name.startswith("SLURM_")] + ["RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"]:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert (rank(), world_size()) == place
    if per_node:
        assert processes_per_node() == per_node


_JOB = """
import time; from dgn.runs.processes import follow_launcher
follow_launcher(); print("on", flush=True); time.sleep(60)
"""
_LAUNCHER = f"""
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", {_JOB!r}]); time.sleep(60)
"""


def test_a_job_ends_with_the_launcher_that_started_it():
    launcher = subprocess.Popen([sys.executable, "-c", _LAUNCHER], stdout=subprocess.PIPE, text=True)
    assert launcher.stdout.readline() == "on\n"
    launcher.kill()
    launcher.communicate(timeout=30)  # the job holds the pipe, and sleeps longer
