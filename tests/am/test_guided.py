"""Guided diffusion against the closed form: a normal distribution, tilted by a linear objective, is shifted."""

import copy
import itertools

import pytest
import torch

from dgn.am.candidates import Candidates
from dgn.am.maximize import maximize
from dgn.am.objectives.language import parse_units
from dgn.am.parametrizations import Code, NoisyCode
from dgn.am.regularizers import Guidance, ReverseStep
from dgn.am.setting import Setting
from dgn.am.stage import Stage
from dgn.am.step import Draws, Step
from dgn.am.updates import Ascent
from dgn.errors import UserError
from dgn.prior.code_model import to_codes

STD = torch.tensor([2.0, 1.0, 0.5])  # of `normal_prior`


@pytest.fixture
def modelled(normal_prior, target):
    """The setting of a prior whose codes are normal along three axes."""
    return Setting(target, normal_prior)


def run(parametrization, slope, guidance, reverse, seeds, steps):
    """The parts of a stage on a linear objective, without a generator and a network."""
    parameters, draws = parametrization.start(seeds), Draws(seeds)
    update = Ascent()
    update.begin(parameters, steps, parametrization.unit)
    for i in range(steps):
        step = Step(parametrization, parameters, torch.empty(0), draws, i, steps)
        gradient = torch.stack([torch.zeros(len(seeds), 3), *2 * [slope.expand(len(seeds), 3)]], 1)
        update.step(parameters, guidance.gradient(gradient, step), i)
        reverse.project(step)
    return parameters


def prior_noise(parametrization: NoisyCode) -> float:
    return float(parametrization.levels(1)[0])


@pytest.mark.parametrize("through", ["estimate", "denoiser"])
@pytest.mark.parametrize("fresh_noise", [True, False])
@pytest.mark.parametrize("travel", [1, 2])
def test_a_linear_objective_is_raised_by_strength_standard_deviations(modelled, through, fresh_noise, travel):
    slope, strength = torch.tensor([1.0, -2.0, 3.0]) * 7, 2.5
    parametrization = NoisyCode(modelled, travel=travel)
    parameters = run(
        parametrization, slope, Guidance(strength, through), ReverseStep(fresh_noise), list(range(400)), 80 * travel
    )
    spread = (slope.square() * STD.square()).sum().sqrt()
    final = parameters[:, 1]
    expected = strength * STD.square() * slope / spread
    if not fresh_noise and travel == 1:  # what the start lacks is kept: it is noise around 0 and not around the shift
        expected = expected * (1 - STD / (STD.square() + prior_noise(parametrization) ** 2).sqrt())
    torch.testing.assert_close(final.mean(0), expected, rtol=0.05, atol=0.2)
    torch.testing.assert_close(final.std(0), STD, rtol=0.12, atol=0)
    assert float((final @ slope).mean() / spread) == pytest.approx(float(expected @ slope / spread), rel=0.06)
    assert torch.equal(parameters[:, 0], final)


@pytest.mark.parametrize(("saturation", "share"), [(0.0, 1.0), (0.3, 0.1 / 0.3)])
def test_a_saturated_objective_moves_the_estimate_less(modelled, saturation, share):
    parametrization, slope = NoisyCode(modelled), torch.tensor([1.0, -2.0, 3.0])
    guidance, parameters = Guidance(2.0, saturation=saturation), parametrization.start([0])
    spread = (slope.square() * STD.square()).sum().sqrt()
    for i, size in enumerate((1.0, 0.1)):
        step = Step(parametrization, parameters, torch.empty(0), Draws([0]), i, 10)
        move = guidance.gradient(size * torch.stack([0 * slope, slope, slope])[None], step)[0]
        variance, noise = STD.square(), parametrization.levels(10)[i].square()
        expected = 2.0 * variance * noise / (variance + noise) * slope / spread * (share if i else 1.0)
        torch.testing.assert_close(move[1], expected)
        assert not move[[0, 2]].any()


def test_a_search_that_starts_saturated_stays_near_its_start(normal_prior, target):
    """Slopes are compared with the objective's spread over the draws where a search starts at one of them."""
    objectives = parse_units("4:1", target) * 2
    parametrization = NoisyCode(Setting(target, normal_prior, begin="sample"), candidates=50)
    parameters = parametrization.start([0, 1], objectives)
    direction = torch.tensor([1.0, -2.0, 3.0])
    steepness = float((direction * STD).norm())
    candidates = Candidates(normal_prior, target, 50)
    candidates.choose([0], objectives[:1])
    spread = float(candidates.spread(objectives[:1]))
    slopes = torch.tensor([[2.0], [1e-3]]) * spread / steepness * direction  # above and far below 0.3 of the spread
    step = Step(parametrization, parameters, torch.empty(0), Draws([0, 1]), 0, 10)
    moves = Guidance(2.0, saturation=0.3).gradient(torch.stack([0 * slopes, slopes, slopes], 1), step)[:, 1]
    variance, noise = STD.square(), parametrization.levels(10)[0].square()
    move = 2.0 * variance * noise / (variance + noise) * direction / steepness
    torch.testing.assert_close(moves, torch.stack([move, 1e-3 / 0.3 * move]))


