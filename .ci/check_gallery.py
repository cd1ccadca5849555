"""Exits with an error unless a folder of visualize.py holds a gallery in which at least 0.9 are recognized."""

import csv
import sys
from pathlib import Path

LEAST = 0.9


def main(folder: Path) -> None:
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
    if share < LEAST:
        sys.exit(f"{folder}: {share:.2f} recognized, at least {LEAST} are expected")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
