import logging

import pytest
import torch
from torch import nn

from dgn.cli.config import compose, plain
from dgn.cli.train_encoder import fit_encoder
from dgn.errors import UserError
from dgn.networks import precision as rule
from dgn.networks.zoo import mini_resnet
from dgn.training import precision
from dgn.training.classification import Classification
from dgn.training.precision import MeasuredPrecision, OwnLayers, fastest, resolve_precision
from dgn.training.resuming import read_checkpoint
from dgn.training.settings import Learning

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("32-true", "32-true"),
        (32, "32-true"),
        ("32", "32-true"),
        ("bf16", "bf16-mixed"),
        ("bf16-mixed", "bf16-mixed"),
        ("bf16-trained", "bf16-trained"),
    ],
)
def test_lightnings_names_are_known(asked, name):
    assert resolve_precision(asked) == name


@pytest.mark.parametrize("has_bf16", [True, False])
def test_auto_is_measured_where_the_hardware_has_bf16(monkeypatch, has_bf16):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: has_bf16)
    assert resolve_precision("auto", "cpu") == (None if has_bf16 else "32-true")


@pytest.mark.parametrize("capability", [(7, 5), (8, 0), (9, 0)])
def test_auto_on_a_gpu_follows_its_compute_capability(monkeypatch, capability):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    assert resolve_precision("auto") == (None if capability >= (8, 0) else "32-true")


@pytest.mark.parametrize(
    "asked", ["16-mixed", "16", 16, "16-true", "64-true", "bf16-true", "transformer-engine", "low"]
)
def test_other_choices_are_refused_with_the_available_ones(asked):
    with pytest.raises(UserError, match="bf16-mixed") as refused:
        resolve_precision(asked)
    assert f"trainer.precision={asked}" in str(refused.value)


def test_lightning_trains_in_it_and_validates_in_float32():
    plugin = precision.OwnLayers("bf16-mixed")
    with plugin.train_step_context():
        assert rule._layer_dtype == torch.bfloat16
        assert not torch.is_autocast_enabled("cpu")
    with plugin.val_step_context():
        assert rule._layer_dtype is None


FULL, LOW, TRAINED = (None, True), (torch.bfloat16, True), (torch.bfloat16, False)


class Clock:
    """Says how long passes take, by the precision in which they run; counts them.

    trained: in bf16 with encoder and comparator in float32.
    """

    def __init__(self, full: float, low: float, trained: float = 9.0, first: float = 0.0) -> None:
        self.times, self.first, self.order = {FULL: full, LOW: low, TRAINED: trained}, first, []

    def __call__(self, passes, device):
        passes()
        name = (rule._layer_dtype, rule._layer_dtype is None or rule._fixed_too)
        self.order.append(name)
        return self.times[name] + (self.first if self.order.count(name) == 1 else 0.1 * len(self.order))


def test_precisions_are_measured_in_turn_and_the_first_pass_does_not_count():
    clock = Clock(1.0, 2.0, 3.0, first=100.0)
    times = fastest(lambda: None, CPU, clock)
    assert clock.order == [FULL, LOW, TRAINED] * (1 + precision.ROUNDS)
    assert list(times) == ["32-true", "bf16-mixed", "bf16-trained"]
    assert list(times.values()) == pytest.approx([1.4, 2.5, 3.6])  # the least of the others


def test_a_slow_network_is_measured_once_in_each(monkeypatch):
    monkeypatch.setattr(precision, "SECONDS", 0.0)
    clock = Clock(1.0, 2.0, 3.0, first=100.0)
    assert list(fastest(lambda: None, CPU, clock).values()) == [101.0, 102.0, 103.0]
    assert len(clock.order) == 3


def test_of_several_processes_the_slowest_counts_and_all_end_together(monkeypatch):
    reduced = []

    def all_reduce(tensor, operation):
        assert operation == torch.distributed.ReduceOp.MAX
        reduced.append(tensor.clone())
        tensor.copy_(torch.maximum(tensor, torch.tensor([3.0, 1.0, 4.0]) if tensor.ndim else torch.tensor(1.0)))

    monkeypatch.setattr(precision, "processes", lambda: (1, 2))
    monkeypatch.setattr(torch.distributed, "all_reduce", all_reduce)
    clock = Clock(1.0, 2.0, 3.0)
    assert fastest(lambda: None, CPU, clock) == {"32-true": 3.0, "bf16-mixed": 2.0, "bf16-trained": 4.0}
    assert len(clock.order) == 3  # the other process was late
    assert len(reduced) == 2


@pytest.mark.parametrize(
    ("full", "low", "trained", "chosen"),
    [
        (1.0, 0.5, 9.0, "bf16-mixed"),
        (0.5, 1.0, 9.0, "32-true"),
        (1, 1, 1, "32-true"),
        (2.0, 3.0, 1.0, "bf16-trained"),
    ],
)
def test_the_faster_one_is_chosen_and_measuring_changes_nothing(caplog, full, low, trained, chosen):
    caplog.set_level(logging.INFO)
    torch.manual_seed(0)
    module = Classification(mini_resnet(classes=4), Learning(torch.optim.SGD, lambda optimizer: None, accumulate=2))
    batch = torch.rand(4, 3, 64, 64), torch.arange(4)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    state = torch.get_rng_state()
    callback = MeasuredPrecision(OwnLayers(None), Clock(full, low, trained))
    callback.on_train_batch_start(None, module, batch, 0)
    assert callback.plugin.precision == chosen
    assert f"Training in {chosen}: forward and backward passes of a batch take" in caplog.text
    assert "trainer.precision=32-true, bf16-mixed or bf16-trained sets it" in caplog.text
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
    assert all(parameter.grad is None for parameter in module.parameters())
    assert any(isinstance(part, nn.BatchNorm2d) for part in module.modules())  # whose buffers passes change


def test_a_choice_of_bf16_trains_as_bf16_does_and_is_kept_when_the_run_is_resumed(tmp_path, monkeypatch):
    monkeypatch.setattr(precision, "has_bf16", lambda device: True)
    small = ["data.train_images=32", "data.val_images=8", "data.batch_size=4", "data.image_size=32", "data.cache=none"]
    small += ["task=encoder", "encoder=mini_resnet", "logger=none", "trainer.accelerator=cpu"]
    small += ["encoder.weights=null", "trainer.enable_progress_bar=false", "schedule.max_steps=3"]

    def train(folder, name, steps):
        config = compose("train", [*small, f"trainer.precision={name}", f"trainer.max_steps={steps}"])
        fit_encoder(plain(config), tmp_path / folder)
        checkpoint = read_checkpoint(tmp_path / folder / "checkpoints" / "last.ckpt")
        assert checkpoint["global_step"] == steps
        return checkpoint["state_dict"]

    monkeypatch.setattr(precision, "seconds_of", Clock(1.0, 0.5))
    whole, given = train("auto", "auto", 3), train("given", "bf16-mixed", 3)
    train("resumed", "auto", 2)
    monkeypatch.setattr(precision, "seconds_of", Clock(0.5, 1.0))  # a measurement would now choose float32
    resumed, full = train("resumed", "auto", 3), train("full", "auto", 3)
    for name, tensor in whole.items():
        assert torch.equal(tensor, given[name]), name
        assert torch.equal(tensor, resumed[name]), name
    assert any(not torch.equal(tensor, full[name]) for name, tensor in whole.items())
