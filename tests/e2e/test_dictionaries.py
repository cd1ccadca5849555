"""Latents of dictionaries from `visualize.py`, as units like any other."""

import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image

from dgn.prior import Prior

pytestmark = pytest.mark.e2e
QUICK = ["steps=3", "reference_images=48", "judge=none", "seeds=1", "nearest=[]", "masks=false"]
OTHER = ["similarity=mini_resnet", "similarity.net.width=8", "similarity.net.weights=null", "similarity.net.classes=10"]
LATENTS = 8


@pytest.fixture(scope="module")
def dictionaries(trained):
    """A user with a prior, a sparse autoencoder of conv5 in a folder of its own, and a probe of fc6 with names."""
    user, path, _ = trained
    net = Prior.load(user.folder / path).encoder_net()
    generator = torch.Generator().manual_seed(0)
    conv5, fc6 = net.layer("conv5").units, net.layer("fc6").units
    state = {"W_enc": torch.randn(conv5, LATENTS, generator=generator), "b_enc": torch.zeros(LATENTS)}
    state |= {"W_dec": state["W_enc"].T.clone(), "b_dec": torch.zeros(conv5)}
    (user.folder / "saes").mkdir()
    with (user.folder / "saes" / "conv 5.pt").open("wb") as file:
        file.write(json.dumps({"schema": 1, "cls": "TopK", "cfg": {"d_vit": conv5, "top_k": 4}}).encode() + b"\n")
        torch.save(state, file)
    probe = torch.randn(2, fc6, generator=generator).numpy()
    np.savez(
        user.folder / "probe.npz", coef=probe, intercept=np.zeros(2, np.float32), labels=["dark", "round"], layer="fc6"
    )
    return user, net, state


def test_a_sweep_of_latents_is_one_gallery_with_pages_scores_and_real_images(dictionaries):
    user, net, state = dictionaries
    layer = "sae(saes/conv 5.pt,layer=conv5)"
    out, _ = user.run(
        "visualize.py", *QUICK, *OTHER, "predictive.tasks=2", f"units={layer}:0-{LATENTS - 1},dict(probe.npz):round"
    )
    folder = (user.folder / out.strip().splitlines()[-1]).parent
    rows = list(csv.DictReader((folder / "results.csv").open()))
    assert [row["unit"] for row in rows] == [f"{i}@4,4" for i in range(LATENTS)] + ["1"]
    assert {row["layer"] for row in rows} == {layer, "dict(probe.npz)"}
    assert rows[-1]["label"] == "round"
    assert all(0 <= float(row["percentile"]) <= 100 for row in rows)
    assert "2AFC" in (folder / "scores.md").read_text()
    assert len(list((folder / "units").glob("*.html"))) == LATENTS + 1 == len(list((folder / "images").glob("*.png")))
    page = next(folder.glob("units/sae-saes-conv-5.pt,layer-conv5-3@4,4--*.html")).read_text()
    assert "<h1>sae(conv 5.pt):3@4,4 <span>" in page
    assert page.count("../real/") >= 5
    images = torch.stack([_image(folder / row["image"]) for row in rows[:-1]])
    x = net(images, ["conv5"])["conv5"][:, :, 4, 4]
    before = x @ state["W_enc"]
    kept = torch.where(before >= before.topk(4).values[:, -1:], before, 0).diagonal()
    found = torch.tensor([float(row["activation"]) for row in rows[:-1]])
    assert (kept != 0).sum() > 2
    # The images in the files have 8 bits, which may also change which latents are among the 4 largest.
    assert ((found - kept).abs() < 0.05 + 0.05 * found.abs()).float().mean() > 0.8


def test_a_dictionary_of_another_layer_is_refused_in_one_line(dictionaries):
    user, _, _ = dictionaries
    _, err = user.run("visualize.py", *QUICK, "units=sae(saes/conv 5.pt,layer=fc7):0", status=2)
    assert "reads 64 units, and relu7" in err
    assert "Traceback" not in err
    _, err = user.run("visualize.py", *QUICK, "units=sae(saes/none.pt,layer=conv5):0", status=2)
    assert "no dictionary file saes/none.pt" in err
    assert "Traceback" not in err


def _image(path) -> torch.Tensor:
    return torch.tensor(np.asarray(Image.open(path))).permute(2, 0, 1) / 255
