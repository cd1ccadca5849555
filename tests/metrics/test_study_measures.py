"""Measures of the studies: repetition, kinds of images, alignment, overlap with parts, number of facets."""

import numpy as np
import pytest
import torch

from dgn.metrics.alignment import linear_cka
from dgn.metrics.dissection import part_overlap
from dgn.metrics.facet_count import facet_count
from dgn.metrics.kinds import fit_kind_judge
from dgn.metrics.repetition import repetition
from dgn.networks.zoo import mini_resnet


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def test_a_periodic_image_repeats_itself_and_one_of_noise_does_not():
    patch = drawn(1, 3, 16, 16).repeat(1, 1, 4, 4)
    assert repetition(patch).item() == pytest.approx(1, abs=1e-4)  # float32
    assert repetition(drawn(4, 3, 64, 64)).max() < 0.5


def test_a_lattice_of_dots_is_no_repetition_of_patches():
    image = drawn(1, 3, 64, 64)
    dotted = image.clone()
    dotted[:, :, ::4, ::4] += 3
    assert repetition(dotted).item() == pytest.approx(repetition(image).item(), abs=0.25)


def test_repetition_is_the_autocorrelation_of_coarse_edges():
    image = drawn(1, 3, 16, 16)
    grey = image[0].mean(0).numpy()
    edges = grey - sum(np.roll(grey, s, a) for a in (0, 1) for s in (-1, 1)) / 4
    edges -= edges.mean()
    values = [
        (edges * np.roll(edges, (i, j), (0, 1))).sum() / (edges**2).sum()
        for i in range(16)
        for j in range(16)
        if min(i, 16 - i) >= 2 or min(j, 16 - j) >= 2
    ]
    assert repetition(image).item() == pytest.approx(max(values), abs=1e-5)


def test_cka_is_one_up_to_rotation_and_scale_and_agrees_with_the_definition():
    x, y = drawn(20, 5), drawn(20, 7, seed=1)
    rotation = torch.linalg.qr(drawn(5, 5, seed=2)).Q
    assert linear_cka(x, 3 * x @ rotation + 1) == pytest.approx(1, abs=1e-5)
    a, b = (v.numpy() - v.numpy().mean(0) for v in (x, y))
    expected = np.linalg.norm(b.T @ a) ** 2 / (np.linalg.norm(a.T @ a) * np.linalg.norm(b.T @ b))
    assert linear_cka(x, y) == pytest.approx(expected, rel=1e-5)


def test_the_number_of_facets_is_that_of_separate_clusters():
    centres = 20 * torch.eye(8)[:3]
    clusters = (centres[:, None] + drawn(3, 15, 8)).flatten(0, 1)
    assert facet_count(clusters) == 3
    assert facet_count(drawn(45, 8)) == 1
    assert facet_count(torch.ones(10, 4)) == 1


def test_a_judge_of_kinds_tells_dark_from_bright_images():
    net = mini_resnet(classes=4, width=8, weights=None)
    images = {"dark": drawn(12, 3, 64, 64) / 2, "bright": drawn(12, 3, 64, 64, seed=1) / 2 + 0.5}
    judge = fit_kind_judge(net, {k: v[:8] for k, v in images.items()}, {k: v[8:] for k, v in images.items()})
    assert judge.accuracy == 1
    assert judge(images["dark"][8:]) == ["dark"] * 4


def test_the_overlap_with_parts_is_intersection_over_union():
    net = mini_resnet(classes=4, width=8, weights=None)
    images = drawn(3, 3, 64, 64)
    masks = torch.zeros(3, 2, 16, 16, dtype=torch.bool)
    masks[:, 0, :8], masks[:, 1, 8:] = True, True
    concepts = torch.tensor([[0, 1]] * 3)
    found = part_overlap(net, "layer1", [0, 3], [(images, masks, concepts)], 3)
    maps = net(images, ["layer1"])["layer1"][:, [0, 3]]
    for row in range(2):
        values = maps[:, row].flatten()
        on = maps[:, row] >= values.topk(round(0.05 * len(values))).values[-1]
        # The maps have the size of the masks, so that nothing is interpolated. At the threshold itself a unit is off.
        on &= maps[:, row] > values.topk(round(0.05 * len(values))).values[-1]
        for concept in range(2):
            both, either = (on & masks[:, concept]).sum(), (on | masks[:, concept]).sum()
            assert found[row, concept].item() == pytest.approx((both / either).item(), abs=1e-6)
    assert found[:, 2].tolist() == [0, 0]
