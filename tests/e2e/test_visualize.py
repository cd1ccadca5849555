import csv
import json
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from dgn.prior import Prior
from dgn.prior.code_model import CodeModel

pytestmark = pytest.mark.e2e
QUICK = ["steps=3", "reference_images=32", "judge=none"]


def visualized(user, *arguments: str):
    out, _ = user.run("visualize.py", *QUICK, *arguments)
    folder = (user.folder / out.strip().splitlines()[-1]).parent
    return folder, list(csv.DictReader((folder / "results.csv").open()))


def test_the_newest_prior_is_shown_for_every_class(trained):
    user, path, _ = trained
    folder, rows = visualized(user, "seeds=2")
    assert {f.name for f in folder.iterdir()} >= {
        "index.html",
        "contact_sheet.png",
        "images",
        "results.csv",
        "results.json",
    }
    assert len(rows) == 16 * 2
    head = ["layer", "unit", "label", "seed", "method", "activation", "percentile"]
    head += ["judge_label", "judge_probability", "recognized"]
    assert list(rows[0])[:10] == head
    assert {row["label"] for row in rows} >= {"house", "tree", "fish"}
    assert all(0 <= float(row["percentile"]) <= 100 for row in rows)
    for row in rows:
        assert Image.open(folder / row["image"]).size == (64, 64)
    settings = json.loads((folder / "results.json").read_text())["settings"]
    assert (user.folder / settings["prior"]).samefile(user.folder / path)


def test_the_pictures_are_what_the_numbers_say(trained):
    """The activation in the table is the target's on the picture in the file, up to its 8 bits."""
    user, path, _ = trained
    folder, rows = visualized(user, "units=fc8:house,conv5:3@mean", "seeds=1")
    net = Prior.load(user.folder / path).encoder_net()
    for row in rows:
        image = torch.tensor(np.asarray(Image.open(folder / row["image"]))).view(64, 64, 3).permute(2, 0, 1) / 255
        found = net(image[None], [row["layer"]])[row["layer"]]
        value = found[0, 3].mean() if row["layer"] == "conv5" else found[0, 0]
        assert float(row["activation"]) == pytest.approx(float(value), abs=0.05)


def test_units_positions_sums_lists_and_seeds(trained):
    user, _, _ = trained
    _, rows = visualized(user, "units=[fc8:house+0.5*fc8:boat,conv5:12@4,4,fc6:0-1,conv3:5]", "seeds=[3,8]")
    assert [row["objective"] for row in rows[::2]] == [
        "fc8:0+0.5*fc8:3",
        "conv5:12@4,4",
        "fc6:0",
        "fc6:1",
        "conv3:5@4,4",
    ]
    assert {row["seed"] for row in rows} == {"3", "8"}
    assert rows[0]["label"] == "house + 0.5 boat"


def test_the_same_seed_finds_the_same_images(trained):
    user, _, _ = trained
    tables = [visualized(user, "units=fc8:3", "seeds=2")[1] for _ in range(2)]
    assert [row["activation"] for row in tables[0]] == [row["activation"] for row in tables[1]]


def test_a_search_can_start_from_a_real_image_or_a_sample(trained, tmp_path):
    user, _, _ = trained
    Image.linear_gradient("L").resize((90, 70)).save(tmp_path / "photo.png")
    starts = {}
    for start in (str(tmp_path / "photo.png"), "sample", "noise"):
        starts[start] = visualized(user, "units=fc8:3", "seeds=1", f"start={start}")[1][0]["activation"]
    assert len(set(starts.values())) == 3


