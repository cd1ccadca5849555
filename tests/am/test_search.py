import numpy as np
import pytest
import torch

from dgn.am.batch_size import ON_CPU, searches_together
from dgn.am.maximize import Stage, fitting_batch, maximize, objective_values
from dgn.am.objectives.algebra import Objective
from dgn.am.objectives.language import parse_units
from dgn.am.objectives.terms import Unit
from dgn.am.parametrizations.code import Code
from dgn.am.parametrizations.coordinates import FC6_RANGE
from dgn.am.parametrizations.pixels import Pixels
from dgn.am.regularizers.parameters import Clip, Decay, L2Loss
from dgn.am.setting import Setting
from dgn.am.step import Draws, Step
from dgn.am.updates import Adam, AdaptiveMomentum, NAdam, NormalizedAscent
from dgn.methods import dgn_am
from dgn.networks.generator import UpconvGenerator
from dgn.prior import Prior
from dgn.prior.statistics import UnitStatistics

CLASSES = "4"  # the layer of logits


def unit(layer: str, index: int) -> Objective:
    return Objective(((1.0, Unit(layer, index)),))


@pytest.fixture
def published(setting):
    """DGN-AM as a stage of so many steps."""
    return lambda steps, *more: Stage(Code(setting), NormalizedAscent, [Clip(), Decay(), *more], steps)


def test_a_dgn_am_step_is_the_papers_in_numpy(prior, target, published):
    """y <- 0.99 clip(y + step * g / mean|g|, 0, mean + 3 sigma), with g by finite differences."""
    found = maximize(target, [unit(CLASSES, 0)], published(1), [10])
    scale = 2.5 / FC6_RANGE
    y = scale * torch.randn(5, generator=torch.Generator().manual_seed(10)).double()
    prior.generator.double()
    target.double()

    def activation(code: torch.Tensor) -> float:
        return float(target(prior.decode(code[None]), [CLASSES])[CLASSES][0, 0])

    eps = 1e-6
    gradient = np.array([(activation(y + eps * e) - activation(y - eps * e)) / (2 * eps) for e in torch.eye(5)])
    stepped = y.numpy() + 8 * scale * gradient / np.abs(gradient).mean()
    expected = 0.99 * np.clip(stepped, 0, 1 + 3 * 0.5)
    assert (stepped > 1 + 3 * 0.5).any()  # so that the order of the two is seen
    image = prior.decode(torch.tensor(expected)[None]).float()
    torch.testing.assert_close(found.images, image, atol=1e-4, rtol=0)
    assert found.curve[0, 0].item() == pytest.approx(activation(y), abs=1e-5)
    assert found.activations[0].item() == pytest.approx(activation(torch.tensor(expected)), abs=1e-4)


def test_the_step_size_falls_linearly():
    update, y = NormalizedAscent(8, 0), torch.zeros(1, 4)
    update.begin(y, steps=4, unit=0.5)
    sizes = []
    for i in range(4):
        before = y.clone()
        update.step(y, torch.tensor([[3.0, 1.0, 0.0, 0.0]]), i)
        sizes.append(float((y - before).abs().mean()))
    assert sizes == pytest.approx([4, 3, 2, 1])


def test_adam_follows_torchs_adam_upwards():
    y, reference = torch.ones(2, 3), torch.ones(2, 3, requires_grad=True)
    update = Adam(lr=0.1, decay=False)
    update.begin(y, steps=5, unit=2.0)
    optimizer = torch.optim.Adam([reference], lr=0.2, maximize=True)
    for i in range(5):
        gradient = torch.sin(torch.arange(6.0).view(2, 3) + i)
        reference.grad = gradient.clone()
        optimizer.step()
        update.step(y, gradient, i)
    torch.testing.assert_close(y, reference.detach())


@pytest.mark.parametrize(("ours", "theirs"), [(Adam, torch.optim.Adam), (NAdam, torch.optim.NAdam)])
def test_a_falling_rate_is_torchs_optimizer_at_that_rate(ours, theirs):
    y, reference = torch.ones(2, 3), torch.ones(2, 3, requires_grad=True)
    update, optimizer = ours(lr=0.4), theirs([reference], lr=0.4, maximize=True)
    update.begin(y, steps=4, unit=1.0)
    for i in range(4):
        gradient = torch.cos(torch.arange(6.0).view(2, 3) + i)
        optimizer.param_groups[0]["lr"] = 0.4 * (1 - i / 4)
        reference.grad = gradient.clone()
        optimizer.step()
        update.step(y, gradient, i)
    torch.testing.assert_close(y, reference.detach())


