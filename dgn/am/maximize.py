"""Activation maximization: y* = argmax Phi_h(G(y)) - R(y) for many units and seeds at once (Nguyen et al. 2016).

One search is an objective and a seed. A method is one stage, or several in sequence. A stage makes four choices: how
the objective is read, what is optimized (the parametrization), the regularizers, and how a step follows the gradient
(the update).
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from dgn.am.film import Film, Frames
from dgn.am.leak import leaking
from dgn.am.objectives.algebra import Objective
from dgn.am.objectives.diversity import Diversity, together
from dgn.am.objectives.evaluation import Evaluation, activations_of
from dgn.am.objectives.language import as_objectives
from dgn.am.objectives.surrogates import below_rectifier
from dgn.am.outcomes import Outcome, Watch, summary
from dgn.am.parametrizations.code import Code
from dgn.am.preferred import Preferred
from dgn.am.regularizers.parameters import Clip, Decay
from dgn.am.setting import Setting
from dgn.am.step import Draws, Parametrization, Step
from dgn.am.updates import NormalizedAscent, Update
from dgn.errors import UserError
from dgn.networks.featurenet import FeatureNet
from dgn.networks.precision import full_precision
from dgn.networks.usable import check
from dgn.prior import Prior

__all__ = ["Outcome", "Preferred", "Stage", "activations_of", "fitting_batch", "maximize"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stage:
    """One stage of a method.

    Args:
        parametrization: what is optimized (dgn.am.parametrizations).
        update: creates a new update rule for each batch of searches (dgn.am.updates).
        regularizers: in the order in which they act (dgn.am.regularizers).
        steps: the number of steps.
        objective: how the objective is read during the search (dgn.am.objectives.surrogates).
    """

    parametrization: Parametrization
    update: Callable[[], Update]
    regularizers: Sequence[Any] = ()
    steps: int = 200
    objective: Callable[[Objective, FeatureNet], Objective] = below_rectifier


@full_precision
@torch.inference_mode(False)
@torch.enable_grad()
def maximize(
    target: FeatureNet,
    objectives: str | Objective | Sequence[str | Objective],
    stages: Stage | Sequence[Stage] | Prior,
    seeds: int | Sequence[int] = (0,),
    batch_size: int | None = None,
    seed: int = 0,
    diversity: Diversity | None = None,
    progress: Callable[[Iterable[int], int], Iterable[int]] | None = None,
    film: Film | None = None,
) -> Preferred:
    """Finds images that maximize each objective: one for every objective and seed, in that order.

    Args:
        target: the network whose units are maximized.
        objectives: one or several, in the unit language ("fc8:3, fc8:house") or from `parse_units`.
        stages: the method. A stage with a different parametrization continues from the previous stage's images. A
            prior stands for the default search with it, method=dgn_am_short from noise (`default_stage`).
        seeds: the seeds of each objective, or how many.
        batch_size: searches that run together; None: as many as fit in memory.
        seed: added to all seeds.
        diversity: pushes the seeds of an objective apart; they then always run in one batch.
        progress: wraps the iterator over all steps; called with the iterator and the number of steps.
        film: called with the frames of every finished search.

    Returns:
        The preferred images, with their activations, curves and outcomes.

    Raises:
        UserError: if there is nothing to maximize, or if the target cannot take the parametrization's images.
    """
    objectives, seeds = as_objectives(objectives, target), _seeds(seeds)
    if isinstance(stages, Prior):
        stages = default_stage(target, stages)
    stages = [stages] if isinstance(stages, Stage) else list(stages)
    steps = sum(stage.steps for stage in stages)
    if not objectives or not seeds or not stages or any(stage.steps < 0 for stage in stages):
        raise UserError(f"nothing to maximize: {len(objectives)} objectives, {len(seeds)} seeds, {steps} steps")
    maximized = (stage.objective(objective, target) for stage in stages for objective in objectives)
    layers = [layer for objective in maximized for layer in objective.layers]
    check(target, "target", [*layers, *([diversity.of(target)] if diversity is not None else [])])
    jobs = [(objective, s) for objective in objectives for s in seeds]
    batch_size = batch_size or fitting_batch(target, objectives[0], stages)
    if diversity is not None:
        batch_size = len(seeds) * max(1, batch_size // len(seeds))
    batches = [jobs[i : i + batch_size] for i in range(0, len(jobs), batch_size)]
    ticks = iter((progress or (lambda it, _: it))(range(steps * len(batches)), steps * len(batches)))
    searched = [
        _search(target, [o for o, _ in batch], [seed + s for _, s in batch], stages, diversity, ticks, film)
        for batch in batches
    ]
    for _ in ticks:
        pass  # lets a progress bar finish
    images, activations, curves, of_batches = zip(*searched, strict=True)
    chosen, used = zip(*jobs, strict=True)
    outcomes = [outcome for batch in of_batches for outcome in batch]
    if nothing := summary(outcomes, [f"{objective} seed {s}" for objective, s in jobs]):
        count = sum(not outcome.found for outcome in outcomes)
        log.warning("%d of %d searches found nothing: %s", count, len(outcomes), nothing)
    return Preferred(
        torch.cat(images), torch.cat(activations), torch.cat(curves, 1), list(chosen), list(used), outcomes
    )


def default_stage(target: FeatureNet, prior: Prior) -> Stage:
    """The search that visualize.py runs by default, conf/method/dgn_am_short.yaml, from noise.

    DGN-AM with steps that suit priors trained for minutes. `dgn.dgn_am` is the published search.
    """
    update = partial(NormalizedAscent, first=4.0)
    return Stage(Code(Setting(target, prior)), update, [Decay(0.9), Clip()], steps=60)


def _seeds(seeds: int | Sequence[int]) -> list[int]:
    seed_list = list(range(seeds)) if isinstance(seeds, int) else list(seeds)
    if not all(isinstance(seed, int) for seed in seed_list):
        raise UserError(f"seeds={seeds}: give whole numbers, or how many")
    return seed_list


def _search(
    target: FeatureNet,
    objectives: Sequence[Objective],
    seeds: Sequence[int],
    stages: Sequence[Stage],
    diversity: Diversity | None,
    ticks: Iterator[int],
    film: Film | None,
) -> tuple[Tensor, Tensor, Tensor, list[Outcome]]:
    parametrization = stages[0].parametrization
    parameters = parametrization.start(seeds, objectives).detach().float()
    draws, frames = Draws(seeds, parameters.device), Frames(sum(s.steps for s in stages), film is not None)
    curve: list[Tensor] = []
    watch = Watch(parameters)
    for stage in stages:
        parametrization, parameters = _entered(stage, parametrization, parameters)
        watch.enter(parameters)
        climb = _Climb(target, objectives, stage, diversity, parameters.device)
        update = stage.update()
        update.begin(parameters, stage.steps, parametrization.unit)
        for i in range(stage.steps):
            next(ticks)
            frames.add(len(curve), parametrization, parameters)
            curve.append(_step(climb, update, parameters, draws, i, watch))
    shown = Evaluation(objectives, parameters.device)
    with torch.no_grad():
        images = parametrization.images(parameters)
        activations = shown(target(images, shown.layers))
        if watch.fail_at_the_end(activations):
            watch.hold(parameters)
            images = parametrization.images(parameters)
            activations = shown(target(images, shown.layers))
    if film is not None:
        for n, (objective, seed) in enumerate(zip(objectives, seeds, strict=True)):
            film(objective, seed, frames.of(n, images))
    curves = torch.stack(curve) if curve else torch.empty(0, len(seeds))
    outcomes = watch.outcomes(curves[0] if curve else activations, activations)
    return images.float().cpu().contiguous(), activations.cpu(), curves.cpu(), outcomes


def _step(climb: "_Climb", update: Update, parameters: Tensor, draws: Draws, i: int, watch: Watch) -> Tensor:
    """Takes one step in place; returns the value that is maximized before the step, (N,)."""
    stage = climb.stage
    parameters.requires_grad_(True)
    images = stage.parametrization.images(parameters)
    step = Step(stage.parametrization, parameters, images, draws, i, stage.steps)
    values, driving = climb(step)
    losses = [r for r in stage.regularizers if hasattr(r, "loss")]
    gradient, slope = torch.autograd.grad(driving.sum(), (parameters, images), retain_graph=True)
    own = gradient
    if climb.diversity is not None:
        (own,) = torch.autograd.grad(values.sum(), parameters, retain_graph=True)
    watch.see(values.detach(), own, parameters)
    if watch.troubled:
        gradient, slope = _helped(climb, driving, parameters, images, (gradient, slope), watch)
    step.slope = slope
    for regularizer in stage.regularizers:
        if hasattr(regularizer, "loss"):
            last = regularizer is losses[-1]
            (slope,) = torch.autograd.grad(regularizer.loss(step).sum(), parameters, retain_graph=not last)
            gradient = gradient - slope
        if hasattr(regularizer, "gradient"):
            gradient = regularizer.gradient(gradient.detach(), step)
    parameters.requires_grad_(False)
    update.step(parameters, gradient, i)
    with torch.no_grad():
        for regularizer in stage.regularizers:
            if hasattr(regularizer, "project"):
                regularizer.project(step)
        watch.hold(parameters)
    return values.detach()


def _helped(
    climb: "_Climb",
    driving: Tensor,
    parameters: Tensor,
    images: Tensor,
    gradients: tuple[Tensor, Tensor],
    watch: Watch,
) -> list[Tensor]:
    """Returns the gradients for parameters and images: leaky for silent searches, zero for failed ones."""
    asleep = watch.asleep & climb.raises
    leaky: tuple[Tensor, ...] = gradients
    if bool(asleep.any()):
        with leaking(driving):
            leaky = torch.autograd.grad(driving.sum(), (parameters, images), retain_graph=True)
    helped = []
    for gradient, leaky_gradient in zip(gradients, leaky, strict=True):
        row_shape = [-1, *[1] * (gradient.ndim - 1)]
        gradient = torch.where(asleep.view(row_shape), leaky_gradient.nan_to_num(0, 0, 0), gradient)
        helped.append(torch.where(watch.failed.view(row_shape), 0, gradient))
    return helped


class _Climb:
    """The function that a stage maximizes: the objectives on the views of a step's images."""

    def __init__(
        self,
        target: FeatureNet,
        objectives: Sequence[Objective],
        stage: Stage,
        diversity: Diversity | None,
        device: torch.device,
    ) -> None:
        self.target, self.stage, self.diversity = target, stage, diversity
        self.groups = together(objectives, device) if diversity else []
        self.values = Evaluation([stage.objective(o, target) for o in objectives], device)
        raised = [any(weight > 0 for weight, _ in objective.terms) for objective in objectives]
        self.raises = torch.tensor(raised, device=device)
        self.apart = diversity.of(target) if diversity else None
        self.layers = tuple(dict.fromkeys([*self.values.layers, *([self.apart] if self.apart else [])]))

    def __call__(self, step: Step) -> tuple[Tensor, Tensor]:
        """Returns the objectives' values (N,), and these plus the diversity term, which is differentiated."""
        seen = step.images
        for regularizer in self.stage.regularizers:
            if hasattr(regularizer, "view"):
                seen = regularizer.view(seen, step)
        activations = self.target(seen, self.layers)
        # A view may show k pictures of each image: (k * N, ...), the first of all images, then the second of all, ...
        count = len(step.images)
        parts = [{n: a[k : k + count] for n, a in activations.items()} for k in range(0, len(seen), count)]
        values = torch.stack([self.values(part) for part in parts]).mean(0)
        if self.diversity is None:
            return values, values
        shares = torch.stack([self.diversity.values(part[self.apart], self.groups) for part in parts]).mean(0)
        return values, values + shares


