import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score

from dgn.am.facets import agreement, class_images, find_facets
from dgn.errors import UserError


@pytest.fixture(scope="module")
def kinds() -> tuple[torch.Tensor, list[str]]:
    """Codes of shape (8, 2, 2) around three centres; 40, 20 and 10 of them, shuffled."""
    random = np.random.default_rng(0)
    names = np.array(["many"] * 40 + ["some"] * 20 + ["few"] * 10)
    random.shuffle(names)
    centres = {name: 5 * random.normal(size=32) for name in ("many", "some", "few")}
    codes = np.stack([centres[name] + random.normal(size=32) for name in names])
    return torch.from_numpy(codes).float().reshape(-1, 8, 2, 2), names.tolist()


def test_kinds_that_are_there_are_found_largest_first(kinds):
    codes, names = kinds
    found = find_facets(codes, 3)
    assert agreement(found.labels, names) == 1
    assert [len(facet.members) for facet in found.facets] == [40, 20, 10]
    assert [facet.share for facet in found.facets] == pytest.approx([4 / 7, 2 / 7, 1 / 7])
    assert {names[i] for i in found.facets[2].members} == {"few"}
    assert found.embedding.shape == (70, 2)


def test_members_come_nearest_to_the_centre_first_and_fifteen_of_them_make_the_start(kinds):
    codes, _ = kinds
    found = find_facets(codes, 3)
    for label, facet in enumerate(found.facets):
        members = found.embedding[list(facet.members)]
        away = np.linalg.norm(members - found.embedding[found.labels == label].mean(0), axis=1)
        assert (np.diff(away) >= -1e-3 * away.max()).all()
        assert len(facet.nearest()) == min(15, len(facet.members))
    starts = found.starts(codes)
    assert starts.shape == (3, 8, 2, 2)
    torch.testing.assert_close(starts[0], codes[list(found.facets[0].members[:15])].mean(0))
    images = (255 * torch.rand(70, 3, 4, 4)).byte()
    expected = images[list(found.facets[2].members)].numpy().mean(0)
    np.testing.assert_allclose(found.facets[2].mean(images), expected, rtol=1e-5)


def test_the_same_seed_finds_the_same_facets(kinds):
    a, b = (find_facets(kinds[0], 4, seed=3) for _ in range(2))
    assert [f.members for f in a.facets] == [f.members for f in b.facets]


@pytest.mark.parametrize("count", [4, 7])
def test_few_images_have_facets_too(kinds, count):
    found = find_facets(kinds[0][:count], 2)
    assert sorted(i for f in found.facets for i in f.members) == list(range(count))


def test_one_facet_is_all_images(kinds):
    assert len(find_facets(kinds[0], 1).facets[0].members) == 70


def test_data_that_cannot_be_split_are_a_user_error(kinds):
    for codes, k in ((kinds[0][:3], 1), (kinds[0][:5], 6), (kinds[0], 0), (torch.ones(9, 4), 2)):
        with pytest.raises(UserError, match="facets="):
            find_facets(codes, k)


def test_agreement_is_the_adjusted_rand_index():
    random = np.random.default_rng(1)
    a, b = random.integers(3, size=200), random.integers(4, size=200)
    # Hubert & Arabie's formula, from the table of how often each pair of names meets
    table = np.array([[np.sum((a == i) & (b == j)) for j in range(4)] for i in range(3)])
    pairs = lambda n: (n * (n - 1) / 2).sum()  # noqa: E731
    expected = pairs(table.sum(0)) * pairs(table.sum(1)) / pairs(np.array([200]))
    largest = (pairs(table.sum(0)) + pairs(table.sum(1))) / 2
    assert agreement(a, b.tolist()) == pytest.approx((pairs(table) - expected) / (largest - expected))
    assert agreement([0, 0, 1], ["x", "x", "y"]) == adjusted_rand_score([1, 1, 0], [0, 0, 1]) == 1


def test_reading_stops_when_a_class_has_enough_images():
    images, read = torch.rand(20, 3, 2, 2), []

    def batches():
        for i in range(0, 20, 5):
            read.append(i)
            yield images[i : i + 5], torch.arange(i, i + 5) % 2

    assert torch.equal(class_images(batches(), 1, 4), images[1::2][:4])
    assert read == [0, 5]
    assert len(class_images(batches(), 0, 99)) == 10
    with pytest.raises(UserError, match="class 7"):
        class_images(batches(), 7, 3)