def test_adaptive_momentum_is_mahendrans_in_numpy():
    x = torch.full((1, 4), 0.2)
    update = AdaptiveMomentum(lr=50, momentum=0.9)
    update.begin(x, steps=3, unit=1 / 255)
    y, squares, momentum = np.full(4, 0.2 * 255), np.zeros(4), np.zeros(4)
    for i in range(3):
        gradient = np.array([1e-3, -0.2, 4.0, 0.0]) * (i + 1)
        squares = 0.9 * squares + gradient**2
        momentum = 0.9 * momentum + gradient / (1 / 50 + np.sqrt(squares))
        y = y + momentum
        update.step(x, torch.from_numpy(255 * gradient).float()[None], i)
    np.testing.assert_allclose(255 * x[0], y, rtol=1e-4)


def test_the_l2_term_counts_codes_on_the_papers_scale(setting, prior, target):
    codes = torch.rand(2, 5)
    expected = 0.005 * ((codes.numpy() / (2.5 / FC6_RANGE)) ** 2).sum(1)
    step = Step(Code(setting), codes, codes, Draws([0, 1]), 0, 1)
    np.testing.assert_allclose(L2Loss(0.005).loss(step), expected, rtol=1e-5)


def test_losses_are_subtracted_from_the_objective(setting, target):
    """One plain step on the logit - lambda |x|^2 (Simonyan et al. 2013), x counted on 0..255, in numpy."""

    class Plain:
        def begin(self, parameters, steps, unit):
            pass

        def step(self, parameters, gradient, i):
            parameters.add_(gradient, alpha=1e-3)

    pixels = Pixels(setting, noise=10)
    stage = Stage(pixels, Plain, [L2Loss(1e-4)], 1)
    found = maximize(target, [unit(CLASSES, 1)], stage, [3])
    start = pixels.start([3]).requires_grad_(True)
    target(pixels.images(start), [CLASSES])[CLASSES][0, 1].backward()
    x = start.detach().double().numpy()
    expected = x + 1e-3 * (start.grad.double().numpy() - 2 * 1e-4 * 255**2 * x)
    zero = np.array([0.4, 0.5, 0.6])[:, None, None]
    np.testing.assert_allclose(found.images, (zero + expected).clip(0, 1), atol=1e-5)


def test_codes_stay_within_their_bounds(target, published):
    kept = []

    class Note:
        def project(self, step):
            kept.append(step.parameters.clone())

    maximize(target, [unit(CLASSES, 0)], published(20, Note()), range(8))
    codes = torch.cat(kept)
    assert codes.min() >= 0
    assert codes.max() <= 0.99 * 2.5
    assert (codes > 0.98 * 2.5).any()


def test_batches_do_not_change_the_result(target, published):
    objectives = [unit(CLASSES, i) for i in range(4)]
    runs = [maximize(target, objectives, published(10), [0, 1], batch_size=n) for n in (8, 3, 1)]
    for other in runs[1:]:
        torch.testing.assert_close(other.images, runs[0].images, atol=1e-4, rtol=0)
    assert [(str(o), s) for o, s in zip(runs[0].objectives, runs[0].seeds, strict=True)][:3] == [
        ("4:0", 0),
        ("4:0", 1),
        ("4:1", 0),
    ]


def test_the_search_excites_the_unit_it_was_sent_for(setting, target):
    objectives = parse_units("log_softmax(4:all)", target)
    stage = Stage(Pixels(setting, noise=10), lambda: NormalizedAscent(8, 1), [Clip()], 50)
    found = maximize(target, objectives, stage, [0, 1])
    seen = target(found.images, [CLASSES])[CLASSES].argmax(1)
    assert seen.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert (found.activations > found.curve[0]).all()


def test_a_silent_unit_is_maximized_below_its_relu(target, published):
    target.network[2][1].bias.data.fill_(-50.0)
    found = maximize(target, [unit("3", 1)], published(5), [0])
    assert found.curve[-1, 0] > found.curve[0, 0]
    assert found.activations[0] == 0


