"""Paths are relative to where the command was started, whatever `hydra.job.chdir` says."""

import sys
from pathlib import Path

import pytest

from dgn.cli.entry import entry_point


@pytest.mark.parametrize("mode", [["hydra.run.dir=made"], ["--multirun", "hydra.sweep.dir=made", "seed=1,2"]])
def test_a_job_runs_where_the_command_was_started(tmp_path, monkeypatch, mode):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train.py", *mode, "hydra.job.chdir=true", "hydra/job_logging=disabled"])
    places = []
    entry_point("train")(lambda config: places.append(Path.cwd()))()
    assert set(places) == {tmp_path}
    assert len(places) == (2 if "--multirun" in mode else 1)
    assert Path.cwd() == tmp_path
