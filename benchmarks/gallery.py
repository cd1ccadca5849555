"""Measures a gallery of the size of ImageNet's classes: `python benchmarks/gallery.py [--units 1000] [--seeds 8]`.

Writes a gallery of random images, and opens its overview in a headless Chromium. Prints the seconds and the peak memory
of writing, the size of the folder and of the overview, and the time until the overview can be read (DOMContentLoaded)
and is loaded.
"""

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

import torch

from dgn.report import Row, image_name, write_gallery

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "report"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--units", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--size", type=int, default=64, help="side of the images; thumbnails are made above 256")
    options = parser.parse_args()
    count = options.units * options.seeds
    noise = torch.rand(64, 3, options.size, options.size)
    images = noise[torch.arange(count) % 64]
    rows = []
    for unit in range(options.units):
        for seed in range(options.seeds):
            name = f"fc8:{unit}"
            rows.append(
                Row(
                    layer="fc8",
                    unit=str(unit),
                    label=f"class {unit}",
                    seed=seed,
                    method="dgn_am",
                    activation=12.5,
                    percentile=99.0,
                    judge_label="house",
                    judge_probability=0.9,
                    recognized=True,
                    image=f"images/{image_name(name, seed)}",
                    objective=name,
                )
            )
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        page = write_gallery(folder, rows, images, {"target": {"name": "caffenet"}}, "Gallery", "visualize.py")
        print(
            f"{options.units} units x {options.seeds}, {options.size} px: {time.perf_counter() - began:.0f} s to write"
        )
        size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
        files = sum(path.is_file() for path in Path(folder).rglob("*"))
        print(f"{files} files, {size / 2**20:.0f} MiB; overview {page.stat().st_size / 2**20:.1f} MiB")
        print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB")
        opened(page)


def opened(page: Path) -> None:
    from browser import CHROMIUM, Browser

    if CHROMIUM is None:
        print("no Chromium here: the page was not opened")
        return
    with tempfile.TemporaryDirectory() as profile:
        browser = Browser(Path(profile))
        browser.call("Page.navigate", url="about:blank")
        browser.call("Page.navigate", url=page.as_uri())
        times: list[float] = []
        while not times or times[1] <= 0:
            time.sleep(0.1)
            code = "(t => [t.domContentLoadedEventEnd, t.loadEventEnd])(performance.getEntriesByType('navigation')[0])"
            times = browser.call("Runtime.evaluate", expression=code, returnByValue=True)["result"]["value"]
        print(f"overview in Chromium: readable after {times[0] / 1000:.1f} s, loaded after {times[1] / 1000:.1f} s")
        browser.close()


if __name__ == "__main__":
    main()
