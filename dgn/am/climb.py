"""One step of a search: the gradient of what its stage maximizes, changed by the regularizers, and the update."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dgn.am.leak import leaking
from dgn.am.objectives.algebra import Objective
from dgn.am.objectives.diversity import Diversity, together
from dgn.am.objectives.evaluation import Evaluation
from dgn.am.outcomes import Watch
from dgn.am.stage import Stage
from dgn.am.step import Draws, GradientChange, Loss, Parametrization, Step
from dgn.am.updates import Update
from dgn.networks.featurenet import FeatureNet


class Climb:
    """The function that a stage maximizes: the objectives on the views of a step's images.

    Args:
        target: the network whose units are maximized.
        objectives: the objective of each of N searches.
        stage: the stage.
        diversity: pushes the seeds of an objective apart, or None.
        device: where the searches run.
        candidates: how many images of each search are compared, in searches without gradients.
    """

    def __init__(
        self,
        target: FeatureNet,
        objectives: Sequence[Objective],
        stage: Stage,
        diversity: Diversity | None,
        device: torch.device,
        candidates: int = 1,
    ) -> None:
        self.target, self.stage, self.diversity = target, stage, diversity
        objectives = [objective for objective in objectives for _ in range(candidates)]
        # The k-th candidates of an objective's seeds are pushed apart, not the candidates of one search.
        keys = [(objective, n % candidates) for n, objective in enumerate(objectives)]
        self.groups = together(keys, device) if diversity else []
        self.values = Evaluation([stage.objective(o, target) for o in objectives], device)
        raised = [any(weight > 0 for weight, _ in objective.terms) for objective in objectives]
        self.raises = torch.tensor(raised, device=device)
        self.apart = diversity.layer_name(target) if diversity else None
        self.layers = tuple(dict.fromkeys([*self.values.layers, *([self.apart] if self.apart else [])]))

    def __call__(self, step: Step) -> tuple[Tensor, Tensor]:
        """Returns the objectives' values (N,), and these plus the diversity term, which is differentiated."""
        seen = step.images
        for regularizer in self.stage.views:
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


def take_step(climb: Climb, update: Update, parameters: Tensor, draws: Draws, i: int, watch: Watch) -> Tensor:
    """Takes step i of the climb's stage, in place; returns the value that is maximized before the step, (N,)."""
    stage = climb.stage
    parameters.requires_grad_(True)
    images = stage.parametrization.images(parameters)
    step = Step(stage.parametrization, parameters, images, draws, i, stage.steps)
    values, driving = climb(step)
    gradient, slope = torch.autograd.grad(driving.sum(), (parameters, images), retain_graph=True)
    own = gradient
    if climb.diversity is not None:
        (own,) = torch.autograd.grad(values.sum(), parameters, retain_graph=True)
    watch.see(values.detach(), own, parameters)
    if watch.troubled:
        gradient, slope = _helped(climb, driving, parameters, images, (gradient, slope), watch)
    step.slope = slope
    gradient = _regularized(gradient, step, stage.gradient_changes)
    parameters.requires_grad_(False)
    update.step(parameters, gradient, i)
    with torch.no_grad():
        for regularizer in stage.projections:
            regularizer.project(step)
        watch.hold(parameters)
    return values.detach()


def enter(stage: Stage, before: Parametrization, parameters: Tensor) -> Tensor:
    """Returns the parameters a stage starts with: unchanged, or converted through the images to its parametrization."""
    parameters = parameters.detach()
    if stage.parametrization is not before:
        with torch.no_grad():
            parameters = stage.parametrization.encode(before.images(parameters)).float()
    return parameters.clone()


def _regularized(gradient: Tensor, step: Step, regularizers: Sequence[Loss | GradientChange]) -> Tensor:
    """Returns the gradient (N, ...) after what each regularizer, in order, does to it."""
    for regularizer in regularizers:
        if isinstance(regularizer, Loss):
            # The images' graph is used again by the losses that follow.
            (slope,) = torch.autograd.grad(regularizer.loss(step).sum(), step.parameters, retain_graph=True)
            gradient = gradient - slope
        if isinstance(regularizer, GradientChange):
            gradient = regularizer.gradient(gradient.detach(), step)
    return gradient


def _helped(
    climb: Climb,
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
