"""A headless Chromium to open pages in, over the DevTools protocol through a pipe: nothing to install beside it."""

import base64
import json
import os
import select
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_FLAGS = (
    *("headless=new", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking"),
    *("disable-component-update", "disable-sync", "hide-scrollbars", "remote-debugging-pipe"),
    *("use-fake-device-for-media-stream", "use-fake-ui-for-media-stream"),
)


class Browser:
    """One page at a time. `console`: what the page complained of since it was opened."""

    def __init__(self, profile: Path) -> None:
        theirs, self._write = os.pipe()
        self._read, answers = os.pipe()
        # The browser reads commands from 3 and answers on 4, wherever our pipes' ends happen to be.
        script = f'exec "$@" 3<&{theirs} 4>&{answers}'
        flags = [f"--{flag}" for flag in (*_FLAGS, f"user-data-dir={profile}")]
        self._process = subprocess.Popen(
            ["bash", "-c", script, "sh", CHROMIUM, *flags, "about:blank"],
            pass_fds=(theirs, answers),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(theirs)
        os.close(answers)
        self._buffer, self._count, self._session = b"", 0, None
        self._events: list[dict[str, Any]] = []
        self.console: list[str] = []
        target = next(t for t in self.call("Target.getTargets")["targetInfos"] if t["type"] == "page")
        attached = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "Performance"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """A command of the protocol and its answer."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next(60)
            if answer.get("id") == self._count:
                assert "error" not in answer, answer["error"]
                return answer["result"]

    def size(self, width: int, height: int = 900, dark: bool = False, still: bool = False) -> None:
        """The window, and what its reader prefers."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip
        features = [("prefers-color-scheme", "dark" if dark else "light")]
        features += [("prefers-reduced-motion", "reduce" if still else "no-preference")]
        self.call("Emulation.setEmulatedMedia", features=[dict(name=n, value=v) for n, v in features])

    def open(self, path: Path, fragment: str = "") -> float:
        """Opens a file and waits until it is loaded; returns the seconds that took."""
        if self.eval("location.protocol") == "file:":  # another fragment alone would load nothing
            self.call("Page.navigate", url="about:blank")
            self.loaded()
        self.console, self._events = [], []
        began = time.perf_counter()
        self.call("Page.navigate", url=path.absolute().as_uri() + fragment)
        self.loaded()
        return time.perf_counter() - began

    def loaded(self) -> None:
        """Waits until a page has loaded."""
        while not any(event["method"] == "Page.loadEventFired" for event in self._events):
            self._next(60)
        self._events = []

    def eval(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def press(self, key: str) -> None:
        """A key: a letter, or a name such as ArrowRight, Enter, Tab, Escape."""
        codes = dict(Tab=9, Enter=13, Escape=27, ArrowLeft=37, ArrowRight=39, PageUp=33)
        text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
        key_code = codes.get(key, ord(key[0].upper()))
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, text=text, windowsVirtualKeyCode=key_code)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=key_code)

    def click(self, selector: str) -> None:
        """Clicks in the middle of the first such element, with the mouse."""
        box = self.eval(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)}); "
            "e.scrollIntoView({block: 'center', behavior: 'instant'}); const b = e.getBoundingClientRect(); "
            "return [b.x + b.width / 2, b.y + b.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left", clickCount=1)

    def screenshot(self, path: Path, whole: bool = False) -> None:
        taken = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(taken["data"]))

    def close(self) -> None:
        os.killpg(self._process.pid, signal.SIGTERM)
        self._process.wait(20)
        os.close(self._read)
        os.close(self._write)

    def _next(self, seconds: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            assert select.select([self._read], [], [], seconds)[0], "the browser does not answer"
            data = os.read(self._read, 1 << 20)
            assert data, "the browser has ended"
            self._buffer += data
        message, _, self._buffer = self._buffer.partition(b"\0")
        answer = json.loads(message)
        if "method" in answer:
            self._events.append(answer)
            self.console += _complaint(answer)
        return answer


def _complaint(event: dict[str, Any]) -> list[str]:
    params = event["params"]
    if event["method"] == "Runtime.exceptionThrown":
        return [str(params["exceptionDetails"])]
    if event["method"] == "Runtime.consoleAPICalled":
        return [str(params["args"])]
    if event["method"] == "Log.entryAdded":
        return [f"{params['entry']['text']} {params['entry'].get('url', '')}"]
    if event["method"] == "Network.loadingFailed" and not params.get("canceled"):
        return [f"not loaded: {params['errorText']}"]
    return []
