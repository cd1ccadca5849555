import math

import numpy as np
import pytest
import torch
from torch import nn

from dgn.am.maximize import Outcome, Preferred
from dgn.am.objectives.language import parse_units
from dgn.errors import UserError
from dgn.metrics.causal import occlusions
from dgn.metrics.predictive import (
    BOTH,
    REAL_STRONGEST,
    STRONGEST,
    Explanations,
    PredictivePower,
    explanations_by_unit,
)
from dgn.metrics.query_images import QueryImages
from dgn.metrics.scores import REAL
from dgn.metrics.similarity import FeatureSimilarity
from dgn.networks.featurenet import FeatureNet
from dgn.networks.inputs import InputSpace


class Brightness:
    """A similarity: minus the difference of the images' mean brightness."""

    name, network = "brightness", nn.Identity()

    def __call__(self, queries, explanations):
        return -(queries.mean((1, 2, 3))[:, None] - explanations.mean((1, 2, 3))[None]).abs()


class Units(nn.Module):
    """Four units: brightness, a constant, a number without relation to what is seen, darkness if it is dark."""

    def forward(self, images):
        level = images.mean((1, 2, 3))
        noise = torch.frac(1e4 * torch.sin(1e5 * images[:, 0, 0, 0] + 3e5 * images[:, 1, 5, 5]))
        return torch.stack([level, 0 * level, noise, (0.1 - level).relu()], 1)


@pytest.fixture
def units():
    return FeatureNet(Units(), InputSpace(size=(12, 12)), "units")


@pytest.fixture
def images():
    """Images of all levels of brightness, with a little texture."""
    generator = torch.Generator().manual_seed(4)
    levels = torch.linspace(0, 0.9, 300)[torch.randperm(300, generator=generator)]
    return levels[:, None, None, None] + 0.1 * torch.rand(300, 3, 12, 12, generator=generator)


def power(units, images, names="output:0", **settings):
    return PredictivePower(units, parse_units(names, units), lambda: images.split(32), Brightness(), **settings)


def test_the_figures_are_those_of_the_papers_formula(units, images):
    explanations = Explanations(images[:5], images[5:8])
    result = power(units, images, tasks=6, references=4).measure({"mine": {"output:0": explanations}})["mine"]
    level = images.mean((1, 2, 3)).double().numpy()
    order = np.argsort(-level)

    def delta(q, strong, weak):
        return -np.abs(level[q] - level[strong]).mean() + np.abs(level[q] - level[weak]).mean()

    margins = [delta(order[i], range(5), range(5, 8)) - delta(order[-1 - i], range(5), range(5, 8)) for i in range(6)]
    np.testing.assert_allclose(result.margins[0], margins, atol=1e-5)
    assert result.accuracy[0] == np.mean(np.array(margins) > 0)
    assert result.mis[0] == pytest.approx(np.mean([1 / (1 + math.exp(-result.alpha * m)) for m in margins]), abs=1e-5)
    assert (result.variant, result.shown[0], result.tasks[0]) == (BOTH, 5, 6)


def test_alpha_is_the_scale_of_two_random_images(units, images):
    """Real explanations: brightest and darkest; Delta is then 2 * brightness, but for the extremes."""
    result = power(units, images).measure({})[REAL]
    level = images.mean((1, 2, 3)).double().numpy()
    spread = math.sqrt(2) * np.std(2 * level)
    assert result.alpha == pytest.approx(1.702 / spread, rel=0.2)  # from a sample of 64
    assert result.accuracy[0] == 1
    assert 0.9 < result.mis[0] < 1


def test_queries_are_the_extremes_and_no_image_has_two_roles(units, images):
    queries = QueryImages(units, parse_units("output:0, output:2", units), lambda: images.split(32), memory=1)
    found = dict(queries.images())
    order = images[images.mean((1, 2, 3)).argsort(descending=True)]
    torch.testing.assert_close(found[0].strong_queries, order[:20])
    torch.testing.assert_close(found[0].strong, order[20:29])
    torch.testing.assert_close(found[0].weak_queries, order.flip(0)[:20])
    torch.testing.assert_close(found[0].weak, order.flip(0)[20:29])
    assert found[1].weak.shape == (9, 3, 12, 12)
    assert queries.sample().shape == (64, 3, 12, 12)


def test_few_images_make_fewer_tasks_and_none_make_none(units, images):
    few = dict(QueryImages(units, parse_units("output:0", units), lambda: images[:12]).images())[0]
    assert [len(part) for part in (few.strong_queries, few.weak_queries, few.strong, few.weak)] == [3, 3, 3, 3]
    everything = torch.cat([few.strong_queries, few.weak_queries, few.strong, few.weak])
    assert len(everything.unique(dim=0)) == 12
    result = power(units, images[:1]).measure({})[REAL]
    assert result.tasks.tolist() == [0]
    assert np.isnan(result.accuracy[0])


