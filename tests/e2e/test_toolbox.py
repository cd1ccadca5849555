"""The live page as a person uses it: the real application, in a headless browser."""

import copy
import importlib.util
import json
import select
import shutil
import signal
import socket
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

_BROWSER = Path(__file__).parents[1] / "report" / "browser.py"
_SPEC = importlib.util.spec_from_file_location("toolbox_browser", _BROWSER)
browsers = importlib.util.module_from_spec(_SPEC)
sys.modules["toolbox_browser"] = browsers
_SPEC.loader.exec_module(browsers)

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(browsers.CHROMIUM is None, reason="there is no Chromium here to open the toolbox with"),
    pytest.mark.skipif(importlib.util.find_spec("nicegui") is None, reason="the extra `toolbox` is not installed"),
]
TILES = "document.querySelectorAll('[data-layer]').length"
DONE = "[...document.querySelectorAll('.contest .live figcaption')].filter(e => e.textContent.includes('6 of 6'))"
NOTIFIED = "[...document.querySelectorAll('.q-notification__message')].map(e => e.textContent).join('|')"


class Page:
    """The toolbox in a browser of its own."""

    def __init__(self, profile: Path, address: str) -> None:
        self.browser = browsers.Browser(profile)
        self.browser.size(1300)
        self.browser.call("Page.navigate", url=address)
        self.wait(f"{TILES} > 20")

    def wait(self, condition: str, seconds: float = 60) -> None:
        """Waits until a JavaScript expression is true."""
        until = time.monotonic() + seconds
        while not self.browser.eval(f"!!({condition})"):
            assert time.monotonic() < until, f"{condition} did not become true; notified: {self.browser.eval(NOTIFIED)}"
            time.sleep(0.05)

    def tab(self, name: str) -> None:
        self.browser.eval(f"[...document.querySelectorAll('[role=tab]')].find(t => t.textContent == {name!r}).click()")
        self.wait(f"document.querySelector('[role=tab][aria-selected=true]').textContent == {name!r}")

    def press_button(self, text: str, inside: str = "body") -> None:
        self.browser.eval(
            f"[...document.querySelectorAll({inside + ' button'!r})]"
            f".find(b => b.textContent.includes({text!r}) && b.offsetParent).click()"
        )

    def type_into(self, label: str, text: str) -> None:
        self.browser.eval(f"document.querySelector({f'input[aria-label={json.dumps(label)}]'!r}).select()")
        self.browser.eval(f"document.querySelector({f'input[aria-label={json.dumps(label)}]'!r}).focus()")
        self.browser.call("Input.insertText", text=text)

    def text(self, selector: str) -> str:
        return self.browser.eval(f"document.querySelector({selector!r})?.textContent ?? ''")

    def source(self, selector: str) -> str:
        return self.browser.eval(f"document.querySelector({selector!r}).src")

    def give(self, how: str, selector: str, kind: str = "image/png", colour: str = "red") -> None:
        """Drops or pastes a file on an element, as the browser does: a picture of a colour, or text."""
        self.browser.eval(
            f"""(async () => {{
                const canvas = Object.assign(document.createElement("canvas"), {{ width: 40, height: 30 }});
                const pen = canvas.getContext("2d");
                pen.fillStyle = {colour!r};
                pen.fillRect(0, 0, 40, 30);
                const drawn = await new Promise((done) => canvas.toBlob(done));
                const file = new File([{kind!r} === "image/png" ? drawn : "text"], "own.png", {{ type: {kind!r} }});
                const data = new DataTransfer();
                data.items.add(file);
                const about = {{ bubbles: true, cancelable: true }};
                const event = {how!r} === "paste" ? new ClipboardEvent("paste", {{ ...about, clipboardData: data }})
                    : new DragEvent("drop", {{ ...about, dataTransfer: data }});
                document.querySelector({selector!r}).dispatchEvent(event);
            }})()"""
        )

    def colour(self, selector: str) -> list[int]:
        """The mean colour of an image on the page, 0 to 255."""
        return self.browser.eval(
            f"""(async () => {{
                const image = document.querySelector({selector!r});
                await image.decode();
                const canvas = Object.assign(document.createElement("canvas"), {{ width: 1, height: 1 }});
                const pen = canvas.getContext("2d");
                pen.drawImage(image, 0, 0, 1, 1);
                return [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3);
            }})()"""
        )

    def choose(self, selector: str, option: str) -> None:
        """Chooses an option of a select, given as a JavaScript expression of `items`."""
        self.browser.click(selector)
        find = (
            f"(items => items.find(e => e.textContent == {option}))([...document.querySelectorAll('.q-menu .q-item')])"
        )
        self.wait(find)
        self.browser.eval(f"{find}.click()")
        self.wait("!document.querySelector('.q-menu')")

    def slide(self, selector: str) -> None:
        """Moves a slider to its end by the keyboard."""
        handle = f"{selector}[tabindex='0'], {selector} [tabindex='0']"
        self.browser.eval(f"document.querySelector({json.dumps(handle)}).focus()")
        for _ in range(6):
            self.browser.press("PageUp")

    def settle(self, selector: str) -> None:
        """Waits until a picture has stayed the same for a second."""
        before = None
        while (now := self.source(selector)) != before:
            before = now
            time.sleep(1)

    def give_file(self, path: Path) -> None:
        root = self.browser.call("DOM.getDocument")["root"]["nodeId"]
        node = self.browser.call("DOM.querySelector", nodeId=root, selector="#file")["nodeId"]
        self.browser.call("DOM.setFileInputFiles", nodeId=node, files=[str(path)])


