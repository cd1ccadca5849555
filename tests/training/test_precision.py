import pytest
import torch

from dgn.errors import UserError
from dgn.training import precision
from dgn.training.precision import resolve_precision


@pytest.mark.parametrize(
    ("asked", "name"),
    [("32-true", "32-true"), (32, "32-true"), ("32", "32-true"), ("bf16", "bf16-mixed"), ("bf16-mixed", "bf16-mixed")],
)
def test_lightnings_names_are_known(asked, name):
    assert resolve_precision(asked) == name


@pytest.mark.parametrize("has_bf16", [True, False])
def test_auto_follows_the_hardware(monkeypatch, has_bf16):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: has_bf16)
    assert resolve_precision("auto", "cpu") == ("bf16-mixed" if has_bf16 else "32-true")


@pytest.mark.parametrize("capability", [(7, 5), (8, 0), (9, 0)])
def test_auto_on_a_gpu_follows_its_compute_capability(monkeypatch, capability):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    assert resolve_precision("auto") == ("bf16-mixed" if capability >= (8, 0) else "32-true")


@pytest.mark.parametrize(
    "asked", ["16-mixed", "16", 16, "16-true", "64-true", "bf16-true", "transformer-engine", "low"]
)
def test_other_choices_are_refused_with_the_available_ones(asked):
    with pytest.raises(UserError, match="bf16-mixed") as refused:
        resolve_precision(asked)
    assert f"trainer.precision={asked}" in str(refused.value)


def test_lightning_trains_in_it_and_validates_in_float32():
    from dgn.networks import precision as rule

    plugin = precision.OwnLayers("bf16-mixed")
    with plugin.train_step_context():
        assert rule._layer_dtype == torch.bfloat16
        assert not torch.is_autocast_enabled("cpu")
    with plugin.val_step_context():
        assert rule._layer_dtype is None
