"""Activation maximization: y* = argmax Phi_h(G(y)) - R(y) for many units and seeds at once (Nguyen et al. 2016).

One search is an objective and a seed. A method is one stage, or several in sequence. A stage makes four choices: how
the objective is read, what is optimized (the parametrization), the regularizers, and how a step follows the gradient
(the update).
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from dgn.am.again import begun_again, report
from dgn.am.batch_size import fitting_batch, searches_together
from dgn.am.climb import Climb, enter, take_step
from dgn.am.evolution.generation import check_regularizers, take_generation
from dgn.am.evolution.population import Evolve
from dgn.am.film import Film, Frames
from dgn.am.kept import Journal, Kept
from dgn.am.memory import in_memory
from dgn.am.objectives.algebra import Objective
from dgn.am.objectives.diversity import Diversity
from dgn.am.objectives.evaluation import Evaluation, objective_values
from dgn.am.objectives.language import as_objectives
from dgn.am.outcomes import Outcome, Watch, summary
from dgn.am.parametrizations.code import Code
from dgn.am.preferred import Preferred, joined
from dgn.am.regularizers.parameters import Clip, Decay
from dgn.am.setting import Setting
from dgn.am.stage import Stage
from dgn.am.step import Draws, Parametrization
from dgn.am.updates import NormalizedAscent
from dgn.errors import UserError
from dgn.networks.featurenet import FeatureNet
from dgn.networks.precision import full_precision
from dgn.networks.usable import check
from dgn.prior import Prior

__all__ = ["Outcome", "Preferred", "Stage", "fitting_batch", "maximize", "objective_values"]

log = logging.getLogger(__name__)


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
    kept: Kept | None = None,
) -> Preferred:
    """Finds images that maximize each objective: one for every objective and seed, in that order.

    Args:
        target: the network whose units are maximized.
        objectives: one or several, in the unit language ("fc8:3, fc8:house") or from `parse_units`.
        stages: the method. A stage with a different parametrization continues from the previous stage's images. A
            prior stands for a search with it, method=dgn_am_short from noise (`default_stage`).
        seeds: the seeds of each objective, or how many.
        batch_size: searches that run together; None: as many as fit in memory, on a CPU at most 16.
        seed: added to all seeds.
        diversity: pushes the seeds of an objective apart; they then always run in one batch.
        progress: wraps the iterator over all steps; called with the iterator and the number of steps that are left.
        film: called with the frames of every finished search.
        kept: keeps every finished batch, and gives those that an earlier run has finished.

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
    layers += [diversity.layer_name(target)] if diversity is not None else []
    check(target, "target", layers, gradient=not all(stage.candidates for stage in stages))
    jobs = [(objective, s) for objective in objectives for s in seeds]
    batch_size = batch_size or (kept.batch_size if kept is not None else None)
    batch_size = batch_size or searches_together(target, objectives[0], stages, len(seeds))
    if diversity is not None:
        batch_size = len(seeds) * max(1, batch_size // len(seeds))
    parts = [jobs[i : i + batch_size] for i in range(0, len(jobs), batch_size)]
    batches = [([objective for objective, _ in part], [seed + s for _, s in part]) for part in parts]
    # An experiment is not asked again, and seeds that push each other apart stay together.
    again = stages[-1].again if target.repeatable and diversity is None else None
    candidates = getattr(stages[0].parametrization, "candidates", None) if again else None
    found = [kept.find(i, *batch) if kept is not None else None for i, batch in enumerate(batches)]
    left = steps * found.count(None)
    ticks = iter((progress or (lambda it, _: it))(range(left), left))
    searched: list[Preferred] = []
    together, least = batch_size, 1 if diversity is None else len(seeds)
    for i, batch in enumerate(batches):
        if found[i] is not None:
            continue
        began = time.perf_counter()
        journal = kept.journal(i, *batch) if kept is not None and not target.has_gradient else None
        once = partial(_search, target, stages, diversity, ticks, journal)
        search = partial(begun_again, once, again, target, candidates) if again and candidates else once
        # Searches whose generations are kept together stay together.
        part, together = in_memory(
            partial(search, film=film), batch, together, least if journal is None else len(batch[1])
        )
        found[i] = part
        searched.append(part)
        if kept is not None:
            kept.add(i, part, time.perf_counter() - began)
    for _ in ticks:
        pass  # lets a progress bar finish
    preferred = joined([part for part in found if part is not None], objectives)
    if again and candidates:
        report(searched, again, target, candidates)
    outcomes = preferred.outcomes
    failures = [outcome for outcome in outcomes if not outcome.found]
    if failures:
        reasons = summary(outcomes, [f"{objective} seed {s}" for objective, s in jobs])
        log.warning("%d of %d searches found nothing: %s", len(failures), len(outcomes), reasons)
    return replace(preferred, objectives=[objective for objective, _ in jobs], seeds=[s for _, s in jobs])


def default_stage(target: FeatureNet, prior: Prior) -> Stage:
    """The search of a prior without a method, conf/method/dgn_am_short.yaml, from noise.

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
    stages: Sequence[Stage],
    diversity: Diversity | None,
    ticks: Iterator[int],
    journal: Journal | None,
    objectives: Sequence[Objective],
    seeds: Sequence[int],
    film: Film | None = None,
    first: bool = True,
) -> Preferred:
    parametrization = stages[0].parametrization
    parameters = parametrization.start(seeds, objectives).detach().float()
    shown = Evaluation(objectives, parameters.device)
    start_images, start_activations = _before(target, shown, parametrization, parameters)
    draws, frames = Draws(seeds, parameters.device), Frames(sum(s.steps for s in stages), film is not None)
    curve: list[Tensor] = []
    watch = Watch(parameters)
    for stage in stages:
        parameters = enter(stage, parametrization, parameters)
        parametrization = stage.parametrization
        take = begin_stage(target, objectives, stage, parameters, draws, watch, diversity, journal)
        for i in range(stage.steps):
            if first:
                next(ticks, None)  # a batch that is begun again, as memory ran out, has more steps
            frames.add(len(curve), parametrization, parameters)
            curve.append(take(i, len(curve)))
    with torch.no_grad():
        images = parametrization.images(parameters)
        # An experiment is not asked again: the score of the best image is what it has measured.
        activations = shown(target(images, shown.layers)) if target.repeatable else _highest(curve, len(seeds))
        if watch.fail_at_the_end(activations) and target.repeatable:
            watch.hold(parameters)
            images = parametrization.images(parameters)
            activations = shown(target(images, shown.layers))
    if film is not None:
        for n, (objective, seed) in enumerate(zip(objectives, seeds, strict=True)):
            film(objective, seed, frames.stack(n, images))
    curves = torch.stack(curve) if curve else torch.empty(0, len(seeds))
    outcomes = watch.outcomes(curves[0] if curve else activations, activations)
    images, activations, curves = images.float().cpu().contiguous(), activations.cpu(), curves.cpu()
    return Preferred(
        images,
        activations,
        curves,
        list(objectives),
        list(seeds),
        outcomes,
        start_images=start_images,
        start_activations=start_activations,
    )


def _highest(curve: Sequence[Tensor], count: int) -> Tensor:
    """Returns the highest value of each search's curve, (count,); NaN if it has none."""
    values = torch.stack([*curve, torch.full((count,), torch.nan)]) if curve else torch.full((1, count), torch.nan)
    highest = values.nan_to_num(nan=-torch.inf).amax(0)
    return torch.where(highest.isfinite(), highest, torch.nan)


def _before(
    target: FeatureNet, shown: Evaluation, parametrization: Parametrization, parameters: Tensor
) -> tuple[Tensor | None, Tensor | None]:
    """Returns the images, as bytes, and the activations of what searches begin at; None if the target is not asked."""
    if not target.repeatable:
        return None, None
    with torch.no_grad():
        images = parametrization.images(parameters)
        activations = shown(target(images, shown.layers)).cpu()
    return images.float().clamp(0, 1).mul(255).round().byte().cpu().contiguous(), activations


def begin_stage(
    target: FeatureNet,
    objectives: Sequence[Objective],
    stage: Stage,
    parameters: Tensor,
    draws: Draws,
    watch: Watch,
    diversity: Diversity | None = None,
    journal: Journal | None = None,
) -> Callable[[int, int], Tensor]:
    """Begins a stage; returns what takes a step of it in place, given its number in the stage and over all stages."""
    watch.enter(parameters)
    update, unit = stage.update(), stage.parametrization.unit
    climb = Climb(target, objectives, stage, diversity, parameters.device, max(1, stage.candidates))
    if isinstance(update, Evolve):
        check_regularizers(stage)
        update.begin(parameters, stage.steps, unit, [g.initial_seed() for g in draws.generators])
        evolution = update

        def generation(i: int, number: int) -> Tensor:
            return take_generation(climb, evolution, parameters, draws, i, watch, number, journal)

        return generation
    update.begin(parameters, stage.steps, unit)
    ascent = update
    return lambda i, _: take_step(climb, ascent, parameters, draws, i, watch)
