"""The pages as a reader has them: opened, filtered, sorted, walked through by keyboard, on a phone and in the dark."""

import math
from urllib.parse import unquote

import pytest
import torch
from browser import CHROMIUM, Browser
from PIL import Image

from dgn.report import Comparison, Contender, Metric, RealImage, Trace, UnitNotes, image_name, write_gallery

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here to open pages with")
WAYS = (("dgn_am", "fc6"), ("pixels", ""), ("olah2017", ""), ("mfv2016", ""))
LABELS = ("house", "boat 1", "boat 2", "<b>cat</b> & 'dog'", "tree", "Boat 10")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def gallery(tmp_path_factory, flat_images, make_row):
    """Six units of fc8 and two of conv5, two methods, two seeds, with everything that pages show."""
    folder = tmp_path_factory.mktemp("run")
    rows, traces = [], []
    for number, label in enumerate([*LABELS, "", ""]):
        objective = f"fc8:{number}" if label else f"conv5:{number}@4,4"
        for way, (method, prior) in enumerate(WAYS):
            for seed in (0, 1):
                image = f"images/{way}/{image_name(objective, seed)}"
                activation = float(10 * way + (number * 5) % 7)
                recognized = (number + way) % 2 == 0 if label else None
                row = dict(activation=activation, recognized=recognized, image=image, method=method, prior=prior)
                rows.append(make_row(objective, label, seed, **row))
                near = [RealImage(flat_images(1)[0], "pixels", distance=1.0)]
                curve = [activation * (1 - math.exp(-step / 20)) for step in range(100)]
                film = f"films/{len(rows)}.gif"
                (folder / "films").mkdir(exist_ok=True)
                Image.new("RGB", (32, 32), (len(rows), 0, 0)).save(folder / film)
                traces.append(Trace(curve, near, film, None if label else (2, 2, 12, 12)))
    real = [RealImage(image, "a real one", 5.0, box=(1, 1, 9, 9)) for image in flat_images(3)]
    figures = {"recognized": type("Figure", (), dict(value=0.5, low=0.25, high=0.75))()}
    comparison = Comparison([Metric("recognized", percent=True)], [Contender(m, p, figures) for m, p in WAYS])
    units = {row.objective: UnitNotes(real) for row in rows}
    command = "python visualize.py 'method=[dgn_am,pixels]'"
    return write_gallery(
        *(folder, rows, flat_images(len(rows)), dict(prior="fc6.safetensors"), "What it prefers", command),
        **dict(traces=traces, units=units, comparison=comparison),
    )


def shown(browser) -> list[str]:
    return browser.eval(
        "[...document.querySelectorAll('article')].filter(card => card.offsetParent)"
        ".map(card => card.querySelector('a').textContent)"
    )


def type_in(browser, text: str) -> None:
    for letter in text:
        browser.press(letter)


def test_pages_and_all_their_pictures_load_without_errors(browser, gallery):
    browser.size(1200, 3000)
    for page in (gallery, *sorted((gallery.parent / "units").iterdir())):
        browser.open(page)
        browser.eval("Promise.all([...document.images].map(i => (i.loading = 'eager', i.decode())))")
        assert browser.console == []
        assert browser.eval("document.images.length") >= 8
        assert browser.eval("[...document.images].every(i => i.naturalWidth > 0 && i.alt)")


def test_a_page_that_lacks_a_picture_would_be_noticed(browser, tmp_path):
    (tmp_path / "broken.html").write_text("<!doctype html><img src=missing.png><script>nothing()</script>")
    browser.open(tmp_path / "broken.html")
    assert any("missing.png" in line or "not loaded" in line for line in browser.console)
    assert any("nothing is not defined" in line for line in browser.console)


def test_the_filter_is_reached_by_key_and_leaves_what_has_the_words(browser, gallery):
    browser.size(1200)
    browser.open(gallery)
    assert len(shown(browser)) == 8
    browser.press("/")
    type_in(browser, "BOAT 1")
    assert shown(browser) == ["boat 1", "Boat 10"]
    assert browser.eval("document.getElementById('count').value") == "2 of 8 units"
    assert browser.eval("location.hash") == "#q=BOAT+1"
    browser.press("Escape")
    assert len(shown(browser)) == 8
    type_in(browser, "<b>")
    assert shown(browser) == ["<b>cat</b> & 'dog'"]
    browser.press("Escape")
    type_in(browser, "nowhere")
    assert shown(browser) == []
    assert browser.eval("document.getElementById('none').offsetParent !== null")


