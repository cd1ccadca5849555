"""trainer.devices: which GPUs a run's processes compute on, with GPUs that are made up."""

import pytest
import torch

from dgn.cli import trainer_devices
from dgn.cli.config import compose, plain
from dgn.errors import UserError
from dgn.training import accumulation


@pytest.fixture
def four_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "SLURM_STEP_ID", "SLURM_NTASKS"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def trainer(*overrides: str):
    return plain(compose("train", list(overrides)).trainer)


def place(monkeypatch, number: int, count: int) -> None:
    """Makes this process one of several that were started on this machine."""
    for name, value in (("RANK", number), ("LOCAL_RANK", number), ("WORLD_SIZE", count), ("LOCAL_WORLD_SIZE", count)):
        monkeypatch.setenv(name, str(value))


def test_a_list_of_gpus_is_kept_by_every_process(four_gpus):
    config = trainer("trainer=ddp", "trainer.devices=[2,3]")
    assert trainer_devices.processes_to_start(config) == 2
    for number, gpu in ((0, 2), (1, 3)):
        place(four_gpus, number, 2)
        assert trainer_devices.device(config) == torch.device("cuda", gpu)
        assert trainer_devices.placement(config) == {"devices": [2, 3], "num_nodes": 1}


@pytest.mark.parametrize("name", ["auto", "ddp"])
def test_one_gpu_of_a_list_is_where_statistics_and_training_run(four_gpus, name):
    config = trainer(f"trainer={name}", "trainer.devices=[1]")
    assert trainer_devices.processes_to_start(config) == 1
    assert trainer_devices.device(config) == torch.device("cuda", 1)
    assert {**config, **trainer_devices.placement(config)}["devices"] == [1]


def test_a_number_of_gpus_means_the_first_ones(four_gpus):
    config = trainer("trainer=ddp", "trainer.devices=2")
    assert trainer_devices.processes_to_start(config) == 2
    place(four_gpus, 1, 2)
    assert trainer_devices.device(config) == torch.device("cuda", 1)
    assert trainer_devices.placement(config) == {"devices": 2, "num_nodes": 1}


def test_under_srun_each_process_has_its_own_gpu(four_gpus):
    for name, value in (("SLURM_STEP_ID", "0"), ("SLURM_NTASKS", "4"), ("SLURM_PROCID", "3"), ("SLURM_LOCALID", "3")):
        four_gpus.setenv(name, value)
    assert trainer_devices.device(trainer("trainer=ddp")) == torch.device("cuda", 3)


@pytest.mark.parametrize("devices", ["[4]", "[1,1]", "[]", "[-1]"])
def test_gpus_that_do_not_exist_are_a_user_error(four_gpus, devices):
    with pytest.raises(UserError, match=r"0 \.\. 3"):
        trainer_devices.processes_to_start(trainer("trainer=ddp", f"trainer.devices={devices}"))


def test_a_device_list_needs_gpus_and_one_process_each(four_gpus):
    with pytest.raises(UserError, match="a number of processes"):
        trainer_devices.processes_to_start(trainer("trainer=ddp_cpu", "trainer.devices=[0,1]"))
    place(four_gpus, 0, 4)
    with pytest.raises(UserError, match="the launcher started 4 processes"):
        trainer_devices.placement(trainer("trainer=ddp", "trainer.devices=[2,3]"))


def test_the_cpu_has_no_number(four_gpus):
    assert trainer_devices.device({"accelerator": "cpu", "devices": 2}) == torch.device("cpu")


def test_without_cuda_a_training_runs_on_mps(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    for config in (trainer(), trainer("trainer.accelerator=mps"), trainer("trainer.accelerator=gpu")):
        assert trainer_devices.device(config) == torch.device("mps")
        assert trainer_devices.processes_to_start(config) == 1
        assert {**config, **trainer_devices.placement(config)}["devices"] == 1
    assert trainer_devices.device(trainer("trainer.accelerator=cpu")) == torch.device("cpu")
    with pytest.raises(UserError, match="trainer=ddp_cpu"):
        trainer_devices.processes_to_start(trainer("trainer=ddp"))
    with pytest.raises(UserError, match=r"trainer\.accelerator=cuda.*cpu or auto"):
        trainer_devices.device(trainer("trainer.accelerator=cuda"))


def test_a_random_state_of_mps_is_kept_for_the_parts_of_a_step(monkeypatch):
    kept = []
    monkeypatch.setattr(torch.mps, "get_rng_state", lambda device: torch.tensor([7]))
    monkeypatch.setattr(torch.mps, "set_rng_state", lambda state, device: kept.append((int(state), device.type)))
    device = torch.device("mps")
    accumulation._set_random_state(accumulation._random_state(device), device)
    assert kept == [(7, "mps")]