@pytest.fixture(scope="module")
def address(trained, tmp_path_factory):
    user, prior, _ = trained
    second = tmp_path_factory.mktemp("second") / "prior.safetensors"
    shutil.copy(prior, second)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("toolbox")
    asked = (f"prior=[{prior},{second}]", f"port={port}", "show=false", "threads=1", "reference_images=16", "steps=6")
    user = copy.copy(user)
    # NiceGUI serves otherwise where it believes to run inside pytest.
    user.environment = {key: value for key, value in user.environment.items() if not key.startswith("PYTEST")}
    process = user.start("toolbox.py", *asked, "methods=[pixels]", f"hydra.run.dir={folder}")
    line = ""
    while "http://127.0.0.1" not in line:  # the log comes first
        if not select.select([process.stdout], [], [], 120)[0] or not (line := process.stdout.readline()):
            process.kill()
            pytest.fail(process.stderr.read())
    yield line.split()[4], folder
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=20)
    assert "Traceback" not in output + errors
    assert (output + errors).count("An event dgn_") == 4
    assert errors.strip().splitlines()[-1] == f"the toolbox was stopped; its galleries are in {folder}"


@pytest.fixture(scope="module")
def page(address, tmp_path_factory):
    page = Page(tmp_path_factory.mktemp("profile"), address[0])
    yield page
    page.browser.close()


def test_the_page_shows_all_layers_and_loads_nothing_from_elsewhere(page):
    layers = page.browser.eval("[...new Set([...document.querySelectorAll('[data-layer]')].map(e => e.dataset.layer))]")
    assert layers == [f"conv{i}" for i in range(1, 6)] + ["fc6", "fc7", "fc8"]
    urls = page.browser.eval("performance.getEntriesByType('resource').map(e => e.name)")
    assert urls
    assert all(url.startswith(("http://127.0.0.1:", "data:", "blob:")) for url in urls)


def test_a_channel_is_chosen_by_keyboard_and_searched(page):
    page.browser.eval("document.querySelector('[data-layer=conv4]').focus()")
    page.browser.press("ArrowRight")
    page.browser.press("Enter")
    page.wait("document.querySelector('.detail h2').textContent.startsWith('conv4:')")
    page.wait("document.querySelector('.detail .live figcaption').textContent.includes('step 6 of 6')")
    page.wait("document.querySelectorAll('.real img').length == 6")
    shown = page.source(".detail > img")
    page.press_button("saliency", ".detail")
    page.wait(f"document.querySelector('.detail > img').src != {shown!r}")


def test_images_are_given_and_bad_ones_are_one_line(page, tmp_path):
    Image.new("RGB", (30, 20), "green").save(tmp_path / "green.png")
    before = page.source("#shown")
    page.give_file(tmp_path / "green.png")
    page.wait(f"document.querySelector('#shown').src != {before!r}")
    (tmp_path / "bad.png").write_text("no image")
    page.give_file(tmp_path / "bad.png")
    page.wait(f"{NOTIFIED}.includes('bad.png is not an image, or damaged, or too large; give a JPEG or PNG')")
    before = page.source("#shown")
    page.press_button("▶")
    page.wait(
        f"document.querySelector('.doodles input').value == '1' && document.querySelector('#shown').src != {before!r}"
    )


