import csv

import numpy as np
import pytest
import torch

from dgn.am.maximize import Preferred
from dgn.am.objectives.language import parse_units
from dgn.errors import UserError
from dgn.metrics.features import extract_features
from dgn.metrics.scorer import Scorer
from dgn.metrics.scores import Measured, Scores
from dgn.networks.featurenet import FeatureNet
from dgn.networks.zoo import mini_resnet
from dgn.prior.frechet import frechet


def rows() -> list[Measured]:
    random = np.random.default_rng(0)
    units = tuple(f"fc:{i}" for i in range(20))
    hard = random.normal(scale=3, size=20)
    folds = random.normal(5, 1, size=20)
    good = Measured("good", "p", units, 80, {"activation": hard + 1, "top1": np.ones(20)}, {"frechet": (5.0, folds)})
    noise = random.normal(scale=0.1, size=20)
    bad = Measured(
        "bad", "p", units, 80, {"activation": hard + noise, "top1": np.zeros(20)}, {"frechet": (9, folds + 4)}
    )
    return [good, bad]


def test_pairing_sees_a_difference_that_the_rows_own_intervals_hide():
    scores = Scores(rows())
    own = [scores.estimate(row, "activation") for row in scores.rows]
    assert own[0].low < own[1].high  # they overlap
    found = {d.figure: d.estimate for d in scores.differences()}
    assert 0.9 < found["activation"].low < found["activation"].high < 1.1
    assert found["frechet"].value == -4
    assert (found["frechet"].low, found["frechet"].high) == pytest.approx((-4, -4))


def test_only_units_that_both_rows_have_are_paired():
    good, bad = rows()
    fewer = Measured(
        "bad", "p", bad.units[5:], 60, {"activation": bad.per_unit["activation"][5:]}, {"frechet": (9, np.ones(15))}
    )
    found = Scores([good, fewer]).differences()
    assert [d.figure for d in found] == ["activation"]
    assert found[0].estimate.units == 15


def test_the_table_reads_back(tmp_path):
    scores = Scores(rows())
    paths = scores.write(tmp_path)
    assert [path.name for path in paths] == ["scores.csv", "differences.csv"]
    with paths[0].open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["method"] for row in table] == ["good", "bad"]
    assert float(table[0]["top1"]) == 1
    assert float(table[0]["top1_low"]) == pytest.approx(0.025 ** (1 / 20))
    assert float(table[1]["frechet"]) == 9
    assert [d["units"] for d in scores.to_dicts()] == [20, 20]
    with paths[1].open(newline="") as file:
        assert {row["figure"] for row in csv.DictReader(file)} == {"activation", "top1", "frechet"}


LABELS = ("ant", "bee", "cow")


@pytest.fixture
def real():
    """Noise about a colour for each class."""
    colours = torch.tensor([[0.8, 0.2, 0.2], [0.2, 0.8, 0.2], [0.2, 0.2, 0.8]])
    labels = torch.arange(60) % 3
    noise = 0.1 * torch.randn(60, 3, 12, 12, generator=torch.Generator().manual_seed(3))
    return (colours[labels][:, :, None, None] + noise).clamp(0, 1), labels


@pytest.fixture
def judge():
    return mini_resnet(classes=3, labels=list(LABELS), seed=9, width=8)


@pytest.fixture
def scorer(net, judge, real):
    images, labels = real
    first, second = (
        (lambda s=s: zip(images[s].split(8), labels[s].split(8), strict=True)) for s in (slice(45), slice(45, None))
    )
    return Scorer(net, judge, first, LABELS, second, ["conv1"])