def test_a_unit_that_never_changes_has_no_figures(units, images):
    result = power(units, images, "output:0, output:1").measure({})[REAL]
    assert result.tasks.tolist() == [20, 0]
    assert np.isnan(result.mis[1])
    assert result.estimates()["2afc"].units == 1


def test_a_unit_that_few_images_excite_has_as_many_tasks(units, images):
    excite = int((images.mean((1, 2, 3)) < 0.1).sum())
    assert 4 < excite < 20
    result = power(units, images, "output:3").measure({})[REAL]
    assert result.shown[0] == excite // 2
    assert result.tasks[0] == excite - excite // 2
    assert result.accuracy[0] == 1


def test_a_unit_without_relation_to_what_is_seen_is_at_chance(units):
    """Also with its own strongest and weakest images as explanations."""
    accuracies = []
    for seed in range(40):
        images = torch.rand(100, 3, 12, 12, generator=torch.Generator().manual_seed(seed))
        accuracies.append(power(units, images, "output:2", tasks=40).measure({})[REAL].accuracy[0])
    assert np.mean(accuracies) == pytest.approx(0.5, abs=0.03)


def test_explanations_of_something_else_are_at_chance(world):
    """Noise, of different levels and colours, in 32 units of a trained network."""
    generator = torch.Generator().manual_seed(0)
    objectives = parse_units("fc5:all, conv3:0-15", world.target)
    power = PredictivePower(world.target, objectives, lambda: world.images.split(64), FeatureSimilarity(world.judge))
    sets = [
        {unit: Explanations(*(torch.rand(2, 4, 3, 32, 32, generator=generator))) for unit in power.units}
        for _ in range(3)
    ]
    results = power.measure({str(i): explanations for i, explanations in enumerate(sets)})
    accuracies = np.stack([results[str(i)].accuracy for i in range(3)])
    answered = ~np.isnan(accuracies).any(0)
    assert answered.sum() > 24  # the training may have left a unit that is silent, which has no tasks
    assert accuracies[:, answered].mean() == pytest.approx(0.5, abs=0.05)


def test_real_images_predict_the_class_units_of_a_trained_network(world):
    power = PredictivePower(
        world.target,
        parse_units("fc5:all", world.target),
        lambda: world.images.split(64),
        FeatureSimilarity(world.judge),
    )
    results = power.measure({"real": {unit: Explanations(world.images[:4]) for unit in power.units}})
    assert results[REAL].accuracy.mean() >= 0.9
    assert results[REAL_STRONGEST].accuracy.mean() >= 0.9
    assert results[REAL].mis.mean() > 0.85
    difference = results[REAL].minus(results["real"])["2afc"]
    assert difference.value == pytest.approx((results[REAL].accuracy - results["real"].accuracy).mean())
    assert difference.low > 0.2


def test_a_planted_unit_is_predicted_by_its_known_stimulus(world):
    """A unit of a red disc, near the centre, among doodles of which half have one pasted in."""
    rows, columns = torch.meshgrid(torch.arange(15.0), torch.arange(15.0), indexing="ij")
    disc = ((rows - 7) ** 2 + (columns - 7) ** 2 <= 49).float()
    red = torch.tensor([1.0, 0.0, 0.0])[:, None, None]

    def pasted(images, seed):
        images, generator = images.clone(), torch.Generator().manual_seed(seed)
        for image in images:
            y, x = torch.randint(7, 10, (2,), generator=generator).tolist()
            image[:, y : y + 15, x : x + 15] = torch.where(disc > 0, red, image[:, y : y + 15, x : x + 15])
        return images

    detector = nn.Conv2d(3, 1, 15, bias=False)
    detector.weight.data = torch.stack([disc, -disc, -disc])[None]
    network = nn.Sequential(detector, nn.AdaptiveMaxPool2d(1), nn.Flatten())
    unit = FeatureNet(network, InputSpace(size=(32, 32)), "planted")
    images = torch.cat([pasted(world.images[:100], 0), world.images[100:200]])
    power = PredictivePower(unit, parse_units("2:0", unit), lambda: images.split(64), FeatureSimilarity(world.judge))
    stimulus = Explanations(pasted(world.images[200:209], 1), world.images[200:209])
    result = power.measure({"stimulus": {"2:0": stimulus}})
    assert result["stimulus"].accuracy[0] >= 0.95
    assert result["stimulus"].mis[0] > 0.8


