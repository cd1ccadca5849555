import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
import torch

from dgn.data.images import read_image
from dgn.report import write_gallery

HOSTILE = "</script><script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{ 7*7 }}&amp;"
LABELS = ("house", "ice cream", HOSTILE)
VOID = {"meta", "link", "img", "input", "br"}


class Page(HTMLParser):
    """Tags with their attributes, the text outside scripts and styles, and whether every tag is closed."""

    def __init__(self, text: str):
        super().__init__()
        self.tags, self.text, self.open = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not set(self.open) & {"script", "style"}:
            self.text.append(data)

    def all(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture
def gallery(tmp_path, flat_images, make_row) -> Path:
    rows = [make_row(f"fc8:{label}", label, seed) for label in LABELS for seed in (0, 1)]
    settings = dict(target=dict(name="caffenet"), prior="fc6.safetensors", method=dict(steps=200), note=HOSTILE)
    command = f"python visualize.py note={HOSTILE!r}"
    return write_gallery(tmp_path, rows, flat_images(6), settings, HOSTILE, command)


def test_a_run_folder_holds_page_sheet_tables_and_one_png_an_image(gallery, flat_images):
    folder = gallery.parent
    assert sorted(path.name for path in folder.iterdir()) == [
        *("contact_sheet.png", "images", "index.html", "results.csv", "results.json")
    ]
    results = json.loads((folder / "results.json").read_text())["results"]
    assert len(list((folder / "images").iterdir())) == 6
    for result, image in zip(results, flat_images(6), strict=True):
        assert torch.equal(read_image(folder / result["image"]), (image * 255).round().byte())


def test_every_picture_exists_is_described_and_loads_when_seen(gallery):
    pictures = [image for image in Page(gallery.read_text()).all("img") if "src" in image]
    assert len(pictures) == 6
    for image in pictures:
        assert (gallery.parent / unquote(image["src"])).is_file()
        assert image["loading"] == "lazy"
        assert int(image["width"]) == int(image["height"]) == 112
    assert pictures[0]["alt"] == "preferred image of fc8:house, seed 0"
    assert pictures[5]["alt"] == f"preferred image of fc8:{HOSTILE}, seed 1"


def test_links_lead_to_files_of_the_run_and_nothing_comes_from_elsewhere(gallery):
    text = gallery.read_text()
    page = Page(text)
    for link in page.all("a"):
        assert (gallery.parent / unquote(link["href"])).is_file()
    assert not re.search(r"https?:|//[\w.]+/|url\(|@import", text)
    assert not any("src" in script for script in page.all("script"))


def test_labels_title_settings_and_command_are_text_and_never_markup(gallery):
    page = Page(gallery.read_text())
    assert len(page.all("script")) == 1
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    text = "".join(page.text)
    assert text.count(HOSTILE) >= 4  # title twice, card, setting; the command quotes it
    assert repr(HOSTILE) in text
    assert f"{HOSTILE.lower()} fc8" in page.all("article")[2]["data-text"]


def test_the_page_says_what_is_shown(gallery):
    text = " ".join("".join(Page(gallery.read_text()).text).split())
    assert "Images that 3 units of fc8 in caffenet prefer, 2 each, found by dgn_am in 200 steps" in text
    assert "through the prior fc6.safetensors." in text
    assert "recognized by the judge100%" in text  # a term and its description
    assert "median percentile99.2 " in text
    assert "method.steps200" in text


def test_what_was_not_measured_is_left_out(tmp_path, flat_images, make_row):
    unknown = dict(percentile=None, judge_label="", judge_probability=None, recognized=None, activation=float("nan"))
    path = write_gallery(tmp_path, [make_row(**unknown)], flat_images(1), {}, "Title", "python visualize.py")
    page = Page(path.read_text())
    text = "".join(page.text)
    assert "judge" not in text
    assert "percentile" not in text
    assert "None" not in text
    assert "nan" not in text
    assert page.all("article")[0]["data-percentile"] == ""


def test_units_may_have_different_numbers_of_images_in_any_order(tmp_path, flat_images, make_row):
    rows = [make_row("fc8:0", "a"), make_row("fc8:1", "b"), make_row("fc8:0", "a", seed=1)]
    page = Page(write_gallery(tmp_path, rows, flat_images(3), {}, "Title", "command").read_text())
    assert len(page.all("article")) == 2
    assert [image["alt"][-13:] for image in page.all("img")[:3]] == ["fc8:0, seed 0", "fc8:0, seed 1", "fc8:1, seed 0"]


def test_two_methods_of_one_unit_are_two_cards(tmp_path, flat_images, make_row):
    rows = [make_row(), make_row(method="pixels", image="images/other.png")]
    page = Page(write_gallery(tmp_path, rows, flat_images(2), {}, "Title", "command").read_text())
    assert [card["data-text"].split()[-1] for card in page.all("article")] == ["dgn_am", "pixels"]


chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
in_browser = pytest.mark.skipif(chromium is None, reason="there is no Chromium here to open the page with")


def opened(address: str, profile: Path) -> tuple[Page, str]:
    """The page as the browser has it after its script ran, and what it wrote to the console."""
    quiet = "no-sandbox disable-gpu disable-quic no-first-run disable-background-networking disable-component-update"
    flags = [f"--{flag}" for flag in (*quiet.split(), "disable-sync", "headless", "dump-dom", "enable-logging=stderr")]
    done = subprocess.run(
        [chromium, *flags, f"--user-data-dir={profile}", address], capture_output=True, text=True, timeout=60
    )
    console = "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)
    return Page(done.stdout), console


@in_browser
def test_the_address_filters_and_sorts_in_a_browser_without_complaint(tmp_path, flat_images, make_row):
    rows = [make_row(f"fc8:{i}", f"boat {i}" if i % 2 else "house", activation=float(i)) for i in range(6)]
    path = write_gallery(tmp_path / "run", rows, flat_images(6), {}, HOSTILE, "command")
    page, console = opened(f"{path.as_uri()}#q=BOAT&sort=activation", tmp_path / "profile")
    assert console == ""
    shown = [card["data-text"][:6] for card in page.all("article") if "hidden" not in card]
    assert shown == ["boat 5", "boat 3", "boat 1"]
    assert "3 of 6 units" in "".join(page.text)
