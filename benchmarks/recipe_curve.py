"""Quality against time: one recipe at 1, 2, 4, 8 times the steps, as a table and a picture.

    python benchmarks/recipe_curve.py [RECIPE] [--steps 600 1200 2400 4800] [--seed 1] [--picture docs/images/FILE.png]

RECIPE is a name, or a quoted name with overrides ("short code_noise=0"); default: short. Every length is a training of
its own, by train.py, as the schedules go by fractions of the run. Figures are those of benchmarks/recipes.py, of
held-out reconstructions; minutes are processor time of the training per thread. Finished runs are not repeated.
"""

import argparse
import json
from pathlib import Path

import matplotlib
from recipes import measure, train

matplotlib.use("agg")
import matplotlib.pyplot as plt

COLUMNS = {
    "psnr": "PSNR (dB)",
    "features": "feature distance",
    "frechet": "Frechet distance",
    "recognized": "recognized",
    "search_frechet": "search: Frechet",
}


def run(recipe: str, seed: int, steps: int, folder: Path) -> dict[str, float]:
    """Trains and measures a prior, or reads what was measured before."""
    found = folder / "recipes.json"
    if not found.exists():
        seconds = train(recipe, seed, steps, folder, ["code_model=none", "trainer.val_check_interval=0"])
        result = measure(folder / "prior.safetensors", ["judge=mini_resnet"], images=1000, units=None, overrides=[])
        found.write_text(json.dumps(result | {"steps": steps, "seconds": seconds}, indent=2))
    return json.loads(found.read_text())


def draw(results: list[dict[str, float]], path: Path) -> None:
    """Writes the curves of the first three columns against minutes."""
    minutes = [result["seconds"] / 60 for result in results]
    figure, panels = plt.subplots(1, 3, figsize=(9.6, 2.9), layout="constrained")
    for panel, column in zip(panels, list(COLUMNS)[:3], strict=True):
        panel.plot(minutes, [result[column] for result in results], "o-", color="#1f5fa8", markersize=4)
        panel.set_xscale("log", base=2)
        panel.set_xticks(minutes, [f"{value:.1f}" for value in minutes])
        panel.minorticks_off()
        panel.set_xlabel("minutes of one core")
        panel.set_title(f"{COLUMNS[column]}, {'higher' if column == 'psnr' else 'lower'} is better", fontsize=10)
        panel.grid(color="#dddddd", linewidth=0.6)
        panel.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", nargs="?", default="short")
    parser.add_argument("--steps", type=int, nargs="+", default=[600, 1200, 2400, 4800])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--out", type=Path, default=Path("outputs/recipe_curve"))
    options = parser.parse_args()
    print("| steps | minutes | " + " | ".join(COLUMNS.values()) + " |\n|" + "---|" * (len(COLUMNS) + 2), flush=True)
    results = []
    for steps in options.steps:
        results.append(run(options.recipe, options.seed, steps, options.out / f"{options.recipe}_{steps}"))
        cells = [f"{results[-1][column]:.3g}" for column in COLUMNS]
        print(f"| {steps} | {results[-1]['seconds'] / 60:.1f} | " + " | ".join(cells) + " |", flush=True)
    if options.picture is not None:
        draw(results, options.picture)


if __name__ == "__main__":
    main()
