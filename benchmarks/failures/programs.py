"""The runs that are killed: their commands, and the commands that go on with them."""

from pathlib import Path

TINY = [  # with as many steps as the code model needs codes
    *("encoder.weights=null", "data.train_images=96", "data.val_images=32", "data.batch_size=8", "threads=1"),
    *("statistics.images=32", "generator.width=0.05", "code_model.steps=20", "code_model.width=16"),
    *("schedule.warmup=2", "trainer.accelerator=cpu", "trainer.precision=32-true", "trainer.max_steps=26"),
    *("trainer.val_check_interval=13", "checkpoint.every_n_steps=2", "data.num_workers=0"),
    "trainer.enable_progress_bar=false",
]
SMALL = ["encoder=mini_resnet", "encoder.width=8", "data.image_size=32", "trainer.max_steps=30", "data.batch_size=8",
         "data.train_images=96", "data.val_images=32", "trainer.accelerator=cpu", "trainer.precision=32-true",
         "checkpoint.every_n_steps=2", "data.num_workers=0", "threads=1"]  # fmt: skip
SEARCH = ["judge=none", "device=cpu", "threads=1", "reference_images=0"]
SEVERAL = ["train", "-m", *TINY, "trainer.max_steps=6,8", "comparison.enabled=false", "logger=none"]
RUNS: dict[str, list[str]] = {
    "prior": ["train", *TINY, "logger=csv"],
    "prior, tracked by W&B": ["train", *TINY, "logger=wandb"],
    "encoder": ["train", "task=encoder", *SMALL],
    "code prior": ["train", "task=code_prior", "prior={prior}", "trainer.max_steps=30", "checkpoint.every_n_steps=2",
                   "data=doodles", "data.train_images=96", "data.val_images=16", "data.cache=none", "logger=none",
                   "trainer.accelerator=cpu", "trainer.precision=32-true", "threads=1"],
    "visualize": ["visualize", *SEARCH, "prior={prior}", "units=fc8:0-3", "seeds=2", "batch_size=2", "steps=12"],
    "search without gradients": ["visualize", *SEARCH, "prior={prior}", "units=fc8:0-3", "seeds=1", "batch_size=1",
                                 "method=cma_sphere", "steps=6"],
    "multirun": SEVERAL,
    "multirun, joblib": [*SEVERAL, "hydra/launcher=joblib"],
    "multirun, submitit_local": [*SEVERAL, "hydra/launcher=submitit_local"],
    "two processes (DDP)": ["train", *TINY, "trainer=ddp_cpu", "logger=none"],
    "study": ["study", "study=interpolation", "study.pairs=2", "study.between=1", "seeds=2", "judge=mini_resnet",
              "judge.weights=null", "judge.width=8", "encoder.weights=null", "data.train_images=96",
              "data.val_images=32", "data.batch_size=8",
              "reference_images=32", "device=cpu",
              "own_prior_steps=8", "unit_count=2", "steps=2", "threads=1",
              'prior_settings=["generator.width=0.05","statistics.images=32","statistics.axes=0"]'],
}  # fmt: skip
OF_SEVERAL_PROCESSES = ("multirun, joblib", "multirun, submitit_local", "two processes (DDP)")
"""Runs of which any process is ended, not the program alone."""
OUTLIVING = ("multirun, submitit_local",)
"""Runs whose jobs go on without the program, as on a cluster; they are waited for before the run is resumed."""


def run(name: str, folder: Path, prior: Path) -> list[str]:
    """The command of a run in a folder."""
    key = "hydra.sweep.dir" if "-m" in RUNS[name] else "hydra.run.dir"
    return [word.format(prior=prior) if "{prior}" in word else word for word in RUNS[name]] + [f"{key}={folder}"]


def resume(folder: Path, command: list[str]) -> list[str]:
    """The command that goes on: the same one where nothing was kept, or for runs that repeat their settings."""
    if "-m" in command:
        return [*command, f"resume={folder}"] if (folder / "multirun.yaml").is_file() else command
    kept = {
        "train": ("checkpoints/last.ckpt", "checkpoints/previous.ckpt"),
        "visualize": ("searches/run.json",),
        "study": ("kept",),
    }
    program = command[0]
    if not any((folder / name).exists() for name in kept[program]):
        return command
    settings = command[1:-1] if program == "study" else []
    return [program, *settings, f"resume={folder}"]
