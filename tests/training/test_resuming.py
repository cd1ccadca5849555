"""The checkpoint that a run is resumed from: the one before is kept, and a damaged one says how to resume."""

import shlex

import pytest
import torch
from torch import nn

from dgn.errors import UserError
from dgn.runs.folders import CHECKPOINT, PREVIOUS, holds_run
from dgn.training.callbacks import AtomicCheckpointIO
from dgn.training.resuming import check_checkpoint, check_same_networks, find_checkpoint

ABOUT = {"layer": "fc6", "encoder": {"name": "net", "fingerprint": "a"}}


class Module(nn.Linear):
    def __init__(self, *sizes, **settings):
        super().__init__(*sizes, **settings)
        self.about = ABOUT


def save(folder, step, module=None):
    state = (module or Module(4, 300)).state_dict()
    AtomicCheckpointIO().save_checkpoint(
        {"state_dict": state, "global_step": step, "prior": {"about": ABOUT}}, folder / CHECKPOINT
    )


def test_the_checkpoint_before_is_kept_whole(tmp_path):
    assert not holds_run(tmp_path)
    for step in (1, 2, 3):
        save(tmp_path, step)
    kept = [torch.load(tmp_path / name, weights_only=True)["global_step"] for name in (CHECKPOINT, PREVIOUS)]
    assert kept == [3, 2]
    assert {path.name for path in (tmp_path / "checkpoints").iterdir()} == {"last.ckpt", "previous.ckpt"}
    assert holds_run(tmp_path)


def test_without_hard_links_the_checkpoint_before_is_kept_too(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("no links on this file system")

    monkeypatch.setattr("os.link", refuse)
    test_the_checkpoint_before_is_kept_whole(tmp_path)


def test_a_failed_save_leaves_both_as_they_were(tmp_path, monkeypatch):
    save(tmp_path, 1)
    save(tmp_path, 2)
    monkeypatch.setattr("torch.save", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(UserError):
        save(tmp_path, 3)
    kept = [torch.load(tmp_path / name, weights_only=True)["global_step"] for name in (CHECKPOINT, PREVIOUS)]
    assert kept == [2, 1]


def zeros_within(content):
    at = len(content) // 2
    return content[:at] + bytes(64) + content[at + 64 :]


DAMAGE = {
    "truncated": lambda content: content[: len(content) // 2],
    "cut at its end": lambda content: content[:-20],
    "empty": lambda content: b"",
    "another file": lambda content: b"hello",
    "changed within": zeros_within,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_checkpoint_offers_the_one_before(tmp_path, damage, monkeypatch):
    monkeypatch.setenv("DGN_STARTED_AS", "dgn-train")
    save(tmp_path, 1)
    save(tmp_path, 2)
    path = tmp_path / CHECKPOINT
    path.write_bytes(DAMAGE[damage](path.read_bytes()))
    with pytest.raises(UserError) as refused:
        check_checkpoint(tmp_path)
    assert "of step 1" in str(refused.value)
    assert "\n" not in str(refused.value)
    command = str(refused.value).rsplit(": ", 1)[1].split(" && ")
    assert shlex.split(command[1]) == ["dgn-train", f"resume={tmp_path}"]
    _, earlier, last = shlex.split(command[0])
    assert (earlier, last) == (str(tmp_path / PREVIOUS), str(path))
    (tmp_path / PREVIOUS).unlink()
    with pytest.raises(UserError, match=r"Start a new run"):
        check_checkpoint(tmp_path)


def test_a_checkpoint_of_something_else_is_refused(tmp_path):
    (tmp_path / CHECKPOINT).parent.mkdir()
    torch.save([1, 2], tmp_path / CHECKPOINT)
    with pytest.raises(UserError, match="holds no training"):
        check_checkpoint(tmp_path)


def test_if_the_last_checkpoint_is_missing_the_previous_one_is_resumed(tmp_path):
    assert find_checkpoint(tmp_path) is None
    save(tmp_path, 1)
    save(tmp_path, 2)
    assert find_checkpoint(tmp_path) == tmp_path / CHECKPOINT
    (tmp_path / CHECKPOINT).unlink()
    check_checkpoint(tmp_path)
    assert find_checkpoint(tmp_path) == tmp_path / PREVIOUS


def test_a_checkpoint_of_other_networks_is_refused(tmp_path):
    save(tmp_path, 7)
    path = tmp_path / CHECKPOINT
    check_same_networks(path, Module(4, 300))
    with pytest.raises(UserError, match=r"step 7.*weight is 301x4 here, 300x4 there"):
        check_same_networks(path, Module(4, 301))
    with pytest.raises(UserError, match="bias is absent here, 300 there"):
        check_same_networks(path, Module(4, 300, bias=False))
    module = Module(4, 300)
    module.about = ABOUT | {"layer": "fc7"}
    with pytest.raises(UserError, match=r"encoder.layer=fc7 here, fc6 there"):
        check_same_networks(path, module)
    module.about = ABOUT | {"encoder": {"name": "net", "fingerprint": "b"}}
    with pytest.raises(UserError, match="other weights"):
        check_same_networks(path, module)