def test_a_number_without_a_doodle_is_one_line(page):
    page.type_into("doodle", "1e20")
    page.wait(f"{NOTIFIED}.includes('doodle 1e+20: give a number from 0 to 2147483647')")
    before = page.source("#shown")
    page.type_into("doodle", "2")
    page.wait(f"document.querySelector('#shown').src != {before!r}")


def test_what_a_page_is_made_to_send_changes_nothing(page):
    chosen, shown = page.text(".detail h2"), page.source("#shown")
    for sent in ("'dgn_channel', 'conv1'", "'dgn_channel', null", "'dgn_picture', {url: 5}", "'dgn_other', [1]"):
        page.browser.eval(f"emitEvent({sent})")
    page.press_button("▶")  # which comes after them
    page.wait(f"document.querySelector('#shown').src != {shown!r}")
    assert page.text(".detail h2") == chosen


def test_images_are_dropped_and_pasted(page):
    for how, colour, wanted in (("paste", "blue", [0, 0, 255]), ("drop", "lime", [0, 255, 0])):
        before = page.source("#shown")
        page.give(how, "body", colour=colour)
        page.wait(f"document.querySelector('#shown').src != {before!r}")
        assert max(abs(a - b) for a, b in zip(page.colour("#shown"), wanted, strict=True)) < 8  # JPEG
    before = page.source("#shown")
    page.give("drop", "body", kind="text/plain")
    page.wait(f"{NOTIFIED}.includes('own.png is not an image, or damaged, or too large; give a JPEG or PNG')")
    page.browser.eval(
        "document.body.dispatchEvent(new DragEvent('drop', "
        "{ bubbles: true, cancelable: true, dataTransfer: new DataTransfer() }))"
    )
    page.wait(f"{NOTIFIED}.includes('what was dropped is not an image')")
    assert page.source("#shown") == before


def test_the_chosen_channel_is_shown_in_each_further_image(page):
    page.press_button("map", ".detail")
    chosen = page.text(".detail h2")
    for colour in ("black", "white", "orange"):  # it is not among the strongest in all of them
        before = page.source(".detail > img")
        page.give("drop", "body", colour=colour)
        page.wait(f"document.querySelector('.detail > img').src != {before!r}")
    assert page.text(".detail h2") == chosen


def test_the_camera_is_looked_at(page):
    before = page.source("#shown")
    page.browser.eval("document.querySelector('#camera').click()")
    page.wait(f"document.querySelector('#shown').src != {before!r}")
    first = page.source("#shown")
    page.wait(f"document.querySelector('#shown').src != {first!r}")  # it goes on
    page.browser.eval("document.querySelector('#camera').click()")
    page.wait("document.querySelector('#camera').getAttribute('aria-pressed') == 'false'")


def test_two_methods_are_compared_and_kept_and_exported(page, address):
    page.tab("Search")
    page.type_into("objective", "fc9:1")
    page.press_button("Search", "main")
    page.wait(f"{NOTIFIED}.includes(\"no layer 'fc9'\")")
    page.type_into("objective", "fc8:1+0.5*fc8:2")
    page.choose(".contest section:nth-child(2) .q-field", "'pixels'")
    page.press_button("Search", "main")
    page.wait(f"{DONE}.length == 2")
    page.press_button("Keep", ".contest")
    page.tab("Codes")
    page.wait("document.querySelector('.codes img').src.startsWith('data:image')")
    before = page.source(".codes img")
    page.slide(".codes .q-slider")
    page.wait(f"document.querySelector('.codes img').src != {before!r}")
    page.press_button("Keep", ".codes")
    page.tab("Notebook")
    page.wait("document.querySelectorAll('.found figure').length == 2")
    page.press_button("Export")
    page.wait("document.querySelector('.exported a')")
    (run,) = (path for path in address[1].iterdir() if path.is_dir())
    commands = (run / "commands.txt").read_text().splitlines()
    assert commands[0].startswith("# ")  # which picture it makes
    assert "units=fc8:1+0.5*fc8:2" in commands[1]
    assert "method=dgn_am_short" in commands[1]  # the prior has no code model
    assert (run / "index.html").is_file()
    assert len(list((run / "codes").glob("*.npy"))) == 1