def test_the_default_is_guided_from_draws_of_the_prior_and_needs_no_real_image(trained, tmp_path):
    user, path, _ = trained
    prior = Prior.load(user.folder / path)
    prior.code_model = CodeModel(prior.principal.count, width=8, blocks=1)
    prior.code_model.std.copy_(prior.principal.std)
    prior.save(tmp_path / "with.safetensors")
    given = [f"prior={tmp_path / 'with.safetensors'}", "units=fc8:3", "seeds=1", "steps=null", "reference_images=0"]
    folder, rows = visualized(user, *given)
    settings = json.loads((folder / "results.json").read_text())["settings"]
    assert (settings["start"], settings["steps"]) == ("sample", 12)
    assert settings["methods"][0]["name"] == rows[0]["method"] == "guided"
    folder, _ = visualized(user, *given, "start=noise")
    settings = json.loads((folder / "results.json").read_text())["settings"]
    assert (settings["start"], settings["steps"]) == ("noise", 60)


def test_a_prior_without_a_code_model_is_searched_by_another_method_which_is_said(trained):
    user, _, _ = trained  # whose prior has seen too few images for a code model
    out, _ = user.run("visualize.py", *QUICK, "units=fc8:3", "seeds=1")
    assert "method=dgn_am_short is used instead of guided" in out
    assert "task=code_prior kind=diffusion" in out


def test_dgn_am_short_starts_near_real_images_and_what_the_command_says_of_the_method_stays(trained):
    user, _, _ = trained
    short = "method=dgn_am_short"
    folder, _ = visualized(user, short, "units=fc8:3", "seeds=1", "steps=null", "method.update.first=3")
    settings = json.loads((folder / "results.json").read_text())["settings"]
    assert (settings["start"], settings["steps"]) == ("real", 10)
    assert settings["methods"][0]["update"]["first"] == 3
    folder, _ = visualized(user, short, "units=fc8:3", "seeds=1", "reference_images=0")
    assert json.loads((folder / "results.json").read_text())["settings"]["start"] == "noise"
    _, err = user.run("visualize.py", *QUICK, "start=real", "reference_images=0", status=2)
    assert "start=real needs real images" in err


def test_classes_without_a_real_image_start_from_noise_and_the_table_says_so(trained, tmp_path):
    user, _, _ = trained
    for i in range(5):
        path = tmp_path / "pictures" / ("house" if i < 4 else "tree") / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.linear_gradient("L").rotate(20 * i).resize((64, 64)).convert("RGB").save(path)
    given = ["data=image_folder", f"data.root={path.parent.parent}", "data.num_workers=0", "data.image_size=64"]
    given += [f"data.val_root={path.parent.parent}", "units=fc8:house,fc8:fish,fc8:tree", "seeds=2", "steps=null"]
    out, _ = user.run("visualize.py", *QUICK, "method=dgn_am_short", *given)
    assert "No real image of 1 classes (fish): searches for them start from noise" in out
    folder = (user.folder / out.strip().splitlines()[-1]).parent
    rows = list(csv.DictReader((folder / "results.csv").open()))
    assert [row["label"] for row in rows] == ["house"] * 2 + ["fish"] * 2 + ["tree"] * 2
    assert [row["start"] for row in rows] == ["real"] * 2 + ["noise"] * 2 + ["real"] * 2
    assert [row["steps"] for row in rows] == ["10"] * 2 + ["60"] * 2 + ["10"] * 2
    assert float(rows[0]["activation"]) != float(rows[1]["activation"])  # of two different houses
    assert rows[4]["activation"] == rows[5]["activation"]  # there is one tree


def test_the_nearest_training_image_is_of_the_units_class(trained):
    user, _, _ = trained
    folder, rows = visualized(user, "units=fc8:house,conv3:5", "seeds=2", "nearest_images=all")
    assert all(float(row["nearest_pixels"]) > 0 and float(row["nearest_code"]) > 0 for row in rows)
    captions = re.findall(r"pixels: (\w+)", (folder / "units").joinpath("fc8-0.html").read_text())
    assert set(captions) == {"house"}
    _, rows = visualized(user, "units=fc8:house", "seeds=1", "nearest_images=0")
    assert rows[0]["nearest_pixels"] == rows[0]["nearest_code"] == ""
    _, err = user.run("visualize.py", *QUICK, "nearest_images=few", status=2)
    assert "nearest_images=few: give all, a number of training images of each class, or 0 for none" in err


