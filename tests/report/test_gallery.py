import json
import shlex

import pytest
import torch
from html_pages import check
from PIL import Image

from dgn.data.images import read_image
from dgn.report import Comparison, Contender, Metric, RealImage, Trace, UnitNotes, image_name, write_gallery
from dgn.report.contents import ImageMap

HOSTILE = "</script><script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{ 7*7 }}&amp;"
LABELS = ("house", "ice cream", HOSTILE)
SETTINGS = dict(target=dict(name="caffenet"), prior="fc6.safetensors", method=dict(steps=200), note=HOSTILE)
COMMAND = f"python visualize.py units=fc8:all hydra.run.dir=outputs/mine {shlex.quote(f'note={HOSTILE}')}"


@pytest.fixture
def gallery(tmp_path, flat_images, make_row):
    rows = [make_row(f"fc8:{label}", label, seed) for label in LABELS for seed in (0, 1)]
    return write_gallery(tmp_path, rows, flat_images(6), SETTINGS, HOSTILE, COMMAND)


def pages_of(index):
    return [check(index), *(check(path) for path in sorted((index.parent / "units").iterdir()))]


def test_a_run_folder_holds_pages_sheet_tables_and_one_png_an_image(gallery, flat_images):
    folder = gallery.parent
    assert sorted(path.name for path in folder.iterdir()) == [
        *("assets", "contact_sheet.png", "images", "index.html", "results.csv", "results.json", "units")
    ]
    results = json.loads((folder / "results.json").read_text())["results"]
    assert len(list((folder / "images").iterdir())) == 6
    for result, image in zip(results, flat_images(6), strict=True):
        assert torch.equal(read_image(folder / result["image"]), (image * 255).round().byte())


def test_every_page_is_sound_and_every_unit_has_one(gallery):
    overview, *units = pages_of(gallery)
    assert len(units) == 3
    cards = [link["href"] for link in overview.all("a") if link["href"].startswith("units/")]
    assert len(cards) == 3
    assert cards[0] == "units/fc8-house.html"


def test_pictures_are_described(gallery):
    overview, *_ = pages_of(gallery)
    pictures = overview.all("img")
    assert pictures[0]["alt"] == "preferred image of fc8:house (house), seed 0"
    assert pictures[5]["alt"] == f"preferred image of fc8:{HOSTILE} ({HOSTILE}), seed 1"
    assert all(int(picture["width"]) == int(picture["height"]) == 112 for picture in pictures)


def test_labels_title_settings_and_command_are_text_and_never_markup(gallery):
    overview, *units = pages_of(gallery)
    for page in (overview, *units):
        assert [script["src"].rpartition("/")[0][-6:] for script in page.all("script")] == ["assets", "assets"]
        assert not page.all("img", src="x")
        assert HOSTILE in page.text
    assert overview.text.count(HOSTILE) >= 3  # title, card, setting
    assert f"{HOSTILE.lower()} fc8" in overview.all("article")[2]["data-text"]
    assert HOSTILE in next(page for page in units if "--" in page.path.name).text


def test_the_overview_says_what_is_shown(gallery):
    text = check(gallery).text
    assert "Images that 3 units of fc8 in caffenet prefer, 2 each, found by dgn_am in 200 steps" in text
    assert "through the prior fc6.safetensors." in text
    assert "recognized by the judge100%" in text  # a term and its description
    assert "median percentile99.2 " in text
    assert "fc8 3 units, 100% recognized, median percentile 99.2" in text
    assert "method.steps200" in text


