import copy

import pytest
import torch

from dgn.errors import UserError
from dgn.metrics.features import extract_features
from dgn.metrics.ranking import RankingMetrics
from dgn.networks.featurenet import FeatureNet
from dgn.prior.frechet import frechet


@pytest.fixture
def judge(net):
    torch.manual_seed(3)
    other = copy.deepcopy(net.network)
    other.apply(lambda module: getattr(module, "reset_parameters", lambda: None)())
    return FeatureNet(other, net.input_space, "judge", labels=net.labels, aliases={"conv1": "relu1"})


@pytest.fixture
def real():
    images = torch.rand(30, 3, 12, 12, generator=torch.Generator().manual_seed(1))
    return [(images[:20], torch.arange(20) % 3), (images[20:], torch.arange(20, 30) % 3)]


def test_recognition_is_the_share_of_labelled_images_that_the_judge_calls_so(net, judge):
    images = torch.rand(8, 3, 12, 12, generator=torch.Generator().manual_seed(2))
    said = [net.labels[i] for i in judge(images, ["fc"])["fc"].argmax(1)]
    wanted = [[label] for label in said[:3]] + [[next(n for n in net.labels if n != said[3])]] + [[]] * 4
    assert RankingMetrics(judge, net, None).measure(images, wanted) == {"recognition": 0.75}
    assert RankingMetrics(judge, net, None).measure(images, [[]] * 8) == {}
    assert RankingMetrics(None, net, None).measure(images, wanted) == {}


def test_the_frechet_distance_is_from_real_images_of_the_same_classes(net, judge, real):
    images = torch.rand(6, 3, 12, 12, generator=torch.Generator().manual_seed(2))
    ranking_metrics = RankingMetrics(judge, net, real, net.labels)
    everything = torch.cat([batch for batch, _ in real])
    bees = everything[1::3]
    expected = frechet(extract_features(judge, images), extract_features(judge, bees))
    assert ranking_metrics.measure(images, [["bee"]] * 6)["frechet_distance"] == pytest.approx(expected)
    whole = frechet(extract_features(judge, images), extract_features(judge, everything))
    for wanted in ([["bee"]] * 5 + [[]], [["bee"]] * 5 + [["dog"]]):
        assert ranking_metrics.measure(images, wanted)["frechet_distance"] == pytest.approx(whole)
    assert "frechet_distance" not in ranking_metrics.measure(images[:1], [[]])


def test_without_a_judge_or_labels_the_targets_features_are_compared(net, real):
    images = torch.rand(6, 3, 12, 12)
    everything = torch.cat([batch for batch, _ in real])
    ranking_metrics = RankingMetrics(None, net, real)
    expected = frechet(extract_features(net, images), extract_features(net, everything))
    assert ranking_metrics.measure(images, [["bee"]] * 6) == {"frechet_distance": pytest.approx(expected)}
    assert "tiny" in ranking_metrics.describe()
    assert RankingMetrics(None, net, None).describe() == ""


def test_the_target_does_not_judge_itself(net):
    with pytest.raises(UserError, match="shares"):
        RankingMetrics(net, net, None)
