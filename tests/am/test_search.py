import numpy as np
import pytest
import torch
from torch import nn

from dgn.am.maximize import activations_of, fitting_batch, maximize
from dgn.am.objectives import Objective, Unit
from dgn.am.parametrizations import FC6_RANGE, Code
from dgn.am.regularizers import Clip, Decay, L2Loss
from dgn.am.updates import Adam, NormalizedAscent
from dgn.networks.featurenet import FeatureNet
from dgn.networks.generator import UpconvGenerator
from dgn.networks.inputs import InputSpace
from dgn.prior import Prior
from dgn.statistics import UnitStatistics


@pytest.fixture
def prior():
    torch.manual_seed(0)
    generator = UpconvGenerator((6,), 8, "fc 12, reshape 3x2x2, up 4, up 3").requires_grad_(False)
    statistics = UnitStatistics(torch.full((6,), 1.0), torch.full((6,), 0.5), torch.zeros(6), torch.full((6,), 3.0), 10)
    return Prior(generator, statistics, {"layer": "fc", "encoder": {}})


@pytest.fixture
def target():
    torch.manual_seed(1)
    layers = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 5), nn.ReLU(), nn.Linear(5, 4))
    return FeatureNet(layers, InputSpace(size=(8, 8)), "tiny")


def unit(layer: str, index: int) -> Objective:
    return Objective(((1.0, Unit(layer, index)),))


def test_a_dgn_am_step_is_the_papers_in_numpy(prior, target):
    """y <- clip(0.99 (y + step * g / mean|g|), 0, mean + 3 sigma), with g by finite differences."""
    found = maximize(
        target, [unit("3", 2)], Code(prior), lambda: NormalizedAscent(8, 1e-10), [Decay(0.99), Clip()], [7], steps=1
    )
    scale = 2.5 / FC6_RANGE
    y = scale * torch.randn(6, generator=torch.Generator().manual_seed(7)).double()
    prior.generator.double()
    target.double()

    def activation(code: torch.Tensor) -> float:
        return float(target(prior.decode(code[None]), ["3"])["3"][0, 2])

    eps = 1e-6
    gradient = np.array([(activation(y + eps * e) - activation(y - eps * e)) / (2 * eps) for e in torch.eye(6)])
    stepped = y.numpy() + 8 * scale * gradient / np.abs(gradient).mean()
    expected = np.clip(0.99 * stepped, 0, 1 + 3 * 0.5)
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


def test_the_l2_term_is_the_squared_norm_on_the_papers_scale(prior):
    codes = torch.rand(2, 6)
    expected = 0.005 * ((codes.numpy() / (2.5 / FC6_RANGE)) ** 2).sum(1)
    np.testing.assert_allclose(L2Loss(0.005).loss(codes, Code(prior)), expected, rtol=1e-5)


def test_codes_stay_within_their_bounds(prior, target):
    code = Code(prior)
    kept = []

    class Note:
        def project(self, parameters, parametrization):
            kept.append(parameters.clone())

    maximize(target, [unit("3", 0)], code, NormalizedAscent, [Decay(), Clip(), Note()], range(3), steps=20)
    codes = torch.cat(kept)
    assert codes.min() >= 0
    assert codes.max() <= 2.5
    assert (codes == 2.5).any()


def test_batches_do_not_change_what_is_found(prior, target):
    objectives = [unit("3", i) for i in range(4)]
    runs = [
        maximize(target, objectives, Code(prior), NormalizedAscent, [Decay(), Clip()], [0, 1], steps=10, batch_size=n)
        for n in (8, 3, 1)
    ]
    for other in runs[1:]:
        torch.testing.assert_close(other.images, runs[0].images, atol=1e-4, rtol=0)
    assert [(str(o), s) for o, s in zip(runs[0].objectives, runs[0].seeds, strict=True)][:3] == [
        ("3:0", 0),
        ("3:0", 1),
        ("3:1", 0),
    ]


def test_the_search_excites_the_unit_it_was_sent_for(prior, target):
    objectives = [unit("3", i) for i in range(4)]
    found = maximize(target, objectives, Code(prior), NormalizedAscent, [Decay(), Clip()], [0, 1], steps=50)
    rivals = torch.stack([o.values(target(found.images, ["3"])) for o in objectives], 1)
    for i in range(4):
        assert rivals[2 * i : 2 * i + 2, i].min() >= rivals[:, i].median()
    assert (found.activations > found.curve[0]).all()


def test_a_silenced_unit_is_climbed_below_its_relu(prior, target):
    target.network[1].bias.data.fill_(-50.0)
    found = maximize(target, [unit("2", 1)], Code(prior), NormalizedAscent, [Clip()], [0], steps=5)
    assert found.curve[-1, 0] > found.curve[0, 0]
    assert found.activations[0] == 0


def test_activations_of_real_images(target):
    images = torch.rand(7, 3, 8, 8)
    found = activations_of(target, [unit("3", 1), unit("1", 0)], images.split(3))
    torch.testing.assert_close(found[:, 0], target(images, ["3"])["3"][:, 1])
    torch.testing.assert_close(found[:, 1], target(images, ["1"])["1"][:, 0])


def test_a_batch_that_fits_is_smaller_for_larger_images(target):
    small = UpconvGenerator((4,), 64, width=0.1).requires_grad_(False)
    large = UpconvGenerator((4,), 512, width=1.0).requires_grad_(False)
    ones = torch.ones(4)
    batches = []
    for generator in (small, large):
        prior = Prior(generator, UnitStatistics(ones, ones, 0 * ones, ones, 1), {"layer": "", "encoder": {}})
        batches.append(fitting_batch(target, unit("3", 0), Code(prior)))
    assert batches[0] == 256
    assert 1 <= batches[1] < 256