def choose(browser, control: str, value: str) -> None:
    browser.eval(
        f"(() => {{ const s = document.getElementById('{control}'); s.value = '{value}'; "
        "s.dispatchEvent(new Event('change')); })()"
    )


def test_units_are_chosen_by_layer_and_verdict_and_sorted_by_label_and_value(browser, gallery):
    browser.open(gallery)
    choose(browser, "layer", "conv5")
    assert shown(browser) == ["conv5:6@4,4", "conv5:7@4,4"]
    choose(browser, "layer", "fc8")
    choose(browser, "sort", "label")
    assert shown(browser) == ["<b>cat</b> & 'dog'", "boat 1", "boat 2", "Boat 10", "house", "tree"]
    choose(browser, "sort", "activation")  # 0 5 3 1 6 4 of the first method
    assert shown(browser) == ["tree", "boat 1", "Boat 10", "boat 2", "<b>cat</b> & 'dog'", "house"]
    browser.click("#order")
    assert shown(browser)[0] == "house"
    choose(browser, "verdict", "all")
    assert shown(browser) == ["house", "boat 2", "tree"]
    choose(browser, "column", "1")
    assert shown(browser) == ["<b>cat</b> & 'dog'", "Boat 10", "boat 1"]
    state = browser.eval("location.hash")
    browser.open(gallery, state)
    assert shown(browser) == ["<b>cat</b> & 'dog'", "Boat 10", "boat 1"]


def here(browser) -> str:
    return unquote(browser.eval("location.pathname")).rpartition("/")[2]


def test_a_unit_is_opened_by_click_and_by_keyboard_and_the_way_back_keeps_the_view(browser, gallery):
    browser.size(1200)
    browser.open(gallery, "#q=boat")
    browser.click("article:nth-of-type(2) .strip")  # the whole card leads there
    browser.loaded()
    assert here(browser) == "fc8-1.html"
    browser.press("u")
    browser.loaded()
    assert browser.eval("location.hash") == "#q=boat"
    assert shown(browser) == ["boat 1", "boat 2", "Boat 10"]
    browser.eval("document.getElementById('order').focus()")
    for _ in range(2):
        browser.press("Tab")
    assert browser.eval("document.activeElement.textContent") == "boat 2"
    assert browser.eval("getComputedStyle(document.activeElement.closest('article')).outlineStyle") == "solid"
    browser.press("Enter")
    browser.loaded()
    assert here(browser) == "fc8-2.html"
    assert browser.console == []


def test_the_arrows_go_from_unit_to_unit(browser, gallery):
    browser.open(gallery.parent / "units" / "fc8-0.html")
    browser.press("ArrowLeft")  # there is none before
    assert here(browser) == "fc8-0.html"
    for expected in ("fc8-1.html", "fc8-2.html"):
        browser.press("ArrowRight")
        browser.loaded()
        assert here(browser) == expected
    browser.press("ArrowLeft")
    browser.loaded()
    assert here(browser) == "fc8-1.html"


def test_a_picture_is_seen_large_and_the_arrows_then_go_through_the_pictures(browser, gallery):
    browser.size(1200)
    browser.open(gallery.parent / "units" / "fc8-1.html")
    state = "[viewer.open, large.firstChild?.getAttribute('alt') ?? '', large.firstChild?.width ?? 0]"
    browser.click("a.view")
    browser.eval("large.firstChild.decode().then(() => new Promise(requestAnimationFrame))")
    opened, alt, width = browser.eval(state)
    assert opened
    assert alt == "preferred image of fc8:1 (boat 1), seed 0, by dgn_am · fc6"
    assert width % 16 == 0  # a whole multiple of its pixels
    assert width > 300
    assert "house" in browser.eval("caption.textContent")  # what the judge says
    browser.press("ArrowRight")
    opened, alt, _ = browser.eval(state)
    assert alt == "the search for the preferred image of fc8:1 (boat 1), seed 0, by dgn_am · fc6, step by step"
    assert browser.eval("large.firstChild.src").endswith("films/9.gif")
    assert here(browser) == "fc8-1.html"
    browser.press("Escape")
    assert browser.eval(state)[0] is False
    browser.eval("new Promise(done => setTimeout(done, 100))")  # the page hears of the closing after it
    assert browser.eval("document.activeElement.className") == "view film"
    assert browser.console == []