def test_two_priors_climb_side_by_side(page):
    page.tab("Search")
    second = ".contest section:nth-child(2) .q-select"
    page.choose(f"{second}:has(input[aria-label='compare with'])", "'dgn_am_short'")
    page.choose(f"{second}:has(input[aria-label=prior])", "items.at(-1).textContent")
    page.type_into("seed", "3")
    before = [page.source(f".contest section:nth-child({side}) img") for side in (1, 2)]
    page.press_button("Search", "main")
    now = "[...document.querySelectorAll('.contest img')].map(e => e.src)"
    page.wait(f"{now}.every((src, i) => src != {before}[i]) && {DONE}.length == 2")
    for side in (1, 2):
        page.press_button("Keep", f".contest section:nth-child({side})")
    page.tab("Notebook")
    page.wait("document.querySelectorAll('.found figure').length == 4")
    commands = page.browser.eval("[...document.querySelectorAll('.found code')].slice(2).map(e => e.textContent)")
    first, second = (next(word for word in c.split() if word.startswith("prior=")) for c in commands)
    assert first != second


def test_a_code_goes_to_another_image(page):
    page.tab("Codes")
    page.wait("document.querySelector('.codes img').src.startsWith('data:image')")
    alone, before = page.source(".codes img"), page.source("#other")
    page.give("drop", "[data-slot=other]", colour="blue")
    page.wait(f"document.querySelector('#other').src != {before!r}")
    assert max(abs(a - b) for a, b in zip(page.colour("#other"), [0, 0, 255], strict=True)) < 8
    page.slide(".other .q-slider")
    page.wait(f"document.querySelector('.codes img').src != {alone!r}")
    page.settle(".codes img")  # there are pictures of the places on the slider's way
    page.press_button("Keep", ".codes")
    page.tab("Notebook")
    page.wait("document.querySelectorAll('.found figure').length == 5")
    assert "1 towards own.png" in page.text(".found figure:last-child figcaption")


def test_a_search_is_stopped(page):
    page.tab("Search")
    page.type_into("steps", "2000")
    page.press_button("Search", "main")
    captions = "[...document.querySelectorAll('.contest .live figcaption')]"
    page.wait(f"{captions}.some(e => /step [1-9]\\d* of 2000/.test(e.textContent))")
    page.press_button("Stop", ".asked")
    stops = "[...document.querySelectorAll('.contest button')].filter(b => b.textContent == 'Stop' && b.offsetParent)"
    page.wait(f"{stops}.length == 0")


def test_what_was_kept_is_there_when_the_page_is_loaded_again(page):
    page.tab("Notebook")
    kept = page.browser.eval("document.querySelectorAll('.found figure').length")
    assert kept
    page.browser.call("Page.reload")
    page.wait("document.readyState == 'complete'")
    page.wait(f"{TILES} > 20")
    page.tab("Notebook")
    assert page.browser.eval("document.querySelectorAll('.found figure').length") == kept
    page.tab("See")


def test_a_second_session_has_its_own_state(page, address, tmp_path):
    other = Page(tmp_path, address[0])
    try:
        page.tab("See")
        page.wait("document.querySelector('#shown')")
        shown, named = page.source("#shown"), page.text(".detail h2")
        other.press_button("▶")
        other.wait("document.querySelector('.doodles input').value == '1'")
        other.browser.eval("document.querySelector('[data-layer=conv2]').click()")
        other.wait("document.querySelector('.detail h2').textContent.startsWith('conv2:')")
        assert (page.source("#shown"), page.text(".detail h2")) == (shown, named)
        other.tab("Notebook")
        assert other.browser.eval("document.querySelectorAll('.found figure').length") == 0
        other.browser.size(390, 844, dark=True)
        other.tab("See")
        assert other.browser.eval("document.documentElement.scrollWidth") <= 390  # nothing sticks out of a phone
        assert other.browser.eval("getComputedStyle(document.body).backgroundColor") == "rgb(21, 21, 23)"
        assert other.browser.console == []
    finally:
        other.browser.close()
    page.tab("Notebook")
    page.wait("document.querySelectorAll('.found figure').length == 5")
    assert page.browser.console == []