def test_each_stage_starts_from_the_images_of_the_previous_one(setting, target):
    """Two stages of one parametrization are one search; a larger one continues from the enlarged image."""
    pixels, larger = Pixels(setting, noise=10), Pixels(setting, scale=1.5)

    def update():
        return NormalizedAscent(2, 2)

    objectives = [unit(CLASSES, 1)]
    once = maximize(target, objectives, Stage(pixels, update, [Clip()], 6), [4])
    parts = [Stage(pixels, update, [Clip()], 4), Stage(pixels, update, [Clip()], 2)]
    twice = maximize(target, objectives, parts, [4])
    torch.testing.assert_close(once.images, twice.images, atol=1e-5, rtol=0)
    torch.testing.assert_close(once.curve, twice.curve, atol=1e-4, rtol=1e-4)
    grown = maximize(target, objectives, [parts[0], Stage(larger, update, [], 0)], [4]).images
    kept = maximize(target, objectives, parts[0], [4]).images
    expected = torch.nn.functional.interpolate(kept, (18, 18), mode="bicubic").clamp(0, 1)
    torch.testing.assert_close(grown, expected, atol=1e-5, rtol=0)


def test_dgn_am_in_a_line_is_the_published_method(prior, target, published):
    objectives = parse_units("4:0,4:3", target)
    found = dgn_am(prior, objectives, seeds=[1], steps=5)
    torch.testing.assert_close(found.images, maximize(target, objectives, published(5), [1]).images)


def test_activations_of_real_images(target):
    images = torch.rand(7, 3, 12, 12)
    found = objective_values(target, [unit(CLASSES, 1), unit("3", 0)], images.split(3))
    torch.testing.assert_close(found[:, 0], target(images, [CLASSES])[CLASSES][:, 1])
    torch.testing.assert_close(found[:, 1], target(images, ["3"])["3"][:, 0])


def test_a_batch_that_fits_is_smaller_for_larger_images(target):
    ones = torch.ones(4)
    batches = []
    for size, width in ((64, 0.1), (512, 1.0)):
        generator = UpconvGenerator((4,), size, width=width).requires_grad_(False)
        prior = Prior(generator, UnitStatistics(ones, ones, 0 * ones, ones, 1), {"layer": "", "encoder": {}})
        batches.append(fitting_batch(target, unit(CLASSES, 0), [Stage(Code(Setting(target, prior)), NormalizedAscent)]))
    assert batches[0] == 256
    assert 1 <= batches[1] < 256


def test_by_default_a_batch_is_of_whole_units_and_small_on_a_cpu(target, setting):
    stages = [Stage(Code(setting), NormalizedAscent)]
    counts = [searches_together(target, unit(CLASSES, 0), stages, seeds) for seeds in (1, 3, 10, 40)]
    assert counts == [ON_CPU, ON_CPU // 3 * 3, 10, ON_CPU]


class Memory:
    """Keeps batches in memory, and counts those that are searched."""

    def __init__(self) -> None:
        self.batches, self.searched = {}, []

    @property
    def batch_size(self) -> int | None:
        return len(self.batches[0].seeds) if self.batches else None

    def find(self, number, objectives, seeds):
        return self.batches.get(number)

    def add(self, number, preferred, seconds):
        assert seconds > 0
        self.searched.append(number)
        self.batches[number] = preferred


def test_searches_that_are_kept_are_not_run_again(target, setting):
    objectives = [unit(CLASSES, i) for i in range(3)]
    stages, memory, steps = Stage(Code(setting), NormalizedAscent, steps=3), Memory(), []
    whole = maximize(target, objectives, stages, 2, batch_size=2, kept=memory)
    assert memory.searched == [0, 1, 2]
    del memory.batches[1]

    def count(ticks, total):
        steps.append(total)
        return ticks

    again = maximize(target, objectives, stages, 2, kept=memory, progress=count)
    assert memory.searched == [0, 1, 2, 1]
    assert steps == [3]
    assert torch.equal(again.images, whole.images)
    assert torch.equal(again.curve, whole.curve)
    assert (again.seeds, again.objectives) == (whole.seeds, whole.objectives)
