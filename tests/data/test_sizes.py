import logging

import numpy as np
import pytest
import torch
from PIL import Image

from dgn.data.sizes import describe_scaling
from dgn.data.sources import image_folder


def folder(path, sizes):
    colours = np.random.default_rng(0)
    for i, (width, height) in enumerate(sizes):
        (path / "newt").mkdir(parents=True, exist_ok=True)
        Image.fromarray(colours.integers(256, size=(height, width, 3), dtype=np.uint8)).save(path / f"newt/{i:02}.png")
    return path


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ([(32, 32)] * 3, ["Pictures of 32 x 32 px (3 looked at): not resized; training crops of 32 px", "of up to 2;"]),
        ([(16, 16)] * 3, ["enlarged to 32;", "reflected border of up to 2", "measures see whole pictures"]),
        ([(80, 60)] * 3, ["of 80 x 60 px", "reduced to a short side of 36", "measures see the middle 32 px"]),
        (
            [(80, 60), (32, 40), (9, 9)],
            ["9 x 9 to 80 x 60", "1 of them reduced", "1 of them not", "1 of them enlarged"],
        ),
    ],
)
def test_one_line_says_what_is_done_with_pictures_of_which_size(tmp_path, caplog, sizes, said):
    caplog.set_level(logging.INFO)
    image_folder(folder(tmp_path, sizes), 32, val_root=tmp_path, num_workers=0)
    (line,) = [record.getMessage() for record in caplog.records if "looked at" in record.getMessage()]
    assert all(part in line for part in said), line
    if sizes[0] == (80, 60) == sizes[-1]:
        assert "border" not in line


def test_a_source_whose_pictures_cannot_be_read_is_described_too(tmp_path):
    root = folder(tmp_path, [(8, 8)] * 2)
    source = image_folder(root, 8, val_root=root, num_workers=0).train_source
    for path in root.rglob("*.png"):
        path.write_bytes(b"nothing")
    assert describe_scaling(source) == "None of 2 pictures can be read"


@pytest.mark.parametrize("cache", ["none", "ram", "disk"])
def test_real_images_are_whole_and_training_images_augmented(tmp_path, monkeypatch, cache):
    monkeypatch.setenv("DGN_CACHE", str(tmp_path / "cache"))
    root = folder(tmp_path / "pictures", [(32, 32)] * 4)
    data = image_folder(root, 32, val_root=root, num_workers=0, cache=cache)
    originals = {np.asarray(Image.open(path)).tobytes() for path in root.rglob("*.png")}

    def pixels(images):
        return {(image * 255).round().byte().permute(1, 2, 0).contiguous().numpy().tobytes() for image in images}

    assert pixels(next(data.real_images(4))[0]) == originals
    assert pixels(next(data.samples([0, 1, 2, 3]))[0]) == originals
    assert pixels(next(data.real_images(4, "val"))[0]) == originals
    drawn = torch.stack([data.train_source.sample(i, np.random.default_rng(i))[0] for i in range(4)]) / 255
    assert len(pixels(drawn) & originals) < 4  # one of 50 crops is the picture itself