def test_a_units_page_has_its_neighbours_its_numbers_and_a_command_for_it_alone(gallery):
    folder = gallery.parent
    house, ice = (check(folder / "units" / name) for name in ("fc8-house.html", _page_of("fc8:ice cream")))
    assert not house.all("a", id="before")
    (after,) = house.all("a", id="after")
    assert folder / "units" / after["href"].removeprefix("../units/") == ice.path
    assert ice.all("a", id="before")[0]["href"].endswith("fc8-house.html")
    assert "Unit house of fc8 in caffenet: 2 images, found by dgn_am." in house.text
    assert "12.5" in house.text
    assert "12.8" in house.text  # 12.5 + 1/3
    code = house.source.split("<code>")[1].split("</code>")[0]
    for escaped, plain in (("&#39;", "'"), ("&#34;", '"'), ("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")):
        code = code.replace(escaped, plain)
    words = shlex.split(code)
    assert words == ["python", "visualize.py", f"note={HOSTILE}", "prior=fc6.safetensors", "units=fc8:house"]


def test_metrics_that_were_not_measured_are_left_out(tmp_path, flat_images, make_row):
    unknown = dict(percentile=None, judge_label="", judge_probability=None, recognized=None, activation=float("nan"))
    path = write_gallery(tmp_path, [make_row(**unknown)], flat_images(1), {}, "Title", "python visualize.py")
    for page in pages_of(path):
        text = page.text.replace("a picture open", "")
        for word in ("judge", "percentile", "None", "nan", "Real images", "Facets", "during the search", "nearest"):
            assert word not in text, word
    assert "data-percentile" not in check(path).all("article")[0]


def test_units_may_have_different_numbers_of_images_in_any_order(tmp_path, flat_images, make_row):
    rows = [make_row("fc8:0", "a"), make_row("fc8:1", "b"), make_row("fc8:0", "a", seed=1)]
    page = check(write_gallery(tmp_path, rows, flat_images(3), {}, "Title", "command"))
    assert len(page.all("article")) == 2
    alts = [image["alt"].removeprefix("preferred image of ") for image in page.all("img")]
    assert alts == [
        "fc8:0 (a), seed 0",
        "fc8:0 (a), seed 1",
        "fc8:1 (b), seed 0",
    ]


@pytest.fixture(scope="module")
def full(tmp_path_factory, flat_images, make_row):
    """Three layers; methods and priors side by side; everything that a page can show. pixels has no second unit."""
    tmp_path = tmp_path_factory.mktemp("full")
    ways = [("dgn_am", "fc6"), ("dgn_am", "pool5"), ("pixels", "")]
    rows, traces = [], []
    for objective, label in (("fc8:house", "house"), ("conv5:3@4,4", ""), ("fc7:1", "")):
        for number, (method, prior) in enumerate(ways):
            for seed in (0, 1):
                if method == "pixels" and objective == "conv5:3@4,4":
                    continue
                rows.append(
                    make_row(
                        *(objective, label, seed),
                        method=method,
                        prior=prior,
                        facet="" if label else f"facet {seed + 1}",
                        activation=10.0 * number + seed,
                        recognized=seed == 0 if label else None,
                        nearest_pixels=12.5,
                        seconds=0.25,
                        image=f"images/{number}/{image_name(objective, seed)}",
                    )
                )
                film = f"films/{len(rows)}.gif"
                near = [RealImage(flat_images(1)[0], "pixels", distance=12.5)]
                traces.append(Trace([0.0, 1.5, 3.0 + seed], near, film, (4, 2, 12, 10)))
                (tmp_path / "films").mkdir(exist_ok=True)
                Image.new("RGB", (8, 8)).save(tmp_path / film)
    mask = torch.zeros(16, 16)
    mask[:8] = 1
    real = flat_images(40)[30:]
    units = {
        "conv5:3@4,4": UnitNotes(
            [RealImage(real[i], f"image {i}", 5.0 - i, box=(-3, 8, 9, 40), mask=mask) for i in (0, 1)]
        ),
        "fc7:1": UnitNotes(facets={"facet 1": [RealImage(real[2], "two")], "facet 2": [RealImage(real[3], "three")]}),
    }
    metrics = [Metric("recognized", percent=True), Metric("distance", "lower")]
    contenders = [Contender(m, p, {"recognized": Figure(0.5 + 0.1 * i, 0.4, 0.9)}) for i, (m, p) in enumerate(ways)]
    comparison = Comparison(metrics, contenders, Contender("real images", "", {"recognized": Figure(0.99)}), "A note.")
    path = write_gallery(
        *(tmp_path, rows, flat_images(len(rows)), dict(prior=["a", "b"]), "Title", "python visualize.py"),
        traces=traces,
        units=units,
        comparison=comparison,
    )
    return path, rows


