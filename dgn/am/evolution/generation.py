"""One generation of searches without gradients: candidates, their scores, and the update."""

import torch
from torch import Tensor

from dgn.am.climb import Climb
from dgn.am.evolution.population import Evolve
from dgn.am.kept import Journal
from dgn.am.outcomes import Watch
from dgn.am.stage import Stage
from dgn.am.step import Draws, GradientChange, Loss, Step
from dgn.errors import UserError


def check_regularizers(stage: Stage) -> None:
    """Raises UserError for a regularizer that changes a gradient which this stage does not have."""
    for regularizer in stage.regularizers:
        if isinstance(regularizer, GradientChange) and not isinstance(regularizer, Loss):
            raise UserError(
                f"the regularizer {type(regularizer).__name__} changes the gradient, and a search without gradients "
                "has none; leave it out, or take a method that follows the gradient"
            )


@torch.no_grad()
def take_generation(
    climb: Climb,
    update: Evolve,
    parameters: Tensor,
    draws: Draws,
    i: int,
    watch: Watch,
    number: int,
    journal: Journal | None,
) -> Tensor:
    """Takes generation i of the climb's stage; the parameters become the best candidates so far, in place.

    Args:
        climb: what is maximized, for all candidates of all searches.
        update: the searches.
        parameters: (N, ...), what they have found.
        draws: their random numbers.
        i: the number of the generation in its stage.
        watch: their outcomes.
        number: that of the generation over all stages, for the journal.
        journal: keeps the generations, or None.

    Returns:
        The best score of the generation, (N,).
    """
    candidates = update.ask()
    kept = journal.find(number) if journal is not None else None
    if kept is not None:
        candidates, scores = (values.to(parameters.device) for values in kept)
    else:
        candidates, scores, images = _scored(climb, candidates, draws, i)
        if journal is not None:
            journal.add(number, candidates, scores, images)
    update.tell(candidates, scores)
    known = scores.isfinite()
    watch.cause = "the same score for all images"
    values = torch.where(
        known.any(1) | climb.target.may_miss_images, update.best_scores.nan_to_num(neginf=0), torch.nan
    )
    watch.see(values, torch.where(known, scores - scores.nan_to_num(neginf=0).amax(1, keepdim=True), 0), parameters)
    parameters.copy_(update.best)
    watch.hold(parameters)
    best = torch.where(known, scores, -torch.inf).amax(1)
    return torch.where(best.isfinite(), best, torch.nan)


def _scored(climb: Climb, candidates: Tensor, draws: Draws, i: int) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the candidates (N, population, ...) in their bounds, their scores, and their images."""
    stage, shape = climb.stage, candidates.shape[:2]
    flat = candidates.flatten(0, 1).clone()
    nothing = flat.new_empty(0)
    step = Step(stage.parametrization, flat, nothing, draws.of_candidates(shape[1]), i, stage.steps)
    for regularizer in stage.projections:
        regularizer.project(step)
    step.images = stage.parametrization.images(flat)
    _, scores = climb(step)
    for loss in stage.gradient_changes:
        assert isinstance(loss, Loss)  # check_regularizers
        scores = scores - loss.loss(step)
    return flat.view_as(candidates), scores.view(shape), step.images
