"""How many images the toolbox looks at in a second, for the embedded networks.

    python benchmarks/toolbox.py [--images 40]
    python benchmarks/toolbox.py --browser [--seconds 10]

Weights are random, which changes nothing of the speed. The first counts processor time of the page's own path
(decoding, all layers, the pictures of all tiles) and prints the median of five rounds; other programs on the machine do
not change it much. The second starts the application with one thread, opens it in a headless Chromium that has a fake
camera, and counts the images of which all layers appear on the page; the browser's own work is included, and both share
the machine's processors.
"""

import argparse
import contextlib
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from dgn.networks.zoo import mini_caffenet, mini_resnet
from dgn.toolbox.pictures import data_url, from_data_url
from dgn.toolbox.see_panel import layers_as_html
from dgn.toolbox.workbench import Workbench

ROOT = Path(__file__).resolve().parents[1]
NETWORKS = {"mini_caffenet": mini_caffenet, "mini_resnet": mini_resnet}


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--browser", action="store_true")
    parser.add_argument("--seconds", type=float, default=10)
    given = parser.parse_args()
    for name in NETWORKS:
        if given.browser:
            print(f"{name}: {rate_in_browser(name, given.seconds):.1f} images per second in the browser", flush=True)
        else:
            rates = rates_of_processor(name, given.images)
            print(
                f"{name}: {statistics.median(rates):.1f} images per second of a processor "
                f"({min(rates):.1f} to {max(rates):.1f})"
            )


def rates_of_processor(name: str, images: int) -> list[float]:
    """Returns images per second of processor time, in five rounds."""
    torch.set_num_threads(1)
    bench = Workbench(NETWORKS[name](classes=16), {}, {}, {}, None, None, Path("."))
    sent = [data_url(bench.example(index)) for index in range(images)]
    rates = []
    for _ in range(5):
        began = time.process_time()
        for url in sent:
            layers_as_html(bench.look(from_data_url(url)), None, bench)
        rates.append(images / (time.process_time() - began))
    return rates


def rate_in_browser(name: str, seconds: float) -> float:
    """Returns the number of camera images a second of which the page shows all layers."""
    sys.path.insert(0, str(ROOT / "tests" / "report"))
    from browser import Browser

    with tempfile.TemporaryDirectory() as folder, served(name, Path(folder)) as address:
        browser = Browser(Path(folder) / "profile")
        try:
            browser.size(1300)
            browser.call("Page.navigate", url=address)
            wait(browser, "document.querySelectorAll('[data-layer]').length > 20")
            browser.eval("document.querySelector('#camera').click()")
            wait(browser, "document.querySelector('#camera').getAttribute('aria-pressed') == 'true'")
            time.sleep(2)
            # A tile's picture is set once for each image.
            return browser.eval(
                f"""new Promise((done) => {{
                    let count = 0, last = "";
                    const began = performance.now();
                    const look = () => {{
                        const now = document.querySelector("#shown").src;
                        if (now !== last) [count, last] = [count + 1, now];
                        const passed = (performance.now() - began) / 1000;
                        passed < {seconds} ? requestAnimationFrame(look) : done(count / passed);
                    }};
                    look();
                }})"""
            )
        finally:
            browser.close()


@contextlib.contextmanager
def served(name: str, folder: Path) -> Iterator[str]:
    """Serves the toolbox, without a prior; yields its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = (f"target={name}", "target.weights=null", "target.classes=16", "method=pixels", "methods=[]", "show=false")
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "toolbox.py"), *words, f"port={port}", "threads=1", "reference_images=0"],
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        lines = iter(process.stdout.readline, "") if process.stdout else iter(())
        address = next((word for line in lines for word in line.split() if word.startswith("http://")), None)
        if address is None:
            raise RuntimeError("the toolbox did not start")
        yield address
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


def wait(browser: object, condition: str) -> None:
    """Waits until a JavaScript expression is true."""
    until = time.monotonic() + 60
    while not browser.eval(f"!!({condition})"):  # type: ignore[attr-defined]
        if time.monotonic() > until:
            raise RuntimeError(f"{condition} did not become true")
        time.sleep(0.05)


if __name__ == "__main__":
    main()