class Figure:
    def __init__(self, value: float, low: float | None = None, high: float | None = None) -> None:
        self.value, self.low, self.high = value, low, high


def test_the_overview_of_several_methods_has_a_picture_of_each_and_the_table(full):
    path, _ = full
    overview, *units = pages_of(path)
    assert len(units) == 3
    assert (path.parent / "comparison.png").is_file()
    assert [section["data-layer"] for section in overview.all("section", **{"class": "layer"})] == [
        "fc8",
        "conv5",
        "fc7",
    ]
    house, conv, _ = overview.all("article")
    assert house["data-activation"] == "0.5 10.5 20.5"
    assert house["data-recognized"] == "0.5 0.5 0.5"
    assert conv["data-activation"] == "0.5 10.5 "
    assert [image["alt"].rpartition("by ")[2] for image in overview.all("img")[:5]] == [
        *("dgn_am · fc6", "dgn_am · pool5", "pixels", "dgn_am · fc6", "dgn_am · pool5")
    ]
    assert "pixels – 70% (best) 40% to 90% –" in overview.text
    assert "real images 99% –" in overview.text
    assert "A note." in overview.text


def test_a_units_page_shows_methods_and_priors_side_by_side(full):
    path, rows = full
    page = check(path.parent / "units" / "fc8-house.html")
    table = page.source.split('<table class="columns">')[1].split("</table>")[0]
    heads = table.split("</thead>")[0]
    assert heads.count('scope="col"') == 3
    assert heads.index("fc6") < heads.index("pool5") < heads.index("pixels")
    assert "1 of 2 recognized" in heads
    lines = table.split("<tbody>")[1].split("<tr>")[1:]
    assert [line.count('class="preferred"') for line in lines] == [3, 3]
    images = [image["src"] for image in page.all("img") if "/images/" in image["src"]]
    assert images == [f"../images/{number}/fc8-house-seed{seed}.png" for seed in (0, 1) for number in (0, 1, 2)]
    assert len(page.all("polyline")) == 6
    assert len(page.all("a", **{"class": "film"})) == 6
    assert "dgn_am · fc6 from 0 to 3.5 in 3 steps" in page.all("svg")[0]["aria-label"]
    numbers = page.source.split('<table class="all">')[1].split("</table>")[0]
    assert numbers.count("<tr>") == 1 + 6
    assert "nearest, pixels" in numbers
    assert sum(row.objective == "fc8:house" for row in rows) == 6


def test_a_method_that_did_not_show_a_unit_has_no_column_there(full):
    page = check(full[0].parent / "units" / "conv5-3@4,4.html")
    assert "pixels from" not in page.all("svg")[0]["aria-label"]
    assert 'scope="col" class="s2"' not in page.source


def test_real_images_are_whole_cropped_to_the_receptive_field_and_masked(full, flat_images):
    folder = full[0].parent
    page = check(folder / "units" / "conv5-3@4,4.html")
    shown = [folder / "units" / image["src"] for image in page.all("img") if "/real/" in image["src"]]
    whole, crop, masked = shown[-6:-3]
    real = (flat_images(31)[30] * 255).round().byte()
    assert torch.equal(read_image(whole), real)
    assert torch.equal(read_image(crop), real[:, 8:16, 0:9])  # what of the box is inside of the picture
    assert read_image(masked).shape == (3, 8, 9)
    assert read_image(masked).float().mean() < 0.6 * real.float().mean()  # the mask leaves out the box's rows
    assert 'style="left:0.0%;top:50.0%;width:56.25%;height:50.0%"' in page.source
    assert "5.00" in page.text
    assert "image 1" in page.text


