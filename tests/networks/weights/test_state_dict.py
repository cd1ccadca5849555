import argparse
import os
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor, nn

from dgn.errors import UserError
from dgn.networks.weights import load_state_dict, read_state_dict


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3)
        self.features = nn.Sequential(nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))
        self.fc = nn.Linear(2, 5)


def weights(seed: int = 0) -> dict[str, Tensor]:
    """Net's state with values that no initialization gives."""
    generator = torch.Generator().manual_seed(seed)
    return OrderedDict(
        (name, torch.randn(value.shape, generator=generator) if value.is_floating_point() else torch.tensor(7))
        for name, value in Net().state_dict().items()
    )


def prefixed(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {prefix + name: value for name, value in state.items()}


def assert_holds(net: nn.Module, state: dict[str, Tensor]) -> None:
    for name, value in net.state_dict().items():
        torch.testing.assert_close(value, state[name], rtol=0, atol=0)


def refusal(call, *args, **kwargs) -> str:
    with pytest.raises(UserError) as caught:
        call(*args, **kwargs)
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is None
    return str(caught.value)


# Reading


@pytest.mark.parametrize("ending", ["pt", "pth", "th", "ckpt", "bin", "safetensors", "weights"])
def test_a_bare_state_dict_is_read_whatever_its_ending(tmp_path: Path, ending: str):
    path = tmp_path / f"net.{ending}"
    save_file(weights(), path) if ending == "safetensors" else torch.save(weights(), path)
    read = read_state_dict(path)
    assert sorted(read) == sorted(weights())
    assert all(torch.equal(value, read[name]) for name, value in weights().items())


def test_files_of_the_old_format_before_zip_are_read(tmp_path: Path):
    torch.save(weights(), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert all(torch.equal(value, weights()[name]) for name, value in read_state_dict(tmp_path / "old.pth").items())


@given(
    containers=st.lists(
        st.sampled_from(["state_dict", "model", "model_state_dict", "ema", "module", "network", "net"]), max_size=7
    ),
    prefixes=st.lists(
        st.sampled_from(["module", "_orig_mod", "model", "backbone", "net", "network", "encoder", "0"]), max_size=4
    ),
)
@settings(max_examples=60, deadline=None)
def test_any_nesting_of_containers_and_prefixes_is_undone(tmp_path_factory, containers, prefixes):
    content: dict = prefixed(weights(), "".join(f"{prefix}." for prefix in prefixes))
    for name in containers:
        content = {
            name: content,
            "epoch": 3,
            "best_acc": torch.tensor(0.5),
            "optimizer": {"state": {0: {"exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 0.1, "params": [0]}]},
        }
    path = tmp_path_factory.mktemp("nested") / "net.pt"
    torch.save(content, path)
    net = Net()
    load_state_dict(net, read_state_dict(path), source=path.name)
    assert_holds(net, weights())


def test_a_lightning_checkpoint_is_read_and_its_other_parts_are_named(tmp_path: Path):
    torch.save(
        {
            "epoch": 1,
            "pytorch-lightning_version": "2.5.0",
            "state_dict": prefixed(weights(), "model._orig_mod.") | {"loss.weight": torch.ones(5)},
            "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(3)}}}],
            "callbacks": {"EarlyStopping": {"best_score": torch.tensor(1.0)}},
            "hyper_parameters": {"lr": 0.1},
        },
        tmp_path / "last.ckpt",
    )
    read = read_state_dict(tmp_path / "last.ckpt")
    assert "1 unexpected (loss.weight)" in refusal(load_state_dict, Net(), read, source="last.ckpt")
    net = Net()
    load_state_dict(net, read, source="last.ckpt", allow_unexpected=["loss.*"])
    assert_holds(net, weights())


def test_averaged_weights_come_first_and_any_other_can_be_chosen(tmp_path: Path):
    path = tmp_path / "both.pt"
    torch.save({"model": weights(1), "ema": weights(2)}, path)
    assert torch.equal(read_state_dict(path)["fc.weight"], weights(2)["fc.weight"])
    assert torch.equal(read_state_dict(path, container="model")["fc.weight"], weights(1)["fc.weight"])
    message = refusal(read_state_dict, path, container="generator")
    assert "'generator'" in message
    assert "model, ema" in message


def test_several_unknown_containers_are_a_user_error(tmp_path: Path):
    path = tmp_path / "gan.pt"
    torch.save({"generator": weights(1), "discriminator": weights(2), "step": 5}, path)
    message = refusal(read_state_dict, path)
    assert "container=" in message
    assert "generator, discriminator" in message
    assert torch.equal(read_state_dict(path, container="generator")["fc.bias"], weights(1)["fc.bias"])
    torch.save({"state_dict": prefixed(weights(1), "module.G.") | prefixed(weights(2), "module.D.")}, path)
    net = Net()
    assert "G, D: choose one with container=" in refusal(load_state_dict, net, read_state_dict(path), source="gan.pt")
    load_state_dict(net, read_state_dict(path, container="D"), source="gan.pt")
    assert_holds(net, weights(2))


def test_the_arguments_that_training_scripts_leave_in_checkpoints_do_no_harm(tmp_path: Path):
    torch.save({"args": argparse.Namespace(lr=0.1), "model": weights()}, tmp_path / "net.pth")
    assert set(read_state_dict(tmp_path / "net.pth")) == set(weights())


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


class ShellBomb(Bomb):
    def __reduce__(self):  # of a module that torch names in another way when it refuses it
        return (os.system, (f"touch '{self.path}'",))


@pytest.mark.parametrize("new_format", [True, False])
@pytest.mark.parametrize("kind", [Bomb, ShellBomb])
def test_nothing_in_a_file_is_executed_and_the_message_says_what_to_do(tmp_path: Path, kind: type, new_format: bool):
    path, mark = tmp_path / "bomb.pt", tmp_path / "exploded"
    torch.save({"state_dict": weights(), "x": kind(mark)}, path, _use_new_zipfile_serialization=new_format)
    message = refusal(read_state_dict, path)
    assert not mark.exists()
    assert "execute code" in message
    assert "torch.save(model.state_dict(), ...)" in message
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        path.write_bytes(pickle.dumps(kind(mark), protocol=protocol))
        assert "execute code" in refusal(read_state_dict, path)
    assert not mark.exists()


@pytest.mark.parametrize("new_format", [True, False])
def test_a_whole_pickled_module_is_refused_by_its_class(tmp_path: Path, new_format: bool):
    torch.save(nn.Sequential(nn.Linear(2, 2)), tmp_path / "m.pt", _use_new_zipfile_serialization=new_format)
    assert "torch.nn.modules.container.Sequential" in refusal(read_state_dict, tmp_path / "m.pt")


@pytest.mark.parametrize("ending", ["pt", "pth", "safetensors"])
def test_a_truncated_file_is_refused_wherever_it_breaks_off(tmp_path: Path, ending: str):
    path = tmp_path / f"net.{ending}"
    if ending == "safetensors":
        save_file(weights(), path)
    else:
        torch.save(weights(), path, _use_new_zipfile_serialization=ending == "pt")
    whole = path.read_bytes()
    for size in np.linspace(1, len(whole) - 1, 40).astype(int):
        path.write_bytes(whole[:size])
        assert path.name in refusal(read_state_dict, path)


def test_files_that_are_not_weights_are_refused(tmp_path: Path):
    path = tmp_path / "net.pt"
    for content, reason in [
        (b"", "empty"),
        (b"hello, this is text", "not a weights file"),
        (b"<!DOCTYPE html><title>404</title>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        (b"PK\x03\x04 but no archive", "damaged"),
        (b"\x80\x02 but no pickle", "damaged"),
    ]:
        path.write_bytes(content)
        assert reason in refusal(read_state_dict, path)
    assert "no weights file" in refusal(read_state_dict, tmp_path / "absent.pt")
    assert "not a file" in refusal(read_state_dict, tmp_path)
    for content in (torch.ones(3), [torch.ones(3)], {"lr": 0.1}, {"optimizer": {"state": {0: torch.ones(1)}}}):
        torch.save(content, path)
        assert "model.state_dict()" in refusal(read_state_dict, path)


def test_a_dict_that_holds_itself_ends(tmp_path: Path):
    endless: dict = {"epoch": 1}
    endless["model"] = endless
    torch.save(endless, tmp_path / "endless.pt")
    refusal(read_state_dict, tmp_path / "endless.pt")
    endless["state"] = {"weight": torch.ones(1)}
    torch.save(endless, tmp_path / "endless.pt")
    refusal(read_state_dict, tmp_path / "endless.pt")


# Loading


def test_parts_of_names_from_wrappers_are_removed():
    state = {name.replace("features.", "features.module."): value for name, value in weights().items()}
    net = Net()
    load_state_dict(net, prefixed(state, "net._orig_mod."), source="x")
    assert_holds(net, weights())
    wrapped = nn.ModuleDict({"module": Net()})  # a network may itself have a part of that name
    load_state_dict(wrapped, prefixed(weights(), "module."), source="x")
    assert_holds(wrapped["module"], weights())


def test_only_what_is_needed_of_a_prefix_is_dropped():
    outer = nn.ModuleDict({"encoder": Net(), "head": nn.Linear(5, 5)})
    state = prefixed(weights(), "encoder.") | {"head.weight": torch.eye(5), "head.bias": torch.ones(5)}
    load_state_dict(outer, prefixed(state, "model."), source="x")
    assert_holds(outer["encoder"], weights())
    assert torch.equal(outer["head"].weight, torch.eye(5))


def test_a_part_is_loaded_alone_where_the_rest_is_allowed_to_be_left():
    state = prefixed(weights(), "backbone.") | {"head.weight": torch.eye(5), "head.bias": torch.ones(5)}
    assert "2 unexpected (head.weight, head.bias)" in refusal(load_state_dict, Net(), state, source="x")
    net = Net()
    load_state_dict(net, state, source="x", allow_unexpected=["*"])
    assert_holds(net, weights())


def test_ambiguous_prefixes_are_a_user_error():
    state = prefixed(weights(1), "online.") | prefixed(weights(2), "averaged.")
    assert "online, averaged: " in refusal(load_state_dict, Net(), state, source="x", allow_unexpected=["*"])


def test_missing_unexpected_and_wrong_shapes_are_named_and_nothing_is_changed():
    state = prefixed(weights(), "module.")
    del state["module.features.1.bias"], state["module.fc.bias"]
    state["module.fc.weight"] = torch.zeros(1000, 2)
    state |= {f"module.extra{i}": torch.zeros(1) for i in range(8)}
    net = Net()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    message = refusal(load_state_dict, net, state, source="net.pth")
    assert "net.pth does not fit Net" in message
    assert "2 missing (fc.bias, features.1.bias)" in message
    assert "8 unexpected (module.extra0, module.extra1, " in message
    assert "(8)" in message
    assert "1 of the wrong shape (fc.weight (1000, 2) for (5, 2))" in message
    assert_holds(net, before)


def test_a_new_head_can_be_left_as_it_is_but_only_by_permission():
    state = weights() | {"fc.weight": torch.zeros(1000, 2), "fc.bias": torch.zeros(1000)}
    for kwargs in ({"allow_missing": ["fc.*"]}, {"allow_unexpected": ["fc.*"]}, {}):
        assert "2 of the wrong shape" in refusal(load_state_dict, Net(), state, source="x", **kwargs)
    net = Net()
    head = net.fc.weight.detach().clone()
    load_state_dict(net, state, source="x", allow_missing=["fc.*"], allow_unexpected=["fc.*"])
    assert torch.equal(net.fc.weight, head)
    assert torch.equal(net.conv1.weight, weights()["conv1.weight"])


def test_weights_of_another_network_are_never_loaded_silently():
    everything = {"allow_missing": ["*"], "allow_unexpected": ["*"]}
    message = refusal(load_state_dict, Net(), {"blocks.0.attn.qkv": torch.ones(1)}, source="vit.pt", **everything)
    assert "vit.pt has no name in common" in message
    refusal(load_state_dict, Net(), {"fc.weight": torch.ones(1)}, source="x", **everything)
    refusal(load_state_dict, Net(), {}, source="x", **everything)


def test_counters_that_old_files_lack_keep_their_value():
    state = {name: value for name, value in weights().items() if "num_batches" not in name}
    net = Net()
    load_state_dict(net, state, source="x")
    assert_holds(net, state | {"features.0.num_batches_tracked": torch.tensor(0)})
    averaged = torch.optim.swa_utils.AveragedModel(net)
    load_state_dict(Net(), averaged.state_dict(), source="x")


def test_half_precision_takes_on_the_modules_precision_and_integers_are_refused():
    net = Net()
    load_state_dict(net, {n: v.half() if v.is_floating_point() else v for n, v in weights().items()}, source="x")
    assert net.fc.weight.dtype == torch.float32
    assert torch.equal(net.fc.weight, weights()["fc.weight"].half().float())
    quantized = weights() | {"fc.weight": torch.ones(5, 2, dtype=torch.int8)}
    assert "fc.weight int8 (5, 2)" in refusal(load_state_dict, net, quantized, source="x")


def test_an_archive_that_would_become_gigabytes_takes_no_memory(tmp_path: Path):
    path = tmp_path / "net.pt"
    torch.save({"weight": torch.zeros(100 * 2**20)}, tmp_path / "large.pt")
    with zipfile.ZipFile(tmp_path / "large.pt") as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in source.namelist():
            packed.writestr(name, source.read(name))
    message = refusal(read_state_dict, path)
    assert "damaged or hostile" in message
    assert "would become 0.4 GiB" in message
