import pytest
import torch

from dgn.am.objectives import Evaluation, Objective, Unit, parse_units
from dgn.errors import UserError
from dgn.networks.zoo import mini_caffenet

LABELS = ["house", "tree", "sailing boat", "cat"]


@pytest.fixture(scope="module")
def net():
    return mini_caffenet(classes=4, labels=LABELS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("fc8:3", ["fc8:3"]),
        ("fc8:0-2", ["fc8:0", "fc8:1", "fc8:2"]),
        ("fc8:all", ["fc8:0", "fc8:1", "fc8:2", "fc8:3"]),
        ("fc8:House", ["fc8:0"]),
        ("fc8:sailing_boat, fc8:cat", ["fc8:2", "fc8:3"]),
        ("conv5:12", ["conv5:12@4,4"]),
        ("conv5:12@3,5,conv5:1@mean,fc6:7", ["conv5:12@3,5", "conv5:1@mean", "fc6:7"]),
        (["conv5:12@3", 5, "fc8:1"], ["conv5:12@3,5", "fc8:1"]),  # what Hydra makes of [conv5:12@3,5,fc8:1]
        ("fc8:house+0.5*fc8:sailing boat", ["fc8:0+0.5*fc8:2"]),
        ("2*fc8:cat", ["2*fc8:3"]),
        ("fc8:cat+-1*conv5:0@mean", ["fc8:3+-1*conv5:0@mean"]),
        ("relu6:input:5", ["relu6:input:5"]),
    ],
)
def test_the_unit_language(net, text, expected):
    objectives = parse_units(text, net)
    assert [str(o) for o in objectives] == expected
    assert [str(o) for o in parse_units(",".join(map(str, objectives)), net)] == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("fc9:1", "no layer 'fc9'"),
        ("fc8:4", "4 units are 0 .. 3"),
        ("fc8:dog", "house, tree, sailing boat, cat"),
        ("fc6:dog", "has no labels"),
        ("fc8:2-1", "counts down"),
        ("conv5:99", "64 units"),
        ("conv5:1@9,0", "outside the layer's 8x8"),
        ("conv5:1@4", "@row,column"),
        ("fc8:1@2,2", "vector"),
        ("fc8", "names no unit"),
        ("fc8:house+x*fc8:cat", "not a number"),
        ("fc8:all+fc8:1", "names 4 units"),
        ("", "names none"),
    ],
)
def test_what_cannot_be_read_says_what_can(net, text, says):
    with pytest.raises(UserError, match=says):
        parse_units(text, net)


def test_many_objectives_at_once_are_each_ones_own_value(net):
    objectives = parse_units("fc8:house+0.5*conv5:3@1,2,conv5:7@mean,fc6:9,fc8:1,2*conv5:3@1,2", net)
    images = torch.rand(len(objectives), 3, 64, 64)
    evaluation = Evaluation(objectives, net)
    found = net(images, evaluation.layers)
    fc8, conv5, fc6 = (found[layer] for layer in ("fc8", "conv5", "fc6"))
    expected = [
        fc8[0, 0] + 0.5 * conv5[0, 3, 1, 2],
        conv5[1, 7].mean(),
        fc6[2, 9],
        fc8[3, 1],
        2 * conv5[4, 3, 1, 2],
    ]
    torch.testing.assert_close(evaluation(found), torch.stack(expected))
    for i, objective in enumerate(objectives):
        torch.testing.assert_close(objective.values(found)[i], expected[i])


def test_token_layers_have_features_at_tokens_or_their_mean(net):
    tokens = torch.rand(2, 5, 3)
    mean, third = Unit("blocks", 1, "mean"), Unit("blocks", 2, (3,))
    torch.testing.assert_close(mean.of(tokens), tokens[:, :, 1].mean(1))
    torch.testing.assert_close(third.of(tokens), tokens[:, 3, 2])


def test_objectives_add_and_scale():
    a, b = Objective(((1.0, Unit("fc8", 0, label="house")),)), Objective(((1.0, Unit("fc8", 3)),))
    assert str(a + 0.5 * b) == "fc8:0+0.5*fc8:3"
    assert (a + 0.5 * b).label == "house + 0.5 fc8:3"
