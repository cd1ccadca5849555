"""Targets that give nothing but scores: functions, programs, and laboratories that read folders."""

import csv
import gc
import logging
import re
import subprocess
import sys
import time
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from dgn.errors import UserError
from dgn.networks.laboratory import Canvas, FolderScorer, folder_target, function_target, program_target
from dgn.networks.laboratory.folders import Presentation
from dgn.networks.laboratory.score_files import read_scores
from dgn.networks.usable import check

IMAGES = torch.rand(4, 3, 8, 10, generator=torch.Generator().manual_seed(0))
REDS = IMAGES.mul(255).round().div(255)[:, 0].mean((1, 2))  # as files of 8 bits hold them

PROGRAM = """
import json, os, sys
from pathlib import Path
from PIL import Image
import numpy as np

def red(path):
    return float(np.asarray(Image.open(path))[..., 0].mean() / 255)

how, memory = sys.argv[1], Path(sys.argv[2])
calls = int(memory.read_text()) + 1 if memory.exists() else 1
memory.write_text(str(calls))
if how == "dies once" and calls == 1:
    sys.exit("the amplifier is off")
if how == "always dies":
    sys.exit("the amplifier is off")
if how == "json":
    for line in sys.stdin:
        request = json.loads(line)
        if len(request["images"]) == 3 and calls == 1:
            os._exit(9)
        scores = [red(path) for path in request["images"]]
        scores[1] = None
        print(json.dumps({"id": request["id"], "scores": scores}), flush=True)
elif how == "json, malformed":
    for line in sys.stdin:
        print("ready", flush=True)
else:
    scores = [str(red(line.strip())) for line in sys.stdin]
    if how == "misses":
        scores[2] = "nan"
    if how == "one too few":
        scores.pop()
    if how == "words":
        scores[1] = "very good"
    if how == "slow":
        import time
        time.sleep(5)
    print("\\n".join(scores))
"""


@pytest.fixture
def program(tmp_path):
    """The target of the program, that behaves in a way."""
    (tmp_path / "lab.py").write_text(PROGRAM)

    def make(how, **settings):
        command = f"{sys.executable} {tmp_path / 'lab.py'} '{how}' {tmp_path / 'memory'}"
        return program_target(command, protocol="json" if "json" in how else "paths", **settings)

    return make


def scores_of(target, images=IMAGES):
    return target(images, ["score"])["score"]


@pytest.mark.parametrize("how", ["obeys", "dies once", "misses"])
def test_a_program_reads_paths_and_writes_scores(program, how):
    expected = REDS.clone()
    if how == "misses":
        expected[2] = torch.nan
    torch.testing.assert_close(scores_of(program(how))[:, 0], expected, equal_nan=True, atol=1e-6, rtol=0)


def test_a_program_that_keeps_running_answers_lines_and_is_started_again_when_it_dies(program):
    target = program("json")
    expected = REDS.clone()
    expected[1] = torch.nan
    torch.testing.assert_close(scores_of(target)[:, 0], expected, equal_nan=True, atol=1e-6, rtol=0)
    torch.testing.assert_close(scores_of(target, IMAGES[:3])[:, 0], expected[:3], equal_nan=True, atol=1e-6, rtol=0)
    target.scorer.close()


@pytest.mark.parametrize(
    ("how", "line"),
    [
        ("one too few", r"wrote 3 lines for 4 images; one each is expected"),
        ("words", r"wrote 'very good' in line 2, not a score; other text belongs on stderr"),
        ("json, malformed", r"answered 'ready'; \{\"id\": 1, \"scores\": \[...\]\} is expected"),
        ("slow", r"gave no scores within 0.5 s \(target.timeout\)"),
        ("always dies", r"ended with status 1: the amplifier is off, 4 times in a row"),
    ],
)
def test_what_a_program_does_wrong_is_said_in_one_line(program, how, line, monkeypatch):
    monkeypatch.setattr("dgn.networks.laboratory.programs._PAUSES", (0.0, 0.0, 0.0))
    with pytest.raises(UserError, match=line) as error:
        scores_of(program(how, timeout=0.5 if how == "slow" else None))
    assert "\n" not in str(error.value)


def test_a_program_that_is_not_there_is_named():
    with pytest.raises(UserError, match="no program 'no_such_program'; check its path"):
        scores_of(program_target("no_such_program --fast"))


@pytest.mark.filterwarnings("error")  # also of what is left of it
@pytest.mark.parametrize(
    ("command", "protocol", "line"),
    [
        ("python 'lab.py", "paths", "target.command=python 'lab.py: no closing quotation; write it as in a shell"),
        ("python lab.py", "xml", "target.protocol=xml: give paths or json"),
    ],
)
def test_a_command_that_cannot_be_read_is_one_line(command, protocol, line):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()  # what other tests have left
    with pytest.raises(UserError) as error:
        program_target(command, protocol=protocol)
    assert str(error.value) == line
    gc.collect()