def test_a_large_picture_fits_a_phone(browser, gallery):
    browser.size(390, 844)
    browser.open(gallery.parent / "units" / "fc8-1.html")
    browser.click("a.view")
    for _ in range(3):  # the picture, its film, its nearest real image
        browser.eval("large.firstChild.decode().then(() => new Promise(requestAnimationFrame))")
        left, right, bottom = browser.eval("(b => [b.left, b.right, b.bottom])(viewer.getBoundingClientRect())")
        assert 0 <= left < right <= 390
        assert bottom <= 844
        browser.press("ArrowRight")


def test_the_curve_of_a_picture_stands_out_when_the_picture_is_focused(browser, gallery):
    browser.open(gallery.parent / "units" / "fc8-1.html")
    browser.eval("document.querySelectorAll('.preferred a.view')[0].focus()")
    one = "[...document.querySelectorAll('polyline.one')].map(line => line.dataset.line)"
    assert browser.eval(one) == [browser.eval("document.querySelector('.preferred').dataset.line")]


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [320, 390, 1440])
def test_nothing_is_wider_than_the_window_and_text_stands_out_in_light_and_dark(browser, gallery, width, dark):
    browser.size(width, dark=dark)
    for page in (gallery, gallery.parent / "units" / "fc8-1.html", gallery.parent / "units" / "conv5-6@4,4.html"):
        browser.open(page)
        assert browser.eval("document.documentElement.scrollWidth") <= width
        widths = browser.eval("[...document.querySelectorAll('a.view > img[data-natural]')].map(i => i.width)")
        assert all(shown_at >= 100 for shown_at in widths)
        pairs = browser.eval(
            "[...document.querySelectorAll('h1, h1 span, h2, p, a, td, th, small, figcaption, figcaption span, button, "
            "dt, li')].filter(e => e.innerText?.trim()).map(e => [getComputedStyle(e).color, "
            "getComputedStyle(e.closest('button, pre') ?? document.body).backgroundColor])"
        )
        assert len(pairs) > 30
        for text, paper in {tuple(pair) for pair in pairs}:
            assert contrast(text, paper) >= 4.5, (text, paper)
        assert (luminance(pairs[0][1]) < 0.1) is dark


def contrast(one: str, other: str) -> float:
    """Of two CSS colours (WCAG 2.1)."""
    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    red, green, blue = (int(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3])
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (red, green, blue)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_reduced_motion_disables_animations(browser, gallery):
    for still, expected in ((False, "smooth"), (True, "auto")):
        browser.size(1200, still=still)
        browser.open(gallery)
        assert browser.eval("getComputedStyle(document.documentElement).scrollBehavior") == expected
    browser.size(1200)


def test_a_thousand_units_open_without_stalling(browser, tmp_path, make_row, monkeypatch):
    """Only what is near the window is loaded and laid out, so a thousand units cost little more than those seen."""
    monkeypatch.setattr("os.fsync", lambda _: None)
    monkeypatch.setattr("dgn.report.sheets.save_contact_sheet", lambda *_, **__: None)  # it has tests of its own
    rows = [make_row(f"fc8:{i}", f"class {i}", seed) for i in range(1000) for seed in range(4)]
    path = write_gallery(tmp_path, rows, torch.rand(4000, 3, 8, 8), {}, "A thousand", "python visualize.py")
    browser.size(1440, 900)
    browser.open(tmp_path / "units" / "fc8-999.html")
    seconds = browser.open(path)
    assert browser.console == []
    loaded = browser.eval("[...document.images].filter(i => i.complete && i.naturalWidth).length")
    assert 0 < loaded < 400
    assert browser.eval("document.querySelectorAll('*').length") < 20_000
    assert seconds < 20  # about 1 s, on a machine that does nothing else
    metrics = {m["name"]: m["value"] for m in browser.call("Performance.getMetrics")["metrics"]}
    assert metrics["LayoutDuration"] < 2
    browser.press("/")
    type_in(browser, "class 777")
    assert shown(browser) == ["class 777"]
