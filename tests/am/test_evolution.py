"""Evolution strategies against independent computations, and searches with them."""

import math
from functools import partial

import numpy as np
import pytest
import torch

from dgn.am.evolution import STRATEGIES, CholeskyCMA, DiagonalCMA, Evolve, Genetic, SphericalCMA
from dgn.am.maximize import Stage, maximize
from dgn.am.objectives.language import parse_units
from dgn.am.parametrizations import Code
from dgn.am.regularizers import Clip, UnitGradient
from dgn.errors import UserError


def run(strategy, score, generations=30, dimensions=20, seed=0, **settings):
    search = strategy(start=np.ones(dimensions), unit=1.0, generations=generations, seed=seed, **settings)
    for _ in range(generations):
        vectors = search.ask()
        search.tell(vectors, score(vectors))
    return search


@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)
def test_every_strategy_climbs_by_ranks_alone_and_is_a_function_of_its_seed(strategy):
    towards = np.arange(20.0) - 9.5
    score = lambda vectors: vectors @ towards / np.linalg.norm(vectors, axis=1)  # noqa: E731
    search = run(strategy, score)
    reached = float(score(search.centre[None])[0]) / np.linalg.norm(towards)
    assert reached > 0.7  # the start is at 0
    np.testing.assert_array_equal(search.ask(), run(strategy, score).ask())
    assert not np.array_equal(search.ask(), run(strategy, score, seed=1).ask())
    if strategy is not Genetic:  # its selection knows scores, up to scale and shift
        np.testing.assert_allclose(search.centre, run(strategy, lambda v: np.exp(score(v) / 9)).centre)


def test_cholesky_cma_is_the_published_update_with_dense_matrices():
    """A and its inverse as d x d matrices, by the formulas of Suttorp, Hansen & Igel 2009, algorithm 2."""
    dimensions, population = 6, 8
    search = CholeskyCMA(np.ones(dimensions), 0.5, 0, 3, population=population, sigma=2.0, every=2)
    random = np.random.default_rng(3)
    mu = population // 2
    weights = np.log(mu + 0.5) - np.log(np.arange(1, mu + 1))
    weights /= weights.sum()
    effective = 1 / (weights**2).sum()
    cc, c1 = 4 / (dimensions + 4), 2 / (dimensions + math.sqrt(2)) ** 2
    cs = math.sqrt(effective) / (math.sqrt(effective) + math.sqrt(dimensions))
    damping = 1 + cs + 2 * max(0, math.sqrt((effective - 1) / (dimensions + 1)) - 1)
    expected = math.sqrt(dimensions) * (1 - 1 / (4 * dimensions) + 1 / (21 * dimensions**2))
    mean, sigma, A = np.ones(dimensions), 1.0, np.eye(dimensions)
    pc, ps = np.zeros(dimensions), np.zeros(dimensions)
    for generation in range(1, 9):
        z = random.standard_normal((population, dimensions))
        x = mean + sigma * z @ A
        np.testing.assert_allclose(search.ask(), x, rtol=1e-9)
        scores = -((x - 3) ** 2 * np.arange(1, dimensions + 1)).sum(1)
        search.tell(x, scores)
        best = np.argsort(-scores)[:mu]
        mean, zw = weights @ x[best], weights @ z[best]
        ps = (1 - cs) * ps + math.sqrt(cs * (2 - cs) * effective) * zw
        pc = (1 - cc) * pc + math.sqrt(cc * (2 - cc) * effective) * zw @ A
        sigma *= math.exp(cs / damping * (np.linalg.norm(ps) / expected - 1))
        if generation % 2 == 0:  # the new A has A'A = (1 - c1) A'A + c1 pc'pc; A is not unique, so the published one
            v = pc @ np.linalg.inv(A)
            square = v @ v
            stretch = math.sqrt(1 + square * c1 / (1 - c1))
            wanted = (1 - c1) * A.T @ A + c1 * np.outer(pc, pc)
            A = math.sqrt(1 - c1) * (A + (stretch - 1) / square * np.outer(v, pc))
            np.testing.assert_allclose(A.T @ A, wanted, rtol=1e-9)


def test_the_sphere_keeps_its_radius_and_follows_its_schedule_of_angles():
    dimensions = 400
    search = SphericalCMA(np.r_[5.0, np.zeros(dimensions - 1)], 0.1, 11, 0, population=30, select=10)
    assert search.radius == pytest.approx(300 * math.sqrt(400 / 4096) * 0.1)
    for generation in range(11):
        vectors = search.ask()
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), search.radius)
        cosines = vectors @ search.centre / search.radius**2
        # The angle of a normal vector of 399 numbers varies by 1 / sqrt(2 * 399) = 3.5%, its mean over 30 by 0.7%.
        angles = np.degrees(np.arccos(cosines))
        assert angles.mean() == pytest.approx(50 * (7.33 / 50) ** (generation / 10), rel=0.03)
        search.tell(vectors, vectors[:, 1])