def test_a_launcher_without_a_multirun_causes_a_warning(trained):
    user, _, _ = trained
    out, _ = user.run("visualize.py", *QUICK, "units=fc8:3", "seeds=1", "hydra/launcher=basic")
    assert "hydra/launcher=basic has no effect on a single run; add -m" in out


def test_adam_and_another_target(trained):
    user, _, _ = trained
    _, rows = visualized(user, "method=dgn_am_adam", "target=mini_resnet", "target.weights=null", "target.classes=5")
    assert len(rows) == 5 * 4
    assert rows[0]["layer"] == "fc"
    assert rows[0]["method"] == "dgn_am_adam"


def test_checkpoints_and_run_folders_are_priors_too(trained):
    user, path, _ = trained
    run = (user.folder / path).parent
    activations = [
        visualized(user, f"prior={where}", "units=fc8:1", "seeds=1")[1][0]["activation"]
        for where in (run, run / "prior.safetensors", run / "checkpoints" / "last.ckpt")
    ]
    assert len(set(activations)) == 1  # to the bit on one machine: the same numbers, equally aligned in memory


def test_layers_are_listed(trained):
    user, _, _ = trained
    out, _ = user.run("visualize.py", "target.layers=list")
    line = next(line for line in out.splitlines() if "conv5" in line and "relu5" in line)
    assert "64x8x8" in line


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["prior=nowhere"], "nowhere"),
        (["units=fc9:1"], "no layer 'fc9'"),
        (["units=fc8:99"], "16 units are 0 .. 15"),
        (["units=fc8:dragon"], "house"),
        (["start=missing.png"], "missing.png"),
        (["seeds=0"], "seeds=0"),
        (["steps=0"], "steps=0"),
        (["unit=fc8:1"], "did you mean units"),
        (["method=magic"], "dgn_am"),
        (["device=tpu"], "auto, cpu, cuda or mps"),
        (["device=mps"], "device=mps: mps is the GPU of Apple's processors"),
        (["facets=2", "start=noise"], "leave one out"),
    ],
)
def test_user_errors_are_reported_in_one_line(trained, arguments, says):
    user, _, _ = trained
    _, err = user.run("visualize.py", *QUICK[1:], *arguments, status=2)
    lines = [line for line in err.splitlines() if line.strip()]
    assert len(lines) == 1, err
    assert says in lines[0]


def test_without_a_prior_the_next_step_is_reported(user):
    _, err = user.run("visualize.py", status=2)
    assert "train.py`" in err


def test_files_that_are_not_priors_are_refused(trained, tmp_path):
    user, path, _ = trained
    content = (user.folder / path).read_bytes()
    bad = {"cut.safetensors": content[: len(content) // 2], "text.safetensors": b"hello", "empty.safetensors": b""}
    bad["bad.ckpt"] = b"not a checkpoint"
    for name, data in bad.items():
        (tmp_path / name).write_bytes(data)
        _, err = user.run("visualize.py", f"prior={tmp_path / name}", status=2)
        assert name in err
        assert "Traceback" not in err


def test_the_readmes_five_lines(trained):
    user, path, _ = trained
    code = (
        "from dgn import Prior, dgn_am, parse_units\n"
        f"prior = Prior.load({str(path)!r})\n"
        "units = parse_units('fc8:house, fc8:tree', prior.encoder_net())\n"
        "preferred = dgn_am(prior, units, seeds=range(2), steps=3)\n"
        "preferred.save('preferred')\n"
        "print(tuple(preferred.images.shape))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=user.folder, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "(4, 3, 64, 64)"
    assert len(list((user.folder / "preferred").iterdir())) == 4
