"""Settings of sweepers and launchers: search spaces, scripts, sweeps of W&B."""

import importlib
import math
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins

from dgn.cli.config import compose

ROOT = Path(__file__).resolve().parents[1]


def drawn(*space: str, samples: int = 200, seed: int = 0) -> list[dict[str, str]]:
    Plugins.instance()  # loads its own sweepers anew, and so must come before ours
    sweeper = importlib.import_module("hydra_plugins.dgn_random_sweeper").RandomSweeper(samples, seed)
    overrides = OverridesParser.create().parse_overrides(list(space))
    (jobs,) = sweeper.split_arguments(overrides, None)
    return [dict(override.split("=", 1) for override in job) for job in jobs]


def test_the_random_sweeper_draws_from_its_space():
    jobs = drawn("a=interval(2.0,4.0)", "b=tag(log,interval(1.0,10000.0))", "c=int(interval(3,5))", "d=x,y", "e=7")
    assert all(2 <= float(job["a"]) <= 4 for job in jobs)
    assert {job["c"] for job in jobs} == {"3", "4", "5"}
    assert {job["d"] for job in jobs} == {"x", "y"}
    assert {job["e"] for job in jobs} == {"7"}
    logs = [math.log10(float(job["b"])) for job in jobs]
    assert min(logs) >= 0
    assert max(logs) <= 4
    assert abs(sum(logs) / len(logs) - 2) < 0.3  # evenly on the logarithmic scale


def test_the_same_seed_draws_the_same_settings():
    assert drawn("a=interval(0,1)", samples=5) == drawn("a=interval(0,1)", samples=5)
    assert drawn("a=interval(0,1)", samples=5) != drawn("a=interval(0,1)", samples=5, seed=1)


def test_the_sweep_of_wandb_drives_train_py():
    """Each of its parameters, as the agent hands them over, is a key of train.py."""
    sweep = yaml.safe_load((ROOT / "sweeps" / "losses.yaml").read_text())
    assert (ROOT / sweep["program"]).is_file()
    values = {name: f"{name}={space['min']}" for name, space in sweep["parameters"].items()}
    command = []
    for part in sweep["command"]:
        if part == "${args_no_hyphens}":
            command += values.values()
        elif part not in ("${env}", "python", "${program}"):
            command.append(part)
    config = compose("train", command)
    assert config.loss.image == 0.1
    assert config.optimizer.lr == 1e-4
    assert "wandb" in config.logger
    assert sweep["metric"] == {"name": config.metric, "goal": "maximize"}


def test_the_slurm_script_is_what_the_config_says(tmp_path):
    """The script that would be submitted, written by submitit from our launcher's config."""
    slurm = pytest.importorskip("submitit.slurm.slurm")
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    code = (
        "import sys; from pathlib import Path; from dgn.cli.config import compose, register_resolvers\n"
        "import hydra, json; from omegaconf import OmegaConf\n"
        "register_resolvers()\n"
        "with hydra.initialize_config_dir(sys.argv[1], version_base='1.3'):\n"
        "    c = hydra.compose('train', ['hydra/launcher=submitit_slurm', 'trainer=ddp',\n"
        "        'hydra.launcher.gpus_per_node=4', 'hydra.launcher.partition=gpu',\n"
        "        '+hydra.launcher.additional_parameters={mail-type: END}'],\n"
        "        return_hydra_config=True)\n"
        "c.hydra.launcher.submitit_folder = sys.argv[2]\n"
        "print(json.dumps(OmegaConf.to_container(c.hydra.launcher, resolve=True)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(ROOT / "conf"), str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    params = yaml.safe_load(done.stdout)
    for key in ("_target_", "max_num_timeout", "name", "array_parallelism", "stderr_to_stdout"):
        params.pop(key)
    minutes, folder = params.pop("timeout_min"), params.pop("submitit_folder")
    memory, additional = f"{params.pop('mem_gb')}GB", params.pop("additional_parameters")
    tasks = params.pop("tasks_per_node")
    params = {key: value for key, value in params.items() if value is not None}
    script = slurm._make_sbatch_string(
        command="python -m submitit.core._submit folder",
        folder=folder,
        map_count=4,
        time=minutes,
        mem=memory,
        ntasks_per_node=tasks,
        additional_parameters=additional,
        **params,
    )
    for line in ("--time=720", "--gpus-per-node=4", "--ntasks-per-node=1", "--partition=gpu", "--signal=USR2@120"):
        assert f"#SBATCH {line}" in script
    assert "#SBATCH --array=0-3" in script
    assert "#SBATCH --mail-type=END" in script
    assert "srun" in script
