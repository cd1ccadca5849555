import copy

import pytest
import torch

from dgn.errors import UserError
from dgn.metrics.features import extract_features, penultimate
from dgn.metrics.recognition import judge_images, recognize
from dgn.networks.featurenet import FeatureNet
from dgn.networks.usable import check_independent
from dgn.networks.zoo import mini_caffenet, mini_resnet


@pytest.fixture
def images():
    return torch.rand(9, 3, 12, 12, generator=torch.Generator().manual_seed(5))


def test_verdicts_are_the_softmax_and_the_ranking(net, images):
    wanted = [("bee",)] * 8 + [("dog",)]
    found = judge_images(net, images, wanted)
    probabilities = net(images, ["fc"])["fc"].softmax(1)
    for row, verdict in enumerate(found[:8]):
        order = sorted(range(3), key=lambda i: -float(probabilities[row, i]))
        assert verdict.label == ("ant", "bee", "cow")[order[0]]
        assert verdict.probability == pytest.approx(float(probabilities[row].max()))
        assert verdict.wanted == pytest.approx(float(probabilities[row, 1]))
        assert verdict.rank == order.index(1) + 1
        assert verdict.top(1) == (verdict.label == "bee")
        assert verdict.top(5) is True  # of three classes
    assert found[8].rank is found[8].wanted is found[8].top(1) is None
    assert recognize(net, images) == [(v.label, v.probability) for v in found]
    assert [v.rank for v in judge_images(net, images.split(4), wanted)] == [v.rank for v in found]


def test_any_of_several_labels_may_be_seen(net, images):
    single = [judge_images(net, images, [(name,)] * 9) for name in ("ant", "cow")]
    both = judge_images(net, images, [("ant", "cow")] * 9)
    assert [v.rank for v in both] == [min(a.rank, b.rank) for a, b in zip(*single, strict=True)]


def test_case_and_underscores_do_not_count(net, images):
    assert judge_images(net, images[:1], [(" Bee ",)])[0].rank is not None


def test_equal_logits_do_not_make_everything_first(net, images):
    net.network.fc.weight.data.zero_()
    net.network.fc.bias.data.zero_()
    assert [judge_images(net, images[:1], [(name,)])[0].rank for name in net.labels] == [1, 2, 3]


def test_a_judge_that_shares_weights_with_the_target_is_refused(net):
    other = mini_resnet(classes=3, seed=1)
    check_independent(other, net)
    check_independent(mini_resnet(classes=3, seed=2), other)
    finetuned = FeatureNet(copy.deepcopy(net.network), net.input_space, "finetuned")
    finetuned.network.fc.weight.data.add_(1)
    for judge in (net, finetuned):
        with pytest.raises(UserError, match=r"shares .* weight tensors with the target tiny"):
            check_independent(judge, net)


def test_features_are_what_the_classifier_reads(net, images):
    assert penultimate(net) == "fc:input"
    expected = net(images, ["conv2"])["conv2"].mean((2, 3))
    torch.testing.assert_close(extract_features(net, images.split(4)), expected)
    torch.testing.assert_close(extract_features(net, images, "conv2"), expected)
    assert penultimate(mini_caffenet(classes=4)) == "fc8:input"
    assert extract_features(mini_resnet(classes=4, width=8), torch.rand(2, 3, 64, 64)).shape == (2, 32)
