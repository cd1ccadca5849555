"""visualize.py for targets that give nothing but scores."""

import csv
import re
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dgn.runs.folders import SEARCHES

pytestmark = pytest.mark.e2e
SMALL = ["method.update.strategy.population=6", "steps=4", "seeds=2"]


class Laboratory(threading.Thread):
    """Scores blocks of images by how red they are; after some blocks it is off."""

    def __init__(self, folder: Path, blocks: int) -> None:
        super().__init__(daemon=True)
        self.folder, self.blocks, self.off = folder, blocks, threading.Event()

    def run(self) -> None:
        while not self.off.is_set():
            for block in sorted(path for path in self.folder.glob("block_[0-9]*") if path.is_dir()):
                number = int(block.name.removeprefix("block_"))
                if number < self.blocks and not block.with_suffix(".npy").exists():
                    files = [row["file"] for row in csv.DictReader((block / "order.csv").open())]
                    reds = np.array([np.asarray(Image.open(block / name))[..., 0].mean() for name in files])
                    reds[number % len(reds)] = np.nan
                    aside = self.folder / "scores.part.npy"
                    np.save(aside, reds)
                    aside.rename(block.with_suffix(".npy"))
            time.sleep(0.01)


def rows(folder: Path) -> list[dict]:
    found = csv.DictReader((folder / "results.csv").open())
    return [{key: value for key, value in row.items() if key != "seconds"} for row in found]


def test_a_laboratory_that_breaks_off_is_waited_for_again_and_nothing_is_lost(trained, tmp_path):
    user, path, _ = trained
    asked = ["target=folder", "method=cma_sphere", "method.update.strategy.select=3", f"prior={user.folder / path}"]
    asked += [*SMALL, "target.poll=0.01", "target.timeout=1", "judge=none"]
    results = {}
    for name, blocks in (("broken", 6), ("whole", 99)):
        lab = Laboratory(tmp_path / f"lab-{name}", blocks)
        lab.start()
        run = [*asked, f"target.folder={lab.folder}", f"hydra.run.dir={tmp_path / name}"]
        if name == "broken":
            _, err = user.run("visualize.py", *run, status=2)
            (line,) = err.strip().splitlines()
            assert "no scores of" in line
            assert "block_0006 within 1 s" in line
            lab.blocks = 99
            user.run("visualize.py", f"resume={tmp_path / name}")
        else:
            user.run("visualize.py", *run)
        lab.off.set()
        lab.join()
        results[name] = rows(tmp_path / name)
        assert len(list(lab.folder.glob("block_*.npy"))) == 8  # 4 generations of 2 searches, none of them twice
        assert not (tmp_path / name / SEARCHES).exists()
        assert len(list((tmp_path / name / "evolution").rglob("*.generation"))) == 8  # what the experiment measured
        page = (tmp_path / name / "evolution.html").read_text()
        assert "All searches have ended." in page
        assert "http-equiv" not in page
        assert re.findall(r"<h2>(.*)</h2>", page) == [f"score:0, seed {seed} · cma_sphere · fc6" for seed in (1, 0)]
    assert results["broken"] == results["whole"]
    assert all(float(row["activation"]) > 0 for row in results["whole"])
    for row in results["whole"]:
        assert (tmp_path / "broken" / row["image"]).read_bytes() == (tmp_path / "whole" / row["image"]).read_bytes()


def test_a_function_has_the_pages_and_numbers_of_a_network(trained, tmp_path):
    user, path, _ = trained
    (tmp_path / "mine.py").write_text("def colours(images):\n    return images.mean((2, 3))[:, :2]\n")
    asked = ["target=callable", f"target.function={tmp_path / 'mine.py'}:colours", "target.scores=[red,green]"]
    asked += [f"prior={user.folder / path}", *SMALL, "judge=none", "similarity=none", "reference_images=24"]
    _, err = user.run("visualize.py", *asked[:4], "judge=none", status=2)
    assert "gives scores and no gradient, which this method follows; take one that needs none: method=cma_sphere" in err
    out, _ = user.run("visualize.py", *asked, "method=[cma_cholesky,cma]", "units=score:red,score:green-0.5*score:red")
    folder = user.folder / Path(out.strip().splitlines()[-1]).parent
    found = rows(folder)
    assert {row["method"] for row in found} == {"cma_cholesky", "cma"}
    assert len(found) == 8
    assert all(row["percentile"] for row in found)
    assert "cma_cholesky" in (folder / "scores.md").read_text()