def test_the_sphere_goes_one_and_a_half_times_as_far_as_the_mean_of_the_best():
    search = SphericalCMA(np.array([1.0, 0.0, 0.0]), 1.0, 10, 0, population=2, select=1, norm=64 / math.sqrt(3))
    at = lambda degrees: np.array([math.cos(math.radians(degrees)), math.sin(math.radians(degrees)), 0.0])  # noqa: E731
    search.tell(np.stack([at(20), at(90)]), np.array([2.0, 1.0]))
    np.testing.assert_allclose(search.centre, at(30), atol=1e-12)


def test_the_genetic_algorithm_keeps_its_best_and_mixes_the_units_of_two_parents():
    search = Genetic(np.zeros(50), 1.0, 0, 0, population=12, keep=3, mutation_rate=0.0)
    vectors = np.arange(12.0)[:, None] * np.ones(50)  # unit values name the parent
    search.tell(vectors, np.arange(12.0) * 100)
    children = search.ask()
    np.testing.assert_array_equal(children[:3], vectors[[11, 10, 9]])
    for child in children[3:]:
        values, counts = np.unique(child, return_counts=True)
        assert len(values) <= 2
        assert set(values) <= set(range(12))
        assert len(values) == 1 or 0.5 < counts.max() / 50 < 0.95  # three quarters; its deviation is 6%


@pytest.fixture
def evolving(setting):
    """A search on the sphere as a stage."""
    return lambda steps, *regularizers, **settings: Stage(
        Code(setting), lambda: Evolve(partial(SphericalCMA, population=8, select=4, **settings)), regularizers, steps
    )


def test_a_search_finds_more_than_its_start_and_shows_the_best_image_that_it_scored(target, evolving):
    objectives = parse_units("4:0, 4:2", target)
    found = maximize(target, objectives, evolving(12), [0, 1])
    assert found.curve.shape == (12, 4)
    torch.testing.assert_close(found.activations, found.curve.amax(0), atol=1e-5, rtol=0)
    assert (found.activations > found.start_activations).all()
    alone = maximize(target, objectives[1:], evolving(12), [1])
    torch.testing.assert_close(alone.images[0], found.images[3], atol=1e-5, rtol=0)


def test_candidates_are_scored_within_the_bounds(target, prior, evolving):
    low, high = prior.bounds(3)
    seen = []

    class Look:
        def project(self, step):
            seen.append(step.parameters.clone())

    maximize(target, "4:0", evolving(3, Clip(), Look(), norm=3000), [0])
    assert len(seen) == 3
    assert all(((codes >= low) & (codes <= high)).all() for codes in seen)
    assert any((codes == high).any() for codes in seen)


def test_images_without_a_score_count_as_the_median():
    told = []

    class Listener:
        population, centre = 5, np.zeros(2)

        def __init__(self, **_):
            pass

        def ask(self):
            return np.arange(10.0).reshape(5, 2)

        def tell(self, vectors, scores):
            told.append(scores)

    update = Evolve(lambda **settings: Listener(**settings))
    update.begin(torch.zeros(1, 2), 3, 1.0, [0])
    candidates = update.ask()
    update.tell(candidates, torch.tensor([[1.0, torch.nan, 7.0, 2.0, torch.nan]]))
    update.tell(candidates, torch.full((1, 5), torch.nan))  # nothing to tell
    np.testing.assert_array_equal(told, [[1, 2, 7, 2, 2]])
    assert update.best.tolist() == [[4.0, 5.0]]
    assert update.best_scores.tolist() == [7.0]


def test_more_than_the_population_cannot_be_kept():
    with pytest.raises(UserError, match=r"keep=10: .* less one, 7 \(method\.update\.strategy\.keep=\)"):
        Genetic(np.zeros(5), 1.0, 0, 0, population=8, keep=10)


def test_an_infinite_score_is_no_score():
    update = Evolve(partial(SphericalCMA, population=3, select=1))
    update.begin(torch.zeros(1, 2), 5, 1.0, [0])
    candidates = update.ask()
    update.tell(candidates, torch.tensor([[1.0, torch.inf, 2.0]]))
    assert float(update.best_scores) == 2
    assert torch.equal(update.best, candidates[:, 2])


def test_what_needs_a_gradient_is_refused_with_the_next_step(target, evolving):
    with pytest.raises(UserError, match="UnitGradient changes the gradient, and a search without gradients has none"):
        maximize(target, "4:0", evolving(2, UnitGradient()), [0])
    with pytest.raises(UserError, match=r"select=20: .* to the population, 8 \(method\.update\.strategy\.select=\)"):
        SphericalCMA(np.ones(3), 1.0, 1, 0, population=8)


def test_the_diagonal_strategy_is_the_librarys():
    from cmaes import SepCMA

    ours = DiagonalCMA(np.ones(4), 0.5, 0, 7, population=6, sigma=2.0)
    theirs = SepCMA(np.ones(4), 1.0, seed=7, population_size=6)
    for _ in range(3):
        vectors = ours.ask()
        np.testing.assert_array_equal(vectors, np.stack([theirs.ask() for _ in range(6)]))
        ours.tell(vectors, vectors[:, 0])
        theirs.tell([(vector, -vector[0]) for vector in vectors])