def test_a_units_page_marks_its_top_images_on_the_map_and_shows_what_excites_it(tmp_path, flat_images, make_row):
    (image,) = flat_images(1)
    notes = {"fc8:house": UnitNotes([RealImage(image, "a house", 2.0, deconvolution=image - 0.5)])}
    places, tops = torch.tensor([[0.0, 0.0], [1.0, 1.0]]), {"fc8:house": torch.tensor([[0.5, 1.0]])}
    image_map = ImageMap("t-SNE", "fc7", flat_images(2), places, tops)
    rows = [make_row("fc8:house", "house", 0), make_row("fc8:cat", "cat", 0)]
    index = write_gallery(tmp_path, rows, flat_images(2), {}, "t", "python", units=notes, image_map=image_map)
    house, cat = check(tmp_path / "units" / "fc8-house.html"), check(tmp_path / "units" / "fc8-cat.html")
    (mark,) = [span["style"] for span in house.all("span") if "left:50.0%" in span.get("style", "")]
    assert mark == "left:50.0%;top:3.12%"
    assert house.all("img", alt="deconvolution:")
    assert "laid out by t-SNE of their codes in fc7" in house.text
    assert "Where these images lie" not in cat.text
    drawn = Image.open(index.parent / "real" / "map.png")
    assert [drawn.getpixel(at)[3] for at in ((20, 620), (620, 20), (20, 20))] == [255, 255, 0]


def test_preferred_images_of_hidden_units_are_shown_at_their_receptive_field_too(full, flat_images):
    path, rows = full
    page = check(path.parent / "units" / "conv5-3@4,4.html")
    place = next(i for i, row in enumerate(rows) if row.objective == "conv5:3@4,4")
    crop = next(image["src"] for image in page.all("img") if image["alt"] == "the part in the receptive field")
    expected = (flat_images(place + 1)[place] * 255).round().byte()[:, 2:10, 4:12]
    assert torch.equal(read_image(path.parent / "units" / crop), expected)


def test_facets_have_their_preferred_and_their_nearest_real_images(full):
    page = check(full[0].parent / "units" / "fc7-1.html")
    assert page.text.index("facet 1") < page.text.index("facet 2")
    alts = [image["alt"] for image in page.all("img")]
    assert "real image of facet 1: two" in alts
    assert "real image of facet 2: three" in alts
    assert "preferred image of fc7:1, facet 2, seed 1, by pixels" in alts


def test_a_real_image_is_written_once_however_often_it_is_shown(full):
    real = list((full[0].parent / "real").iterdir())
    whole = [p for p in real if read_image(p).shape == (3, 16, 16)]
    assert len(whole) == 1 + 4  # the nearest one of every row, and those of the units


def test_large_images_have_small_ones_on_the_page_and_stay_as_they_are(tmp_path, make_row):
    images = torch.rand(1, 3, 300, 400)
    path = write_gallery(tmp_path, [make_row()], images, {}, "Title", "command")
    (picture,) = check(path).all("img")
    assert picture["src"] == "thumbs/fc8-house-seed0.webp"
    assert Image.open(tmp_path / picture["src"]).size == (224, 168)
    assert torch.equal(read_image(tmp_path / "images/fc8-house-seed0.png"), (images[0] * 255).round().byte())
    unit = check(tmp_path / "units" / "fc8-house.html")
    assert unit.all("a", **{"class": "view"})[0]["href"] == "../images/fc8-house-seed0.png"


def test_methods_may_make_images_of_different_sizes(tmp_path, make_row):
    rows = [make_row(), make_row(method="pixels", image="images/other.png")]
    path = write_gallery(tmp_path, rows, [torch.rand(3, 32, 32), torch.rand(3, 48, 40)], {}, "Title", "command")
    pages_of(path)
    assert Image.open(tmp_path / "images/other.png").size == (40, 48)
    assert (tmp_path / "comparison.png").is_file()


def _page_of(objective: str) -> str:
    return image_name(objective, 0).replace("-seed0.png", ".html")