def preferred(net: FeatureNet, units: str, images: torch.Tensor, seeds: int) -> Preferred:
    objectives = [o for o in parse_units(units, net) for _ in range(seeds)]
    values = torch.stack([o.values(net(images[i : i + 1], list(o.layers)))[0] for i, o in enumerate(objectives)])
    return Preferred(
        images, values, torch.empty(0, len(images)), objectives, list(range(seeds)) * (len(images) // seeds)
    )


def test_everything_is_measured_of_preferred_images(net, judge, real, scorer):
    images = torch.rand(9, 3, 12, 12, generator=torch.Generator().manual_seed(4))
    images[4] = real[0][7]
    made = preferred(net, "fc:all", images, 3)
    row, each = scorer.measure(made, "mine", "prior", steps=10, seconds=2.5)
    assert row.units == ("fc:0", "fc:1", "fc:2")
    assert row.plain["steps"] == 10
    assert row.per_unit["activation"] == pytest.approx(made.activations.reshape(3, 3).mean(1).numpy())
    below = [(net(real[0][:45], ["fc"])["fc"][:, i // 3] < made.activations[i]).float().mean() for i in range(9)]
    assert each.percentiles == pytest.approx([100 * float(b) for b in below], abs=1.2)
    assert row.per_unit["percentile"] == pytest.approx(np.reshape(each.percentiles, (3, 3)).mean(1))
    chosen = judge(images, ["fc"])["fc"].argmax(1)
    assert row.per_unit["top1"] == pytest.approx(
        [float((chosen[3 * i : 3 * i + 3] == i).float().mean()) for i in range(3)]
    )
    assert row.per_unit["top5"].tolist() == [1, 1, 1]
    assert each.nearest["pixels"].indices[4] == 7
    assert each.nearest["pixels"].distances[4] == each.nearest["conv1"].distances[4] == 0
    features, genuine = extract_features(judge, images), extract_features(judge, real[0][:45])
    assert row.of_set["frechet"][0] == pytest.approx(frechet(features, genuine))
    spread = torch.pdist(features[:3].double()).mean() / torch.pdist(genuine[0:45:3].double()).mean()
    assert row.per_unit["diversity"][0] == pytest.approx(float(spread), rel=1e-4)


def test_real_images_are_scored_by_the_same_code(net, real, scorer):
    objectives = parse_units("fc:ant, fc:cow, conv2:1@2,2", net)
    row, each, images = scorer.reference(objectives, 4)
    assert row.method == "real images"
    assert row.images == 12
    held_out, labels = real[0][45:], real[1][45:]
    assert torch.equal(images.images[:4], held_out[labels == 0][:4])
    assert torch.equal(images.images[4:8], held_out[labels == 2][:4])
    top = net(held_out, ["conv2"])["conv2"][:, 1, 2, 2].argsort(descending=True)[:4]
    assert torch.equal(images.images[8:], held_out[top])
    assert np.isnan(row.per_unit["top1"][2])
    assert row.plain["frechet_images"] == 8
    assert len(each.verdicts) == 12
    again, _ = scorer.measure(images, "real images")
    for figure, values in row.per_unit.items():
        np.testing.assert_array_equal(again.per_unit[figure], values)
    assert np.isfinite(row.per_unit["diversity"]).all()


def test_nearest_images_of_several_sets_equal_those_of_each_set(net, real, scorer):
    generator = torch.Generator().manual_seed(5)
    images = [torch.rand(count, 3, side, side, generator=generator) for count, side in ((3, 12), (2, 20), (4, 12))]
    images[2][3] = real[0][11]  # a cow
    units = (("fc:all", 1), ("conv2:1@2,2", 2), ("fc:ant, fc:cow", 2))
    sets = [preferred(net, u, i, n) for (u, n), i in zip(units, images, strict=True)]
    together = scorer.nearest_real(sets)
    assert together[2]["pixels"].indices[3] == 11
    for made, found in zip(sets, together, strict=True):
        (alone,) = scorer.nearest_real([made])
        for space in ("pixels", "conv1"):
            assert found[space].indices.tolist() == alone[space].indices.tolist()
            torch.testing.assert_close(found[space].distances, alone[space].distances, rtol=1e-4, atol=1e-6)


def test_classes_without_real_images_are_left_out_of_naturalness(net, judge, real):
    images, labels = real
    some = labels != 1
    scorer = Scorer(net, judge, lambda: [(images[some], labels[some])], LABELS, lambda: [(images[some], labels[some])])
    made = preferred(net, "fc:all", torch.rand(9, 3, 12, 12), 3)
    row, _ = scorer.measure(made, "mine")
    assert row.plain["frechet_images"] == 6
    assert np.isnan(row.per_unit["diversity"]).tolist() == [False, True, False]
    assert scorer.reference(parse_units("fc:all", net), 2)[0].units == ("fc:0", "fc:2")
    with pytest.raises(UserError, match="held-out"):
        scorer.reference(parse_units("fc:bee", net), 2)


def test_without_a_judge_or_real_images_the_rest_is_measured(net):
    made = preferred(net, "fc:all", torch.rand(3, 3, 12, 12), 1)
    row, each = Scorer(net, None, None).measure(made, "mine")
    assert set(row.per_unit) == {"activation"}
    assert each.percentiles is each.verdicts is None


def test_the_target_is_no_judge_of_its_own(net, real):
    with pytest.raises(UserError, match="shares"):
        Scorer(net, net, None)
