"""What ends a run that is not its own fault gets one line and a way on."""

import errno

import pytest
import torch

from dgn.cli.machine_failures import machine_failure
from dgn.errors import UserError


@pytest.fixture
def begun(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "x/last.ckpt"),
            "device: 'x/last.ckpt'); free",
        ),
        (OSError(errno.EROFS, "Read-only file system"), "Read-only file system); free some space, or choose another"),
        (OSError(errno.ESTALE, "Stale file handle"), "Stale file handle"),
        (RuntimeError("Caught in worker 0\n  unable to write </torch_1>: No space left on device (28)"), "(unable to"),
        (
            RuntimeError("[enforce fail at inline_container.cc:671] . unexpected pos 3 vs 2"),
            "the disk is probably full",
        ),
        (torch.OutOfMemoryError("CUDA out of memory.\nTried"), "smaller batches with data.batch_size=N accumulate=M"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "memory ran out (DefaultCPUAllocator"),
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed."), "take fewer with data.num_workers=N"),
        (RuntimeError("a process ended without a word (exit statuses 0: -9)"), "exit statuses 0: -9"),
    ],
)
def test_the_machine_is_named_and_the_next_step(error, said, begun):
    message = str(machine_failure(error, "train", begun))
    assert said in message
    assert message.endswith(f"resume with: python train.py resume={begun}") or "dgn-train resume=" in message
    assert "\n" not in message


def test_causes_count_and_other_errors_are_left_alone(tmp_path):
    error = RuntimeError("failed writing file")
    error.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    assert "nothing was saved yet" in str(machine_failure(error, "train", tmp_path))
    error = UserError("cannot write x")
    error.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    assert str(machine_failure(error, "train", tmp_path)).startswith("cannot write x; nothing was saved yet")
    assert machine_failure(UserError("no layer fc9"), "train", tmp_path) is None
    assert machine_failure(KeyError("x"), "train", tmp_path) is None
    assert machine_failure(RuntimeError("shapes do not match"), "train", tmp_path) is None
