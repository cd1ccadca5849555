"""Small runs of the two entry points, as a user starts them: in a folder of their own, with a cache of their own."""

import io
import json
import logging
import os
import runpy
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import joblib
import pytest

from dgn.cli import commands

ROOT = Path(__file__).resolve().parents[2]


class User:
    """Runs `python SCRIPT ARGUMENTS`, or an installed command (dgn-train), in a folder, with a cache folder that one
    test session shares.

    `run` does it in this process, where torch is loaded already; `start` in one of its own, to be killed."""

    tiny = (
        "encoder.weights=null",
        "data.train_images=96",
        "data.val_images=32",
        "data.batch_size=8",
        "statistics.images=32",
        "generator.width=0.05",
        "code_model.steps=4",
        "code_model.width=16",
        "schedule.warmup=2",
        "trainer.log_every_n_steps=2",
        "trainer.accelerator=cpu",
        "trainer.precision=32-true",
    )
    """Settings that make a prior's training a matter of seconds; the network is random, which nothing here minds."""

    def __init__(self, folder: Path, cache: Path) -> None:
        self.folder = folder
        self.environment = os.environ | {"DGN_CACHE": str(cache), "CUDA_VISIBLE_DEVICES": "", "COLUMNS": "120"}

    def start(self, script: str, *arguments: str, session: bool = False) -> subprocess.Popen:
        command = [sys.executable, str(ROOT / script), *arguments]
        pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        return subprocess.Popen(command, cwd=self.folder, env=self.environment, start_new_session=session, **pipes)

    def run(self, script: str, *arguments: str, status: int | None = 0) -> tuple[str, str]:
        out, err, argv, folder, environment = io.StringIO(), io.StringIO(), sys.argv, os.getcwd(), dict(os.environ)
        found = 0
        try:
            os.chdir(self.folder)
            os.environ.update(self.environment)
            sys.argv = [script, *arguments]
            with redirect_stdout(out), redirect_stderr(err):
                try:
                    if script.endswith(".py"):
                        runpy.run_path(str(ROOT / script), run_name="__main__")
                    else:
                        getattr(commands, script.removeprefix("dgn-"))()
                except SystemExit as end:
                    found = end.code or 0
        finally:
            if "hydra/launcher=joblib" in arguments:
                # Its processes outlive the job, and would serve the next test with this one's folder and environment.
                joblib.externals.loky.get_reusable_executor().shutdown(wait=True)
            sys.argv = argv
            os.chdir(folder)
            os.environ.clear()
            os.environ.update(environment)
            for handler in logging.root.handlers[:]:
                if isinstance(handler, logging.FileHandler) or getattr(handler, "stream", None) is out:
                    logging.root.removeHandler(handler)
        right = found == status if status is not None else found != 0  # None: any that says it went wrong
        assert right, f"exit status {found}\n{out.getvalue()}\n{err.getvalue()}"
        return out.getvalue(), err.getvalue()


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def new_user(cache: Path):
    """Makes a user of a folder."""
    return lambda folder: User(folder, cache)


@pytest.fixture
def user(tmp_path: Path, cache: Path) -> User:
    return User(tmp_path, cache)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> tuple[User, Path, str]:
    """A user who has trained a tiny prior: the user, the prior's path and what was printed."""
    user = User(tmp_path_factory.mktemp("trained"), cache)
    out, _ = user.run("train.py", *user.tiny, "trainer.max_steps=8", "trainer.val_check_interval=4")
    return user, Path(out.strip().splitlines()[-1]), out


class WandbRecords:
    """What an offline run of W&B has written into its folder, read from its own log."""

    def __init__(self, folder: Path) -> None:
        from wandb.proto.wandb_internal_pb2 import Record

        self.folder = folder
        kinds, deadline = set(), time.monotonic() + 20
        while not (logs := list(folder.glob("run-*.wandb"))) and time.monotonic() < deadline:
            time.sleep(0.05)
        (log,) = logs
        while "exit" not in kinds and time.monotonic() < deadline:  # W&B's service writes when it comes to it
            self.records = [Record.FromString(data) for data in _entries(log.read_bytes())]
            kinds = {record.WhichOneof("record_type") for record in self.records}
            time.sleep(0.05)
        self.run = next(r.run for r in self.records if r.WhichOneof("record_type") == "run")
        self.config: dict = {}
        self.rows: list[dict] = []
        self.artifacts = [r.request.log_artifact.artifact for r in self.records if r.request.HasField("log_artifact")]
        self.artifacts += [r.artifact for r in self.records if r.WhichOneof("record_type") == "artifact"]
        self.exit_code = next((r.exit.exit_code for r in self.records if r.WhichOneof("record_type") == "exit"), None)
        for record in self.records:
            kind = record.WhichOneof("record_type")
            if kind in ("run", "config"):
                update = record.run.config.update if kind == "run" else record.config.update
                self.config |= {_key(item): json.loads(item.value_json) for item in update}
            if kind == "history":
                self.rows.append({})
                for item in record.history.item:
                    *outer, last = item.nested_key or [item.key]
                    row = self.rows[-1]
                    for name in outer:
                        row = row.setdefault(name, {})
                    row[last] = json.loads(item.value_json)

    def values(self, name: str) -> list:
        """All values of a metric, in order."""
        return [row[name] for row in self.rows if name in row]


def _key(item) -> str:
    return item.key or ".".join(item.nested_key)


def _entries(data: bytes) -> list[bytes]:
    """The entries of a file in LevelDB's log format, behind W&B's header of 7 bytes."""
    assert data[:4] == b":W&B"
    entries, at, part = [], 7, b""
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        length, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        part += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            entries.append(part)
            part = b""
    return entries


@pytest.fixture(scope="session")
def wandb_runs():
    """The W&B runs under a folder, in the order of their beginning."""
    return lambda folder: [WandbRecords(f) for f in sorted(Path(folder).glob("**/wandb/offline-run-*"))]
