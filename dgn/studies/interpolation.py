"""Codes between two images, and arithmetic of codes."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dgn.metrics.features import extract_features
from dgn.metrics.recognition import judge_images
from dgn.prior import Prior
from dgn.studies.base import Figure, Measurement, Numbers, Study
from dgn.studies.lab import Lab, share
from dgn.studies.verdicts import Statement, statement


@dataclass(frozen=True, kw_only=True)
class Interpolation(Study):
    """Keys: pairs of images of different classes; steps between them."""

    pairs: int = 12
    between: int = 5

    title = "Interpolation and arithmetic of codes"
    source = "DeePSiM, the figure of interpolation"
    claim = "Codes between those of two images decode to meaningful pictures, and differences of codes carry classes."
    varies = "which images are taken"
    shows_target = False
    measured = (
        "Pairs of held-out images of different classes. Codes at even distances between the two are decoded; pixels "
        "are mixed in the same proportions. Recognized: the share of the pictures in between whose first label by the "
        "judge is one of the two classes. Naturalness: the Frechet distance of the pictures in between from real "
        "images. Arithmetic: the code of an image, minus the mean code of its class, plus that of another class; the "
        "share that the judge recognizes as the other class, and the same of pixels."
    )

    def measure(self, lab: Lab, seed: int) -> Measurement:
        prior = lab.trainings.prior()
        images, labels = lab.real("val")
        order = np.random.default_rng(seed).permutation(len(images))
        pairs = _of_two_classes(order.tolist(), labels.tolist(), self.pairs)
        first, second = (images[[pair[n] for pair in pairs]] for n in range(2))
        shares = torch.linspace(0, 1, self.between + 2)
        through_codes, through_pixels = _between(prior, first, second, shares)
        names = [[lab.data.classes[int(labels[i])] for i in pair] for pair in pairs for _ in range(self.between)]
        numbers: dict[str, float] = {}
        for name, mixed in (("codes", through_codes), ("pixels", through_pixels)):
            inner = mixed[:, 1:-1].flatten(0, 1)
            verdicts = judge_images(lab.judge, inner, names)
            numbers |= {
                f"{name}/recognized": share([bool(verdict.top(1)) for verdict in verdicts]),
                f"{name}/frechet": lab.frechet(inner),
                f"{name}/evenness": _evenness(lab, mixed),
            }
        numbers |= self._arithmetic(lab, prior, first, labels, pairs)
        columns = [f"{float(value):.2f}" for value in shares]
        shown = torch.stack([through_codes[:4], through_pixels[:4]], 1).flatten(0, 2)
        rows = [f"{a} to {b}, {how}" for a, b in names[:: self.between][:4] for how in ("codes", "pixels")]
        figure = Figure("between", shown, rows, columns, "Between two held-out images: codes, and pixels.", moves=True)
        return Measurement(numbers, [figure])

    def statements(self, numbers: Numbers) -> list[Statement]:
        return [
            statement(
                "Pictures between codes are more natural than mixed pixels.",
                "Frechet distance of mixed pixels minus that of mixed codes",
                numbers("pixels/frechet") - numbers("codes/frechet"),
            ),
            statement(
                "Pictures between codes show one of the two things more often than mixed pixels.",
                "share recognized with codes minus that with pixels",
                numbers("codes/recognized") - numbers("pixels/recognized"),
            ),
            statement(
                "Arithmetic of codes changes the class more often than arithmetic of pixels.",
                "share recognized as the new class with codes minus that with pixels",
                numbers("codes/arithmetic") - numbers("pixels/arithmetic"),
            ),
        ]

    def _arithmetic(
        self, lab: Lab, prior: Prior, first: Tensor, labels: Tensor, pairs: list[tuple[int, int]]
    ) -> dict[str, float]:
        """Returns how often an image becomes one of its partner's class, with codes and with pixels."""
        images, known = lab.real("train")
        codes = torch.cat([prior.encode(part) for part in images.split(64)]).cpu()
        classes = [[int(labels[i]) for i in pair] for pair in pairs]
        seen = set(known.tolist())
        rows = [n for n, (a, b) in enumerate(classes) if {a, b} <= seen]  # of others there is no mean
        wanted = [(lab.data.classes[classes[n][1]],) for n in rows]
        low, high = prior.bounds()
        results = {}
        for name, own, of_class in (("codes", prior.encode(first).cpu(), codes), ("pixels", first, images)):
            means = {label: of_class[known == label].mean(0) for label in {label for n in rows for label in classes[n]}}
            moved = [own[n] - means[classes[n][0]] + means[classes[n][1]] for n in rows]
            recognized: list[bool] = []
            if moved:
                made = torch.stack(moved)
                if name == "codes":
                    made = prior.decode(torch.clamp(made.to(prior.device), low, high)).cpu()
                recognized = [bool(verdict.top(1)) for verdict in judge_images(lab.judge, made.clamp(0, 1), wanted)]
            results[f"{name}/arithmetic"] = share(recognized)
        return results


def _of_two_classes(order: list[int], labels: list[int], count: int) -> list[tuple[int, int]]:
    pairs = list(zip(order[::2], order[1::2], strict=False))
    return [(a, b) for a, b in pairs if labels[a] != labels[b]][:count]


@torch.no_grad()
def _between(prior: Prior, first: Tensor, second: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
    """Returns pictures between pairs of images, (pairs, shares, 3, H, W), from mixed codes and from mixed pixels."""
    codes = [prior.encode(images) for images in (first, second)]
    decoded = [prior.decode(torch.lerp(codes[0], codes[1], float(value))).cpu() for value in shares]
    mixed = [torch.lerp(first, second, float(value)) for value in shares]
    return torch.stack(decoded, 1), torch.stack(mixed, 1)


def _evenness(lab: Lab, mixed: Tensor) -> float:
    """Returns the mean over pairs of the mean step divided by the largest, in the judge's features; 1: even steps."""
    features = extract_features(lab.judge, mixed.flatten(0, 1)).unflatten(0, mixed.shape[:2])
    steps = features.diff(dim=1).norm(dim=2)
    return float((steps.mean(1) / steps.amax(1).clamp(min=1e-12)).mean())