def test_without_minimizing_images_only_the_strongest_are_compared(units, images):
    bright = {"output:0": Explanations(images[images.mean((1, 2, 3)).argsort()[-4:]])}
    results = power(units, images).measure({"mine": bright})
    assert list(results) == ["mine", REAL, REAL_STRONGEST]
    assert [results[row].variant for row in results] == [STRONGEST, BOTH, STRONGEST]
    assert results["mine"].accuracy[0] == results[REAL_STRONGEST].accuracy[0] == 1
    level = images.mean((1, 2, 3)).sort().values
    expected = level[-1] - level[0]
    assert results["mine"].margins[0, 0] == pytest.approx(float(expected), abs=0.05)
    assert results["mine"].shown.tolist() == [4]
    assert results["mine"].alpha == results[REAL_STRONGEST].alpha != results[REAL].alpha


def test_images_that_are_not_finite_answer_nothing(units, images):
    broken = Explanations(torch.full((4, 3, 12, 12), torch.nan), images[:4])
    result = power(units, images).measure({"mine": {"output:0": broken}})["mine"]
    assert result.tasks.tolist() == [0]
    assert np.isnan(result.accuracy[0])
    assert result.estimates()["2afc"] is None


def test_explanations_of_another_size_are_resized(units, images):
    large = nn.functional.interpolate(images[:9], (30, 24))
    result = power(units, images).measure({"large": {"output:0": Explanations(large, images[:9])}})["large"]
    assert result.tasks.tolist() == [20]


def test_the_images_of_a_search_are_explanations_by_unit(units, images):
    objectives = parse_units("output:0, output:2, output:3", units)
    preferred = _preferred(images[:6], [o for o in objectives for _ in range(2)])
    preferred.outcomes[1] = Outcome(False)
    minimized = _preferred(images[6:9], [-objective for objective in objectives])
    minimized.outcomes[0] = Outcome(False, "no gradient at any step")  # the unit is silent: nothing is lower
    minimized.outcomes[2] = Outcome(False, "not finite")
    minimized.activations[2] = torch.nan
    found = explanations_by_unit(preferred, minimized)
    assert list(found) == ["output:0", "output:2", "output:3"]
    torch.testing.assert_close(found["output:0"].strong, images[:1])
    torch.testing.assert_close(found["output:2"].strong, images[2:4])
    torch.testing.assert_close(found["output:2"].weak, images[7:8])
    torch.testing.assert_close(found["output:0"].weak, images[6:7])
    assert found["output:3"].weak is None
    assert explanations_by_unit(preferred)["output:3"].weak is None


def test_the_page_can_say_that_it_is_a_proxy(units, images):
    assert "brightness, instead of people" in power(units, images).words


def _preferred(images, objectives):
    return Preferred(images, torch.zeros(len(images)), torch.empty(0, len(images)), objectives, [0] * len(images))


def test_the_causal_variant_asks_which_occlusion_lowers_the_unit_more():
    """A unit of white in the left upper corner: hiding the corner darkens it, hiding black elsewhere does nothing."""
    corner = nn.Conv2d(3, 1, 12, bias=False)
    corner.weight.data = torch.zeros(1, 3, 12, 12)
    corner.weight.data[..., :5, :5] = 1.0
    unit = FeatureNet(nn.Sequential(corner, nn.Flatten()), InputSpace(size=(12, 12)), "corner")
    images = 0.05 * torch.rand(80, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    images[::2, :, :5, :5] += 0.9
    objectives, white = parse_units("1:0", unit), Explanations(images[:1], images[1:2])
    found = occlusions(unit, objectives[0], images[:3:2], patch=5, stride=1)
    mean = images[0].mean((1, 2))[:, None, None]
    torch.testing.assert_close(found.greatest[0, :, :5, :5], mean.expand(3, 5, 5))
    torch.testing.assert_close(found.greatest[0, :, 5:], images[0, :, 5:])
    torch.testing.assert_close(found.least[0, :, :5, :5], images[0, :, :5, :5])
    drop = images[0, :, :5, :5].sum() - 25 * images[0].mean((1, 2)).sum()
    torch.testing.assert_close(found.drops[0], torch.stack([drop, torch.tensor(0.0)]), rtol=1e-4, atol=1e-4)
    power = PredictivePower(unit, objectives, lambda: images, Brightness(), tasks=5, references=3, causal=True)
    results = power.measure({"white": {"1:0": white}, "black": {"1:0": Explanations(white.weak, white.strong)}})
    assert results["white"].accuracy[0] == 1
    assert results["black"].accuracy[0] == 0
    assert results["white"].tasks.tolist() == [5]


def test_an_occlusion_larger_than_the_image_is_the_users_error(units, images):
    with pytest.raises(UserError, match="an occlusion of 13 pixels"):
        occlusions(units, parse_units("output:0", units)[0], images[:1], patch=13)
