"""Exits with an error unless a folder of visualize.py holds a gallery in which enough images are recognized.

    python .ci/check_gallery.py FOLDER [LEAST]

LEAST: the share that must be recognized; 0.9.
"""

import csv
import sys
from pathlib import Path


def main(folder: Path, least: float) -> None:
    if not (folder / "index.html").is_file():
        sys.exit(f"no gallery in {folder}")
    with (folder / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    missing = [row["image"] for row in rows if not (folder / row["image"]).is_file()]
    if missing:
        sys.exit(f"{folder}: {len(missing)} pictures are missing, first {missing[0]}")
    recognized = [row["recognized"] == "true" for row in rows]
    share = sum(recognized) / len(recognized)
    print(f"{folder}: {sum(recognized)} of {len(recognized)} preferred images are recognized")
    if share < least:
        sys.exit(f"{folder}: {share:.2f} recognized, at least {least} are expected")


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 0.9)
