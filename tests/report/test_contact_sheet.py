import numpy as np
import pytest
import torch
from PIL import Image, ImageFont

from dgn.report import Trace, contact_sheet, save_contact_sheet
from dgn.report.contact_sheet import MOST_PIXELS, plan_sheet, shortened
from dgn.report.sheets import write_sheet
from dgn.report.units import arrange


def inked(sheet: Image.Image, box: tuple[int, int, int, int]) -> bool:
    return bool((np.asarray(sheet.crop(box)) < 128).any())


@pytest.mark.parametrize("scale", [1, 3, None])
def test_each_picture_is_at_its_place_at_its_scale(flat_images, scale):
    images = flat_images(15)
    sheet = np.asarray(contact_sheet(images, [f"unit {i}" for i in range(5)], per_group=3, scale=scale))
    side = 16 * (scale or 7)  # 7: the smallest factor that shows 16 pixels at 112
    lefts, tops = [], []
    for image in images:
        colour = (image[:, 0, 0] * 255).round().numpy().astype(np.uint8)
        ys, xs = np.nonzero((sheet == colour).all(2))
        assert (np.ptp(ys) + 1, np.ptp(xs) + 1, len(ys)) == (side, side, side * side)
        lefts.append(xs.min())
        tops.append(ys.min())
    for first in range(0, 15, 3):
        assert tops[first] == tops[first + 1] == tops[first + 2]
        assert lefts[first] + side < lefts[first + 1] < lefts[first + 2] - side
    assert sorted(zip(tops, lefts, strict=True)) == list(zip(tops, lefts, strict=True))  # in reading order


def test_a_picture_that_is_not_enlarged_keeps_every_pixel():
    images = torch.randint(256, (2, 3, 20, 30)) / 255
    sheet = contact_sheet(images, ["a", "b"], per_group=1, scale=1)
    plan = plan_sheet((20, 30), 2, 1, scale=1)
    for index, image in enumerate(images):
        left, top = plan.picture(index)
        found = np.asarray(sheet.crop((left, top, left + 30, top + 20)))
        assert np.array_equal(found, (image * 255).round().byte().permute(1, 2, 0).numpy())


@pytest.mark.parametrize(("groups", "per_group"), [(12, 4), (16, 1), (100, 4), (1000, 4)])
@pytest.mark.parametrize("size", [(32, 32), (64, 64), (227, 227)])
def test_a_sheet_is_about_four_to_three_and_of_bounded_size(groups, per_group, size):
    plan = plan_sheet(size, groups, per_group, captioned=True)
    assert 0.85 < plan.width / plan.height < 2
    assert plan.width * plan.height <= MOST_PIXELS
    assert plan.picture(groups * per_group - 1)[0] + plan.picture_size[0] <= plan.width - plan.margin
    assert plan.picture(groups * per_group - 1)[1] + plan.picture_size[1] <= plan.height - plan.margin


def test_one_picture_makes_a_sheet(flat_images):
    sheet = contact_sheet(flat_images(1), ["house"], per_group=1)
    assert sheet.size < (300, 300)


def test_titles_and_captions_stay_beside_the_pictures_however_long(flat_images):
    images = flat_images(8)
    long = "a very long title of a unit of some network\nwith a line break " * 4
    sheet = contact_sheet(images, [long] * 4, 2, captions=[long] * 8, scale=4)
    plan = plan_sheet((16, 16), 4, 2, captioned=True, scale=4)
    assert sheet.size == (plan.width, plan.height)
    for group in range(4):
        left, top = plan.group(group)
        right, picture_top = left + plan.group_width, plan.picture(2 * group)[1]
        assert inked(sheet, (left, top, right, picture_top))
        assert not inked(sheet, (right, top, right + plan.margin, picture_top))
        assert not inked(sheet, (left, top - 4, right, top))
    for index in range(8):
        left, top = plan.picture(index)
        assert inked(sheet, (left, top + 64, left + 64, top + 64 + plan.group_height))
        assert not inked(sheet, (left + 64, top, left + 64 + plan.gap, top + 64 + 20))


def test_a_short_title_keeps_the_unit():
    """A gallery of latents would have the same title under every picture otherwise."""
    font = ImageFont.load_default(14)
    name = "sae(layer9_checkpoint_100000.safetensors)"
    titles = [shortened(f"{name}:{unit}@6,6 · DGN-AM", font, 130) for unit in (3, 24575)]
    assert [title.partition("…")[2] for title in titles] == [":3@6,6", ":24575@6,6"]
    assert all(title.startswith("sae(") and font.getlength(title) <= 130 for title in titles)
    assert shortened("house · fc8:3 · DGN-AM with a code model", font, 130).startswith("house · fc8:3")
    assert shortened("a layer:" + "x" * 99, font, 130).startswith("a layer:xx")


def test_the_file_is_the_sheet(flat_images, tmp_path):
    images = flat_images(2)
    save_contact_sheet(tmp_path / "new" / "sheet.png", images, ["a", "b"], 1)
    read = Image.open(tmp_path / "new" / "sheet.png")
    assert np.array_equal(np.asarray(read), np.asarray(contact_sheet(images, ["a", "b"], 1)))
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["sheet.png"]


@pytest.mark.parametrize(("units", "together"), [(1, 3), (16, 2), (16, 8), (100, 3)])
def test_groups_that_belong_together_share_a_row(units, together):
    plan = plan_sheet((64, 64), units * together, per_group=2, together=together)
    assert plan.columns <= units * together
    for unit in range(units):
        tops = {plan.group(unit * together + i)[1] for i in range(together)}
        assert len(tops) == 1


@pytest.mark.parametrize(("start", "caption"), [("real", "from real images"), ("sample", None), ("noise", None)])
def test_a_sheet_says_what_began_at_real_images(tmp_path, monkeypatch, make_row, flat_images, start, caption):
    rows = [make_row(seed=seed, start=start) for seed in range(2)]
    columns, units = arrange(rows, [Trace()] * 2, ["a.png", "b.png"], [(16, 16)] * 2)
    seen = []
    monkeypatch.setattr("dgn.report.sheets.save_contact_sheet", lambda *given, **others: seen.append(given[4]))
    write_sheet(tmp_path / "sheet.png", units, columns, flat_images(2))
    assert seen == [caption and [caption] * 2]
