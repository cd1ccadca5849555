"""Small runs of the two entry points, as a user starts them: in a folder of their own, with a cache of their own."""

import io
import logging
import os
import runpy
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


class User:
    """Runs `python SCRIPT ARGUMENTS` in a folder, with a cache folder that one test session shares.

    `run` does it in this process, where torch is loaded already; `start` in one of its own, to be killed."""

    tiny = (
        "encoder.weights=null",
        "data.train_images=96",
        "data.val_images=32",
        "data.batch_size=8",
        "statistics.images=32",
        "generator.width=0.05",
        "discriminator.width=0.25",
        "schedule.warmup=2",
        "trainer.log_every_n_steps=2",
        "trainer.accelerator=cpu",
    )
    """Settings that make a prior's training a matter of seconds; the network is random, which nothing here minds."""

    def __init__(self, folder: Path, cache: Path) -> None:
        self.folder = folder
        self.environment = os.environ | {"DGN_CACHE": str(cache), "CUDA_VISIBLE_DEVICES": "", "COLUMNS": "120"}

    def start(self, script: str, *arguments: str) -> subprocess.Popen:
        command = [sys.executable, str(ROOT / script), *arguments]
        return subprocess.Popen(
            command, cwd=self.folder, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def run(self, script: str, *arguments: str, status: int = 0) -> tuple[str, str]:
        out, err, argv, folder, environment = io.StringIO(), io.StringIO(), sys.argv, os.getcwd(), dict(os.environ)
        found = 0
        try:
            os.chdir(self.folder)
            os.environ.update(self.environment)
            sys.argv = [script, *arguments]
            with redirect_stdout(out), redirect_stderr(err):
                try:
                    runpy.run_path(str(ROOT / script), run_name="__main__")
                except SystemExit as end:
                    found = end.code or 0
        finally:
            sys.argv = argv
            os.chdir(folder)
            os.environ.clear()
            os.environ.update(environment)
            for handler in logging.root.handlers[:]:
                if isinstance(handler, logging.FileHandler) or getattr(handler, "stream", None) is out:
                    logging.root.removeHandler(handler)
        assert found == status, f"exit status {found}\n{out.getvalue()}\n{err.getvalue()}"
        return out.getvalue(), err.getvalue()


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def user(tmp_path: Path, cache: Path) -> User:
    return User(tmp_path, cache)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> tuple[User, Path, str]:
    """A user who has trained a tiny prior: the user, the prior's path and what was printed."""
    user = User(tmp_path_factory.mktemp("trained"), cache)
    out, _ = user.run("train.py", *user.tiny, "trainer.max_steps=8", "trainer.val_check_interval=4")
    return user, Path(out.strip().splitlines()[-1]), out
