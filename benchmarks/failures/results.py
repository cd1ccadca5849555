"""What a run has made, for the comparison with another of the same command."""

import csv
import json
from pathlib import Path

import torch
from safetensors.torch import load_file


def made(folder: Path) -> dict[str, object]:
    """What a run has made that the same command makes again: tensors, rows, pictures and findings, by their names."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*.safetensors")):
        if "searches" not in path.parts and "evolution" not in path.parts:
            found |= {f"{path.relative_to(folder)}:{k}": v for k, v in load_file(path).items()}
    for path in folder.rglob("results.csv"):
        rows = csv.DictReader(path.open(encoding="utf-8"))
        found[str(path.relative_to(folder))] = [{k: v for k, v in row.items() if k != "seconds"} for row in rows]
    for path in folder.rglob("evidence.json"):
        evidence = json.loads(path.read_text(encoding="utf-8"))
        found[str(path.relative_to(folder))] = [evidence[k] for k in ("table", "statements", "curves", "verdict")]
    for kind in ("images", "figures"):
        for path in sorted(folder.rglob(f"{kind}/*.png")):
            found[str(path.relative_to(folder))] = path.read_bytes()
    return found


def same(one: dict[str, object], other: dict[str, object]) -> bool:
    """Whether two runs made the same, bit for bit; two that made nothing did not."""
    if one.keys() != other.keys() or not one:
        return False
    return all(
        torch.equal(value, other[key]) if isinstance(value, torch.Tensor) else value == other[key]
        for key, value in one.items()
    )
