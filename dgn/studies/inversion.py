"""Reconstructions from layers by parts of the loss."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dgn.metrics.features import extract_features
from dgn.prior.frechet import frechet
from dgn.studies.base import Measurement, Numbers, Study, side_by_side
from dgn.studies.lab import Lab
from dgn.studies.verdicts import Statement, statement

_SHOWN = 6


@dataclass(frozen=True, kw_only=True)
class Inversion(Study):
    """Keys: layers ("own": that of the study's prior), losses as shares of the gradient by name, steps, images."""

    losses: Mapping[str, Mapping[str, float]]
    layers: Sequence[str] | str = "own"
    steps: int | None = None
    images: int = 256

    title = "Inversion: what each loss contributes"
    source = "DeePSiM, the ablation"
    claim = (
        "The image loss alone gives blurred pictures, the feature loss alone gives pictures with wrong detail, and "
        "all three together give the most natural ones."
    )
    varies = "the training of every generator"
    shows_target = False
    measured = (
        "A generator for every layer and sum of losses. On held-out images: PSNR; sharpness, the mean size of the "
        "pixels' differences relative to that of the images; distance, the mean distance to the image in the judge's "
        "features, relative to that of two different images; Frechet, the distance of all reconstructions from the "
        "images in these features."
    )

    def measure(self, lab: Lab, seed: int) -> Measurement:
        images = lab.real("val")[0][: self.images]
        layers = [None] if isinstance(self.layers, str) else list(self.layers)
        numbers: dict[str, float] = {}
        columns: dict[str, Tensor] = {"image": images[:_SHOWN]}
        for layer in layers:
            for name, shares in self.losses.items():
                settings = ["loss=shares", *(f"loss.{key}={value}" for key, value in shares.items())]
                prior = lab.trainings.prior(layer, seed, self.steps, settings)
                with torch.no_grad():
                    made = torch.cat([prior.decode(prior.encode(part)).cpu() for part in images.split(64)])
                row = name if layer is None else f"{layer} {name}"
                numbers |= {f"{row}/{key}": value for key, value in _scores(lab, images, made).items()}
                columns[row] = made[:_SHOWN]
        rows = [str(i + 1) for i in range(_SHOWN)][: len(images)]
        caption = "Held-out images and their reconstructions by generators that were trained with parts of the loss."
        return Measurement(numbers, [side_by_side("inversion", columns, rows, caption)])

    def statements(self, numbers: Numbers) -> list[Statement]:
        statements = []
        for layer in dict.fromkeys(row.rpartition(" ")[0] for row in numbers.rows):
            prefix = f"{layer} " if layer else ""
            image, feature, full = (prefix + name for name in ("image", "feature", "all"))
            of = f" ({layer})" if layer else ""
            statements += [
                statement(
                    f"The image loss alone gives the smallest error of pixels{of}.",
                    "PSNR with the image loss minus that with all losses",
                    numbers(f"{image}/PSNR") - numbers(f"{full}/PSNR"),
                ),
                statement(
                    f"It gives the most blurred pictures{of}.",
                    "sharpness with all losses minus that with the image loss",
                    numbers(f"{full}/sharpness") - numbers(f"{image}/sharpness"),
                ),
                statement(
                    f"All losses together are more natural than the image loss alone{of}.",
                    "Frechet distance with the image loss minus that with all losses",
                    numbers(f"{image}/frechet") - numbers(f"{full}/frechet"),
                ),
                statement(
                    f"All losses together are more natural than the feature loss alone{of}.",
                    "Frechet distance with the feature loss minus that with all losses",
                    numbers(f"{feature}/frechet") - numbers(f"{full}/frechet"),
                ),
            ]
        return statements


def _scores(lab: Lab, images: Tensor, made: Tensor) -> dict[str, float]:
    real, fake = (extract_features(lab.judge, part) for part in (images, made))
    error = (images - made).square().mean((1, 2, 3))
    return {
        "PSNR": float((-10 * torch.log10(error.clamp(min=1e-10))).mean()),
        "sharpness": _detail(made) / _detail(images),
        "distance": float((real - fake).norm(dim=1).mean() / (real - real.roll(1, 0)).norm(dim=1).mean()),
        "frechet": frechet(fake, real),
    }


def _detail(images: Tensor) -> float:
    return float(images.diff(dim=2).abs().mean() + images.diff(dim=3).abs().mean())
