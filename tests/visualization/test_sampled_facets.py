"""facet_source=samples: which samples excite a unit, and where the searches start."""

import numpy as np
import pytest
import torch

from dgn.am.facets import Facet, Facets
from dgn.am.objectives.language import parse_units
from dgn.errors import UserError
from dgn.networks.zoo import mini_caffenet
from dgn.visualization.facets import UnitFacets, starts_in_facets
from dgn.visualization.sampled_facets import choose, find_sampled_facets
from dgn.visualization.settings import FacetSettings


@pytest.fixture(scope="module")
def net():
    return mini_caffenet(classes=4, seed=1)


def test_a_class_has_the_better_half_of_its_samples_and_other_units_a_tenth_of_all(net):
    objectives = parse_units("fc8:0, fc8:3, conv3:1", net)
    random = np.random.default_rng(0)
    values = random.normal(size=(1000, 3))
    seen = random.choice(4, p=[0.6, 0.2, 0.19, 0.01], size=1000)
    chosen = choose(objectives, torch.from_numpy(values), torch.from_numpy(seen), net)
    own = np.flatnonzero(seen == 0)
    better = own[np.argsort(-values[own, 0])[: len(own) // 2]]
    assert chosen[objectives[0]] == sorted(better.tolist())
    assert chosen[objectives[1]] == sorted(np.argsort(-values[:, 1])[:50].tolist())  # rarely drawn: of any class
    assert chosen[objectives[2]] == sorted(np.argsort(-values[:, 2])[:100].tolist())


class _Prior:
    """A prior whose encoder is not there."""

    def encode(self, images):
        raise AssertionError("codes of samples are known")


def test_searches_start_at_the_mean_code_of_the_samples_without_an_encoder():
    prior, codes = _Prior(), torch.rand(6, 5)
    facets = Facets((Facet((0, 2, 4), 0.5), Facet((1, 3, 5), 0.5)), np.array([0, 1] * 3), np.zeros((6, 2)))
    unit = UnitFacets(list(range(6)), torch.rand(6, 3, 4, 4), facets, codes, prior)
    starts = starts_in_facets({"objective": unit}, prior)
    np.testing.assert_allclose(starts.codes["objective"][1], codes.numpy()[[1, 3, 5]].mean(0), rtol=1e-6)


def test_a_prior_that_cannot_draw_is_refused(net):
    with pytest.raises(UserError, match="needs a prior"):
        find_sampled_facets(FacetSettings(2, source="samples"), net, parse_units("fc8:0", net), [])
