"""Which device is chosen, and what is computed on one that has no float64."""

import logging

import pytest
import torch
from torch import nn

from dgn import devices, train_prior
from dgn.data.sources import doodles
from dgn.devices import default_device, device_of_accelerator, double, moved, placed, select_device
from dgn.errors import UserError
from dgn.networks.zoo import mini_resnet
from dgn.training.inversion import Inversion
from dgn.training.precision import resolve_precision


def has(monkeypatch, *names):
    """Makes a machine that has these devices and a CPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: "cuda" in names)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (9, 0))
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: "mps" in names)


@pytest.mark.parametrize(("there", "first"), [(("cuda", "mps"), "cuda"), (("mps",), "mps"), ((), "cpu")])
def test_auto_is_the_first_of_cuda_mps_and_cpu(monkeypatch, there, first):
    has(monkeypatch, *there)
    devices = [default_device(), select_device("auto"), device_of_accelerator("auto")]
    assert [device.type for device in devices] == [first] * 3
    for name in there:
        assert select_device(name).type == device_of_accelerator(name).type == name
    assert select_device("cpu").type == device_of_accelerator("cpu").type == "cpu"
    if there:
        assert device_of_accelerator("gpu").type == first


@pytest.mark.parametrize("name", ["cuda", "mps", "gpu", "tpu"])
def test_a_device_that_is_not_there_is_refused_in_one_line(monkeypatch, name):
    has(monkeypatch)
    for chosen, key in ((select_device, "device="), (device_of_accelerator, "trainer.accelerator=")):
        with pytest.raises(UserError, match=f"^{key}.*cpu") as error:
            chosen(name)
        assert "\n" not in str(error.value)


def test_what_mps_cannot_do_is_logged_once_chosen(monkeypatch, caplog):
    has(monkeypatch, "mps")
    with caplog.at_level(logging.INFO):
        select_device("cpu")
        assert not caplog.text
        select_device("auto")
    (line,) = caplog.messages
    for part in ("float64", "PYTORCH_ENABLE_MPS_FALLBACK", "float32"):
        assert part in line


def test_precision_auto_is_float32_on_mps(monkeypatch):
    has(monkeypatch, "mps")
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    assert resolve_precision("auto") == resolve_precision("auto", "mps") == "32-true"
    assert resolve_precision("bf16-mixed", "mps") == "bf16-mixed"
    has(monkeypatch, "cuda", "mps")
    assert resolve_precision("auto") is None  # it is measured


def test_float64_stays_where_the_device_has_none(monkeypatch):
    """The device of tensors without values takes the place of mps."""
    monkeypatch.setattr(devices, "_WITHOUT_FLOAT64", ("meta",))
    values, cpu, meta = torch.rand(3, dtype=torch.float64), torch.device("cpu"), torch.device("meta")
    assert (moved(values, meta).device.type, moved(values, meta).dtype) == ("meta", torch.float32)
    assert moved(values.bfloat16(), meta).dtype == torch.bfloat16
    assert moved(values, cpu) is values
    assert placed(nn.Linear(4, 3).double(), meta).weight.dtype == torch.float32
    assert placed(nn.Linear(4, 3).bfloat16(), meta).weight.dtype == torch.bfloat16
    assert placed(nn.Linear(4, 3).double(), cpu).weight.dtype == torch.float64
    monkeypatch.setattr(devices, "_WITHOUT_FLOAT64", ("cpu",))
    assert double(values.float()).dtype == torch.float64


def test_a_step_of_training_makes_no_float64(monkeypatch, making_float64):
    """Statistics and metrics do, with `double`."""
    made = []
    step = Inversion.training_step

    def watched(*args, **kwargs):
        with making_float64() as operations:
            result = step(*args, **kwargs)
        made.append(operations)
        return result

    monkeypatch.setattr(Inversion, "training_step", watched)
    net = mini_resnet(classes=10, width=8, seed=1)
    data = doodles(image_size=64, train_images=32, val_images=16, batch_size=8, cache="none")
    train_prior(net, data, steps=2, width=0.05, statistics_images=16, accelerator="cpu")
    assert made == [[], []]
