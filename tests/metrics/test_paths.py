from collections import OrderedDict

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from dgn.am.objectives.language import parse_units
from dgn.metrics.paths import PathSimilarity, RealOfUnit, path_similarity, unit_images
from dgn.networks.featurenet import FeatureNet
from dgn.networks.inputs import InputSpace


@pytest.fixture
def images():
    return torch.rand(30, 3, 12, 12, generator=torch.Generator().manual_seed(7))


def test_the_correlations_are_scipys(net, images):
    real = {"fc:0": RealOfUnit(images[:4], images[4:9]), "fc:1": RealOfUnit(images[9:12], images[12:14])}
    methods = {"mine": {"fc:0": images[14:17], "fc:1": images[17:18]}, "few": {"fc:1": images[18:20]}}
    found = path_similarity(net, methods, real, ["conv1", "conv2"])
    for column, layer in enumerate(("conv1", "conv2")):
        flat = net(images, [layer])[layer].flatten(1).numpy()

        def mean(some, others, flat=flat):
            pairs = [(i, j) for i in some for j in others if i != j]
            return np.mean([spearmanr(flat[i], flat[j]).statistic for i, j in pairs])

        same, other = range(4), range(4, 9)
        mine = found["mine"]
        assert mine.same[0, column] == pytest.approx(mean(same, same))
        assert mine.other[0, column] == pytest.approx(mean(same, other))
        assert mine.preferred[0, column] == pytest.approx(mean(range(14, 17), same))
        assert mine.preferred_other[0, column] == pytest.approx(mean(range(14, 17), other))
        assert mine.preferred[1, column] == pytest.approx(mean([17], range(9, 12)))
        assert found["few"].preferred[1, column] == pytest.approx(mean([18, 19], range(9, 12)))
    assert np.isnan(found["few"].preferred[0]).all()
    assert np.isnan(found["few"].per_unit[0])


def test_a_large_map_is_ranked_at_some_of_its_activations():
    """102,400 activations of smooth pictures, whose correlation a third of them estimates."""
    torch.manual_seed(0)
    layers = nn.Sequential(OrderedDict(conv=nn.Conv2d(3, 64, 3, padding=1)))
    net = FeatureNet(layers, InputSpace(size=(40, 40)), "large")
    small = torch.rand(4, 3, 5, 5, generator=torch.Generator().manual_seed(1))
    pictures = nn.functional.interpolate(small, (40, 40), mode="bilinear")
    real = {"conv:0": RealOfUnit(pictures[:2], pictures[2:])}
    found = path_similarity(net, {"mine": {"conv:0": pictures[:1]}}, real, ["conv"])["mine"]
    flat = net(pictures, ["conv"])["conv"].flatten(1).detach().numpy()
    assert flat.shape[1] == 102_400
    assert found.same[0, 0] == pytest.approx(spearmanr(flat[0], flat[1]).statistic, abs=0.02)
    others = np.mean([spearmanr(flat[i], flat[j]).statistic for i in (0, 1) for j in (2, 3)])
    assert found.other[0, 0] == pytest.approx(others, abs=0.02)


def test_the_normalization_has_real_images_at_1_and_other_classes_at_0():
    same, other = np.array([[0.8, 0.6], [0.4, 0.5]]), np.array([[0.2, 0.5], [0.2, 0.5]])
    of = lambda preferred: PathSimilarity(("a", "b"), ("one", "two"), preferred, same, other, 0 * other)  # noqa: E731
    assert of(same).curve.tolist() == [1, 1]
    assert of(other).curve.tolist() == [0, 0]
    half = of((same + other) / 2)
    np.testing.assert_allclose(half.curve, [0.5, 0.5])
    np.testing.assert_allclose(half.per_unit, [0.5, 0.5])
    np.testing.assert_allclose(half.of_unit("b"), [0.5, np.nan])  # in the second layer b's images are like any
    mixed = np.array([[0.8, 0.5], [np.nan, np.nan]])
    np.testing.assert_allclose(of(mixed).per_unit, [0.6 / 0.7, np.nan])
    np.testing.assert_allclose(of(mixed).curve, [1, 0])
    np.testing.assert_allclose(of(same - other).class_share, [1, 1])
    np.testing.assert_allclose(of(0 * same).class_share, [0, 0])
    random = PathSimilarity(("a", "b"), ("one", "two"), same, 0.95 + 0.02 * other, 0.95 - 0.02 * other, 0 * other)
    assert np.isnan(random.curve).tolist() == [True, False]  # 0.008 and 0.02 apart


def test_a_unit_with_too_few_real_images_has_no_figure(net, images):
    real = {"fc:0": RealOfUnit(images[:1], images[1:3]), "fc:1": RealOfUnit(images[:2], images[:0])}
    found = path_similarity(net, {"mine": {"fc:0": images[:2], "fc:1": images[:2]}}, real)["mine"]
    assert np.isnan(found.per_unit).all()
    assert found.layers == ("conv1", "conv2", "fc")
    assert np.isnan(found.curve).all()


def test_real_images_of_a_class_take_its_path_and_others_do_not(world):
    objectives = parse_units("fc5:all", world.target)
    units = [str(objective) for objective in objectives]
    labels = world.labels[:400].tolist()
    classes = {unit: i for i, unit in enumerate(units)}
    real = unit_images(world.target, objectives, lambda: world.images[:400].split(64), labels, classes)
    held_out, own = world.images[400:], world.labels[400:]
    of_class = {unit: held_out[own == i][:6] for unit, i in classes.items()}
    of_others = {unit: held_out[own != i][:60] for unit, i in classes.items()}
    found = path_similarity(world.target, {"class": of_class, "others": of_others}, real)
    np.testing.assert_allclose(found["class"].curve[2:], 1, atol=0.2)
    np.testing.assert_allclose(found["others"].curve[2:], 0, atol=0.2)
    assert np.nanmedian(found["class"].per_unit) > 0.8
    assert abs(np.nanmedian(found["others"].per_unit)) < 0.2


def test_a_units_class_is_its_label_or_what_excites_it_most(net, images):
    objectives = parse_units("fc:0, conv2:1@mean", net)
    labels = [0, 1, 2] * 10
    found = unit_images(net, objectives, lambda: images.split(7), labels, {"fc:0": 2}, count=6)
    torch.testing.assert_close(found["fc:0"].same, images[2::3][:6])
    values = net(images, ["conv2"])["conv2"][:, 1].mean((1, 2))
    torch.testing.assert_close(found["conv2:1@mean"].same, images[values.argsort(descending=True)[:6]])
    numbers = {tuple(image.flatten().tolist()): i for i, image in enumerate(images)}
    for unit, excluded in (("fc:0", set(range(2, 30, 3))), ("conv2:1@mean", set(values.argsort()[-6:].tolist()))):
        other = {numbers[tuple(image.flatten().tolist())] for image in found[unit].other}
        assert len(other) == 6
        assert not other & excluded
