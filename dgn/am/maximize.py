"""Activation maximization: y* = argmax Phi_h(G(y)) - R(y) for many units and seeds at once (Nguyen et al. 2016)."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dgn.am.objectives import Evaluation, Objective
from dgn.am.parametrizations import Parametrization
from dgn.am.updates import Update
from dgn.data.images import save_png
from dgn.errors import UserError
from dgn.files import image_name
from dgn.networks.featurenet import FeatureNet


@dataclass
class Preferred:
    """What a search found. images (N, 3, H, W) in image space, on the CPU: the last of each search, which is what
    the paper keeps. activations (N,): of the objectives, as the layers give them, on these images. curve
    (steps, N): what the search climbed, before each step. objectives, seeds: of each image."""

    images: Tensor
    activations: Tensor
    curve: Tensor
    objectives: list[Objective]
    seeds: list[int]

    def save(self, folder: str | Path) -> list[Path]:
        """Writes every image as a PNG named by its objective and seed; returns the paths."""
        paths = [Path(folder) / image_name(str(o), s) for o, s in zip(self.objectives, self.seeds, strict=True)]
        for image, path in zip(self.images, paths, strict=True):
            save_png(image, path)
        return paths


def maximize(
    target: FeatureNet,
    objectives: Sequence[Objective],
    parametrization: Parametrization,
    update: Callable[[], Update],
    regularizers: Sequence[Any] = (),
    seeds: Sequence[int] = (0,),
    steps: int = 200,
    batch_size: int | None = None,
    seed: int = 0,
    progress: Callable[[Iterable[int], int], Iterable[int]] | None = None,
) -> Preferred:
    """Images that make each objective large: one for every objective and seed, in that order.

    update: makes a fresh update rule for each batch. batch_size: searches run together; None: as many as fit the
    memory. seed: shifts all seeds. progress: wraps the iterator of all steps, given their number.
    Raises UserError where the parametrization's images and the target cannot meet."""
    jobs = [(objective, s) for objective in objectives for s in seeds]
    if not jobs or steps < 0:
        raise UserError(f"nothing to maximize: {len(objectives)} objectives, {len(seeds)} seeds, {steps} steps")
    batch_size = batch_size or fitting_batch(target, objectives[0], parametrization)
    batches = [jobs[i : i + batch_size] for i in range(0, len(jobs), batch_size)]
    ticks = iter((progress or (lambda it, _: it))(range(steps * len(batches)), steps * len(batches)))
    found = [
        _search(
            target,
            [o for o, _ in batch],
            [seed + s for _, s in batch],
            parametrization,
            update(),
            regularizers,
            steps,
            ticks,
        )
        for batch in batches
    ]
    for _ in ticks:
        pass  # lets a progress bar end
    images, activations, curves = zip(*found, strict=True)
    chosen, used = zip(*jobs, strict=True)
    return Preferred(torch.cat(images), torch.cat(activations), torch.cat(curves, 1), list(chosen), list(used))


def _search(
    target: FeatureNet,
    objectives: Sequence[Objective],
    seeds: Sequence[int],
    parametrization: Parametrization,
    update: Update,
    regularizers: Sequence[Any],
    steps: int,
    ticks: Iterable[int],
) -> tuple[Tensor, Tensor, Tensor]:
    parameters = parametrization.start(seeds).detach().float()
    climbed = Evaluation([_below_rectifier(o, target) for o in objectives], target, parameters.device)
    shown = Evaluation(objectives, target, parameters.device)
    update.begin(parameters, steps, parametrization.unit)
    curve = []
    for i in range(steps):
        next(ticks)
        parameters.requires_grad_(True)
        values = climbed(target(parametrization.images(parameters), climbed.layers))
        penalties = [r.loss(parameters, parametrization) for r in regularizers if hasattr(r, "loss")]
        (gradient,) = torch.autograd.grad((values - sum(penalties)).sum(), parameters)
        parameters.requires_grad_(False)
        curve.append(values.detach())
        update.step(parameters, gradient, i)
        for regularizer in regularizers:
            if hasattr(regularizer, "project"):
                regularizer.project(parameters, parametrization)
    with torch.no_grad():
        images = parametrization.images(parameters)
        activations = shown(target(images, shown.layers))
    curves = torch.stack(curve) if curve else torch.empty(0, len(seeds))
    return images.float().cpu().contiguous(), activations.cpu(), curves.cpu()


def activations_of(target: FeatureNet, objectives: Sequence[Objective], batches: Iterable[Tensor]) -> Tensor:
    """Every objective's value on every image: batches of (B, 3, H, W) in image space -> (images, objectives)."""
    device = next((p.device for p in target.parameters()), torch.device("cpu"))
    layers = list(dict.fromkeys(layer for o in objectives for layer in o.layers))
    values = []
    with torch.no_grad():
        for images in batches:
            found = target(images.to(device), layers)
            values.append(torch.stack([o.values(found) for o in objectives], 1).cpu())
    return torch.cat(values)


def fitting_batch(target: FeatureNet, objective: Objective, parametrization: Parametrization) -> int:
    """How many searches fit the memory together: what autograd keeps for one image, counted, against a fifth of
    the memory that is free (at most 2 GiB on a CPU); at most 256."""
    kept = 0

    def count(tensor: Tensor) -> Tensor:
        nonlocal kept
        if not (tensor.is_leaf and not tensor.requires_grad):  # a weight is there once, whatever the batch
            kept += tensor.numel() * tensor.element_size()
        return tensor

    parameters = parametrization.start([0]).detach().float().requires_grad_(True)
    layers = tuple(dict.fromkeys(target.before_rectifier(layer) for layer in objective.layers))
    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        target(parametrization.images(parameters), layers)
    free = torch.cuda.mem_get_info()[0] if parameters.is_cuda else 10 * 2**30
    return max(1, min(256, int(free / 5 / max(1, 2 * kept))))


def _below_rectifier(objective: Objective, target: FeatureNet) -> Objective:
    """The same units before their ReLU, where one would silence their gradient."""
    terms = [
        (weight, type(unit)(target.before_rectifier(unit.layer), unit.index, unit.position, unit.label))
        for weight, unit in objective.terms
    ]
    return Objective(tuple(terms))