@torch.inference_mode(False)
@torch.enable_grad()
def fitting_batch(target: FeatureNet, objective: Objective, stages: Sequence[Stage]) -> int:
    """Returns how many searches fit in memory together, at most 256.

    It counts the bytes that autograd keeps for one image, in the stage that needs most, and compares twice that with
    a fifth of the free memory (2 GiB on a CPU).
    """
    kept, most = 0, 1

    def count(tensor: Tensor) -> Tensor:
        nonlocal kept
        if not (tensor.is_leaf and not tensor.requires_grad):  # weights do not grow with the batch
            kept += tensor.numel() * tensor.element_size()
        return tensor

    parametrization = stages[0].parametrization
    parameters = parametrization.start([0], [objective]).detach().float()
    for stage in stages:
        parametrization, parameters = _entered(stage, parametrization, parameters)
        climb, kept = _Climb(target, [objective], stage, None, parameters.device), 0
        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            images = parametrization.images(parameters.requires_grad_(True))
            climb(Step(parametrization, parameters, images, Draws([0], parameters.device), 0, 1))
        most = max(most, kept)
    free = torch.cuda.mem_get_info()[0] if parameters.is_cuda else 10 * 2**30
    return max(1, min(256, int(free / 5 / (2 * most))))


def _entered(stage: Stage, before: Parametrization, parameters: Tensor) -> tuple[Parametrization, Tensor]:
    """Returns the parameters a stage starts with: unchanged, or converted through the images to its parametrization."""
    parameters = parameters.detach()
    if stage.parametrization is not before:
        with torch.no_grad():
            parameters = stage.parametrization.of(before.images(parameters)).float()
    return stage.parametrization, parameters.clone()
