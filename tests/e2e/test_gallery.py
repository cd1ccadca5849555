import csv
import html
import re
import shlex
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e
QUICK = ("steps=3", "reference_images=16", "judge=none")


def visualized(user, *arguments: str) -> tuple[Path, dict[str, list[str]]]:
    out, _ = user.run("visualize.py", *arguments)
    folder = (user.folder / out.strip().splitlines()[-1]).parent
    with (folder / "results.csv").open(newline="") as file:
        found: dict[str, list[str]] = {}
        for row in csv.DictReader(file):
            found.setdefault(row["objective"], []).append(row["activation"])
    return folder, found


@pytest.mark.parametrize("objective", ["fc8:3", "conv5:3@4,4", "fc8:0+0.5*fc8:3"])
def test_the_command_on_a_units_page_makes_the_same_images_of_it_alone(trained, objective):
    user, _, _ = trained
    units = "units=[fc8:boat,'conv5:3@4,4',fc8:house+0.5*fc8:boat]"
    folder, found = visualized(user, *QUICK, units, "seeds=2")
    headings = (f"<h1>{objective}</h1>", f"<span>{objective}</span></h1>")
    pages = [path.read_text() for path in (folder / "units").iterdir()]
    (page,) = (text for text in pages if any(heading in text for heading in headings))
    words = shlex.split(html.unescape(re.search("<code>(.*?)</code>", page)[1]))
    assert (words[0], Path(words[1]).name) == ("python", "visualize.py")
    _, again = visualized(user, *words[2:])
    assert list(again) == [objective]
    # Alone the searches are another batch, whose sums some processors add in another order; each step divides by the
    # gradient's mean, so that three steps make some thousandths of it.
    assert [float(a) for a in again[objective]] == pytest.approx([float(a) for a in found[objective]], rel=0.02)
    assert "<polyline" in page