def test_a_function_that_returns_nothing_is_called_so(tmp_path):
    (tmp_path / "mine.py").write_text("def score(images):\n    images.mean()\n")
    with pytest.raises(UserError, match=r"mine\.py:score gave None for 4 images; it must return their scores"):
        scores_of(function_target(f"{tmp_path / 'mine.py'}:score"))


def test_a_function_is_a_target_with_one_layer_of_scores(tmp_path):
    code = (
        "def colours(images):\n    return images.mean((2, 3))\n\ndef wrong(images):\n    return [1.0]\n\nnumber = 3\n"
    )
    (tmp_path / "mine.py").write_text(code)
    target = function_target(f"{tmp_path / 'mine.py'}:colours", scores=["red", "green", "blue"])
    assert target.layer("score").shape == (3,)
    assert target.layer_labels("score") == ("red", "green", "blue")
    torch.testing.assert_close(scores_of(target), IMAGES.mean((2, 3)))
    check(target, "target", ["score"], gradient=False)
    with pytest.raises(
        UserError, match=r"gives scores and no gradient, which this method follows; .* method=cma_sphere"
    ):
        check(target, "target", ["score"])
    with pytest.raises(UserError, match=r"gave scores of shape \(1,\) for 4 images; it must give \(4,\)"):
        scores_of(function_target(f"{tmp_path / 'mine.py'}:wrong"))
    with pytest.raises(UserError, match=r"target.function=.*:number is a int; name a function"):
        function_target(f"{tmp_path / 'mine.py'}:number")
    with pytest.raises(UserError, match=r"target.function=.* has no 'other'; it has colours, wrong"):
        function_target(f"{tmp_path / 'mine.py'}:other")


def test_the_canvas_places_greys_and_bounds():
    image = torch.zeros(1, 3, 4, 4)
    image[:, 0, :, 2:] = 1.0
    shown = Canvas(size=(10, 20), place=(0.5, 0.25), background=0.25, grey=True).show(image)
    assert shown.shape == (1, 3, 10, 20)
    assert (shown[:, :, :3] == 0.25).all()
    torch.testing.assert_close(shown[0, :, 3:7, 3:7], torch.tensor([0, 0, 0.299, 0.299]).expand(3, 4, 4))
    cut = Canvas(size=6, place=(0.0, 1.0)).show(torch.ones(1, 3, 4, 4))
    assert cut.sum() == pytest.approx(0.5 * (108 - 12) + 12)
    bounded = Canvas(contrast=0.1).show(image)
    luminance = (bounded * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1)
    assert luminance.std(correction=0).item() == pytest.approx(0.1, rel=1e-5)
    torch.testing.assert_close(bounded.mean((2, 3)), image.mean((2, 3)))
    torch.testing.assert_close(Canvas(contrast=0.9).show(image), image)
    with pytest.raises(UserError, match=r"canvas.place=\(2, 0\): give \[row, column\]"):
        Canvas(place=(2, 0))


def test_images_on_a_canvas_that_are_no_squares_keep_their_proportions():
    wide = Canvas(image=8).show(torch.rand(1, 3, 20, 40))
    assert wide.shape == (1, 3, 4, 8)
    assert Canvas(image=8).show(torch.rand(1, 3, 40, 1)).shape == (1, 3, 8, 1)
    control = torch.zeros(1, 3, 20, 40)  # a photo on a square canvas: black in grey, above and below
    shown = Canvas(size=8, image=8).show(control)[0, 0]
    assert torch.equal(shown.eq(0).sum(0), torch.full((8,), 4))


def write_scores(path: Path, values: np.ndarray, files: list[str]) -> Path:
    if path.suffix == ".npy":
        np.save(path, values)
    elif path.suffix == ".h5":
        with h5py.File(path, "w") as file:
            file["rates"] = values
    elif path.suffix == ".mat":
        savemat(path, {"scores": values, "comment": "day 3"})
    elif path.stem == "named":  # in another order, without what was missed
        rows = [[name, *row] for name, row in zip(files, values, strict=True) if np.isfinite(row).all()]
        path.write_text("file,v1,v2\n" + "\n".join(",".join(map(str, row)) for row in rows[::-1]))
    else:
        path.write_text("\n".join(" , ".join("" if np.isnan(v) else str(v) for v in row) for row in values))
    return path