def test_other_targets_than_the_network_that_the_prior_inverts_have_a_strength_of_their_own(normal_prior, target):
    slope, moves, another = torch.tensor([1.0, -2.0, 3.0]), {}, copy.deepcopy(target)
    next(another.network.parameters()).mul_(1.1)
    for net, own in ((target, True), (another, False)):
        parametrization = NoisyCode(Setting(net, normal_prior))
        assert parametrization.targets_encoder is own
        for factor in (1.0, 0.25):
            step = Step(parametrization, parametrization.start([0]), torch.empty(0), Draws([0]), 0, 10)
            gradient = torch.stack([0 * slope, slope, slope])[None]
            moves[own, factor] = Guidance(2.0, other_target=factor).gradient(gradient, step)
    assert torch.equal(moves[True, 1.0], moves[True, 0.25])
    assert torch.equal(moves[True, 1.0], moves[False, 1.0])
    torch.testing.assert_close(moves[False, 0.25], 0.25 * moves[False, 1.0])


def test_deviations_have_the_spread_of_what_a_normal_code_can_still_be(modelled, prior):
    parametrization = NoisyCode(modelled, deviation=0.5)
    given = STD.square() / (1 / 0.7**2 * STD.square() + 1)  # a variance of v, seen with noise of variance 0.7^2
    drawn = parametrization.deviations(0.7, Draws(range(2000)))
    torch.testing.assert_close(drawn.std(0), 0.5 * given.sqrt(), rtol=0.06, atol=0)  # 2000 draws: 1.6% standard error
    assert not parametrization.deviations(0.0, Draws([0])).any()
    parameters = torch.randn(1, 3, 3)
    expected = prior.decode(to_codes(parameters[:, 1] + parameters[:, 2], prior.code_axes, prior.statistics.rectified))
    torch.testing.assert_close(parametrization.images(parameters), expected)


def test_without_strength_searches_draw_from_the_code_model(modelled, prior, target):
    stage = Stage(NoisyCode(modelled), Ascent, [Guidance(0.0), ReverseStep(fresh_noise=False)], steps=30)
    preferred = maximize(target, parse_units("4:0", target), stage, [0, 1])
    model = prior.code_model
    noisy = model.noise([torch.Generator().manual_seed(seed) for seed in (0, 1)])
    levels = model.levels(30)
    for here, there in itertools.pairwise(levels):
        clean = model(noisy, here.expand(2))
        noisy = clean + there / here * (noisy - clean)
    expected = prior.decode(to_codes(noisy, prior.code_axes, rectified=True))
    torch.testing.assert_close(preferred.images, expected, atol=1e-4, rtol=0)


def test_a_search_from_an_image_keeps_more_of_it_the_lower_its_noise(modelled, prior, target, photos):
    setting = Setting(target, prior, begin=photos[:1])
    codes = prior.encode(photos[:1])
    distances = []
    for level in (1.0, 0.01):
        start = NoisyCode(setting, from_image=level).start([0, 1, 2])
        found = to_codes(start[:, 1], prior.code_axes, rectified=False)
        distances.append(float((found[:, :3] - codes[:, :3]).norm()))
    assert distances[1] < 0.2 * distances[0]


def test_a_prior_without_a_code_model_is_refused_with_the_command_that_fits_one(setting):
    with pytest.raises(UserError, match="task=code_prior kind=diffusion"):
        NoisyCode(setting)


def test_the_parts_need_each_other_and_known_words(setting, modelled, target):
    stage = Stage(Code(setting), Ascent, [Guidance()], steps=1)
    with pytest.raises(UserError, match="NoisyCode"):
        maximize(target, "4:0", stage)
    with pytest.raises(UserError, match="estimate"):
        Guidance(through="pixels")
    with pytest.raises(UserError, match="saturation=3"):
        Guidance(saturation=3)
    with pytest.raises(UserError, match=r"other_target=-1: give a number from 0"):
        Guidance(other_target=-1)
    with pytest.raises(UserError, match="travel=0"):
        NoisyCode(modelled, travel=0)
