"""Runs of visualize.py that are stopped, as a scheduler, `timeout` or Ctrl-C does it."""

import csv
import json
import os
import signal
import time
from pathlib import Path

import pytest
from PIL import Image

from dgn.runs.folders import RESULTS, SEARCHES, STARTED

pytestmark = pytest.mark.e2e
ASKED = ["units=fc8:0-4,conv5:3", "seeds=2", "steps=8", "batch_size=3", "judge=none", "device=cpu"]
OF_TIME = ("seconds",)


def stopped(user, folder: Path, number: int, kept: int, *arguments: str) -> tuple[int, str]:
    """Starts a run, signals its process group when it has kept some batches, and returns its status and errors."""
    process = user.start("visualize.py", *arguments, f"hydra.run.dir={folder}", session=True)
    deadline = time.monotonic() + 300
    while len(list((folder / SEARCHES / "0-preferred").glob("**/[0-9]*.safetensors"))) < kept:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, number)
    _, err = process.communicate(timeout=60)
    return process.returncode, err


def rows(folder: Path) -> list[dict]:
    return [
        {key: value for key, value in row.items() if key not in OF_TIME}
        for row in csv.DictReader((folder / "results.csv").open())
    ]


@pytest.fixture
def photos(tmp_path):
    for i in range(24):
        path = tmp_path / "photos" / ("house", "tree")[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.linear_gradient("L").rotate(15 * i).resize((64, 64)).convert("RGB").save(path)
    root = path.parent.parent
    return [f"data.root={root}", f"data.val_root={root}", "data=image_folder", "data.image_size=64"]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "killpg"), reason="Windows has no process groups")
def test_a_stopped_run_shows_what_it_found_and_resumes_to_the_result_of_an_uninterrupted_one(trained, tmp_path, photos):
    user, path, _ = trained
    asked = [*ASKED, f"prior={user.folder / path}", *photos, "data.num_workers=2", "start=real", "video=gif"]
    folder, whole = tmp_path / "stopped", tmp_path / "whole"
    status, err = stopped(user, folder, signal.SIGTERM, 2, *asked)
    assert status == 128 + signal.SIGTERM
    (line,) = err.strip().splitlines()
    assert line.startswith("stopped with ")
    assert f"visualize.py resume={folder}" in line
    found = rows(folder)
    assert 6 <= len(found) < 12
    assert all((folder / row["image"]).is_file() and row["activation"] for row in found)
    settings = json.loads((folder / RESULTS).read_text())["settings"]
    assert settings["partial"] is True
    assert "A partial gallery: the run was stopped with" in (folder / "index.html").read_text()

    _, err = user.run("visualize.py", f"resume={folder}", "steps=3", status=2)
    assert "steps=3 with resume= would be other searches" in err
    _, err = user.run("train.py", f"resume={folder}", status=2)
    assert "a run of visualize; resume it with" in err
    user.run("visualize.py", f"resume={folder}")
    assert not (folder / SEARCHES).exists()

    user.run("visualize.py", *asked, f"hydra.run.dir={whole}")
    assert rows(folder) == rows(whole)
    for row in rows(whole):
        assert (folder / row["image"]).read_bytes() == (whole / row["image"]).read_bytes()
    films, others = ({film.relative_to(f) for film in f.rglob("films/*")} for f in (folder, whole))
    assert films == others
    assert len(films) == 12
    first, second = (json.loads((f / RESULTS).read_text())["settings"] for f in (folder, whole))
    assert {k for k in first if first[k] != second[k]} <= {"search_seconds"}
    out, _ = user.run("visualize.py", f"resume={folder}")
    assert "This run is finished" in out


def test_a_run_that_is_killed_resumes_with_the_prior_and_the_method_that_it_began_with(trained, tmp_path):
    user, path, _ = trained
    folder = tmp_path / "killed"
    asked = [*ASKED, "method=[dgn_am_short,dgn_am]", "method.update.first=3", "reference_images=0"]
    asked += ["units=fc8:0-2", "seeds=1", "batch_size=1"]
    status, _ = stopped(user, folder, signal.SIGKILL, 1, *asked)
    assert status == -signal.SIGKILL
    assert json.loads((folder / STARTED).read_text())["priors"] == [str(user.folder / path)]
    user.run("visualize.py", f"resume={folder}")
    settings = json.loads((folder / RESULTS).read_text())["settings"]
    assert [method["name"] for method in settings["methods"]] == ["dgn_am_short", "dgn_am"]
    assert [method["update"]["first"] for method in settings["methods"]] == [3, 3]
    assert len(rows(folder)) == 6