@pytest.mark.parametrize("name", ["a.csv", "named.csv", "a.npy", "a.h5", "a.mat"])
def test_every_kind_of_file_gives_the_scores(tmp_path, name):
    values = np.array([[1.0, 2.5], [np.nan, np.nan], [-3.0, 1e-3]])
    files = ["0000.png", "0001.png", "0002.png"]
    np.testing.assert_array_equal(read_scores(write_scores(tmp_path / name, values, files), files, 2), values)


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("a.csv", b"1\n2\n", "a.csv holds 2x1 scores; 3x1 (images x scores) are expected"),
        ("a.csv", b"1\nhigh\n3\n", "a.csv has 'high' in row 2; a number or nan is expected"),
        ("a.csv", b"1,2\n3\n4,5\n", "a.csv has 1 columns in row 2, and 2 in the first"),
        ("a.csv", b"0000.png,1\n0007.png,2\n", "a.csv names '0007.png', which is no image of this block"),
        ("a.csv", b"", "a.csv holds no scores"),
        ("a.npy", b"\x93NUMPY", "a.npy cannot be read"),
        ("a.mat", b"no", "a.mat cannot be read"),
        ("a.h5", b"no", "a.h5 cannot be read"),
    ],
)
def test_malformed_files_are_refused_in_one_line(tmp_path, name, content, line):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=re.escape(line)) as error:
        read_scores(tmp_path / name, ["0000.png", "0001.png", "0002.png"], 1)
    assert "\n" not in str(error.value)


LABORATORY = """
import csv, sys, time
from pathlib import Path
import numpy as np
from PIL import Image

folder, end = Path(sys.argv[1]), time.time() + 30
while time.time() < end and not (folder / "stop").exists():
    for block in sorted(folder.glob("block_[0-9]*")):
        if not block.is_dir() or block.with_suffix(".csv").exists():
            continue
        rows = list(csv.DictReader((block / "order.csv").open()))
        reds = [np.asarray(Image.open(block / row["file"]))[..., 0].mean() / 255 for row in rows]
        if block.name == "block_0001":
            reds[0] = float("nan")  # the animal looked away
        path = block.with_suffix(".csv")
        if block.name == "block_0002":
            path.write_text("1\\n2\\n")  # the wrong file, mended later
            time.sleep(0.3)
        with path.open("w") as file:  # line by line, slowly: the search must not read half of it
            for red in reds:
                file.write(f"{red}\\n")
                file.flush()
                time.sleep(0.002)
    time.sleep(0.01)
"""


def test_a_laboratory_of_another_process_scores_blocks(tmp_path, caplog):
    """Slow, missing images, a wrong file that is replaced; repeats in random order and control images among them."""
    controls = tmp_path / "controls"
    controls.mkdir()
    Image.new("RGB", (8, 8), (255, 0, 0)).save(controls / "red.png")
    folder = tmp_path / "lab"
    folder.mkdir()
    process = subprocess.Popen([sys.executable, "-c", LABORATORY, str(folder)])
    shown = Presentation(repeats=2, controls=str(controls), seed=5)
    scorer = FolderScorer(folder, ["rate"], shown, Canvas(image=8, grey=False), poll=0.02, timeout=20)
    try:
        with caplog.at_level(logging.INFO):
            scores = [scorer(IMAGES.roll(i, 0)) for i in range(3)]
    finally:
        (folder / "stop").touch()
        process.wait(timeout=20)
    resized = torch.nn.functional.interpolate(IMAGES, (6, 8), mode="bilinear", antialias=True)  # of 8 x 10
    reds = resized.mul(255).round().div(255)[:, 0].mean((1, 2))
    for i, values in enumerate(scores):
        torch.testing.assert_close(values[:, 0], reds.roll(i), atol=1e-6, rtol=0)
    order = list(csv.DictReader((folder / "block_0000" / "order.csv").open()))
    assert sorted((row["kind"], row["image"], row["repeat"]) for row in order) == sorted(
        [("control", "0", "0"), *(("evolved", str(i), str(r)) for i in range(4) for r in range(2))]
    )
    assert [row["image"] for row in order] != sorted(row["image"] for row in order)
    assert "control images 1" in caplog.text
    (warning,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warning.endswith(
        "block_0002.csv holds 2x1 scores; 9x1 (images x scores) are expected; waiting for another in its place"
    )
    began = time.monotonic()
    torch.testing.assert_close(scorer(IMAGES), scores[0])  # the same images: the block that is there
    assert time.monotonic() - began < 5
    assert len(list(folder.glob("block_*"))) == 6


def test_a_laboratory_that_does_not_answer_ends_the_search_with_the_next_step(tmp_path):
    target = folder_target(str(tmp_path / "lab"), poll=0.01, timeout=0.05)
    with pytest.raises(
        UserError, match=r"no scores of .*block_0000 within 0.05 s .*resume the search when it is there"
    ):
        scores_of(target)
    assert not target.repeatable
    with pytest.raises(UserError, match="no images there; give a folder of images, or null"):
        folder_target(str(tmp_path), controls=str(tmp_path / "nothing"))
