import numpy as np
import pytest
import torch

from dgn.data.doodles import CLASSES, FACETS, Doodles
from dgn.errors import UserError
from dgn.metrics.facet_recognition import (
    doodle_facet_judges,
    facet_coverage,
    fit_facet_judge,
    labelled_doodles,
)


def tinted(names: list[str], seed: int) -> torch.Tensor:
    """Dark and bright images, named so."""
    level = torch.tensor([0.2 if name == "dark" else 0.8 for name in names])
    noise = 0.05 * torch.randn(len(names), 3, 12, 12, generator=torch.Generator().manual_seed(seed))
    return (level[:, None, None, None] + noise).clamp(0, 1)


NAMES = ["dark", "bright", "bright", "dark"] * 6


def test_a_facet_judge_tells_facets_apart_and_says_how_well(net):
    judge = fit_facet_judge(net, tinted(NAMES, 0), NAMES, (tinted(NAMES, 1), NAMES))
    assert judge.accuracy == 1
    assert judge(tinted(NAMES[:5], 2).split(2)) == NAMES[:5]
    assert judge.probabilities(tinted(NAMES, 2)).sum(1) == pytest.approx(np.ones(24))
    swapped = ["bright" if name == "dark" else "dark" for name in NAMES]
    assert fit_facet_judge(net, tinted(NAMES, 0), NAMES, (tinted(NAMES, 1), swapped)).accuracy == 0


def test_a_single_facet_cannot_be_judged(net):
    with pytest.raises(UserError, match="at least two"):
        fit_facet_judge(net, tinted(["dark"] * 4, 0), ["dark"] * 4)


def test_a_facet_is_shown_only_where_class_and_facet_are_recognized(net):
    expert = fit_facet_judge(net, tinted(NAMES, 0), NAMES, (tinted(NAMES, 1), NAMES))
    images = tinted(["dark", "bright", "dark"], 5)
    seen = net(images, ["fc"])["fc"].argmax(1).tolist()
    classes = [net.labels[i] for i in seen]
    experts = dict.fromkeys(net.labels, expert)
    assert facet_coverage(net, {}, images, classes).shown.keys() == set(classes)
    found = facet_coverage(net, experts, images, classes)
    places = {name: sorted(i for facets in found.shown[name].values() for i in facets) for name in found.shown}
    assert sorted(i for found_at in places.values() for i in found_at) == [0, 1, 2]
    for i, facet in enumerate(["dark", "bright", "dark"]):
        assert i in found.shown[classes[i]][facet]
    assert found.accuracy[classes[0]] == 1
    wrong = [net.labels[(i + 1) % 3] for i in seen]
    nothing = facet_coverage(net, experts, images, wrong)
    assert nothing.complete == []
    assert not any(any(facets.values()) for facets in nothing.shown.values())


def test_doodles_of_a_class_come_with_their_facets(net):
    name = CLASSES[-1]
    images, facets = labelled_doodles(name, "test", 5, 32)
    data = Doodles("test", 32, 5 * len(CLASSES))
    assert images.shape == (5, 3, 32, 32)
    for i, (image, facet) in enumerate(zip(images, facets, strict=True)):
        place = i * len(CLASSES) + len(CLASSES) - 1
        torch.testing.assert_close(image, data[place][0] / 255)
        assert data.describe(place)["facet"] == facet
    judges = doodle_facet_judges(net, [name], 32, per_class=24, held_out=8)
    assert set(judges[name].facets) == set(FACETS[name])
    assert 0 <= judges[name].accuracy <= 1
    with pytest.raises(UserError, match="no class 'yeti'"):
        doodle_facet_judges(net, ["yeti"])
