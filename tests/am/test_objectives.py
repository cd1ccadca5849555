from contextlib import suppress

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dgn.am.objectives.algebra import Objective, direction, match
from dgn.am.objectives.evaluation import Evaluation, objective_values
from dgn.am.objectives.language import parse_units
from dgn.am.objectives.surrogates import below_rectifier, log_probability, probability
from dgn.am.objectives.terms import Direction, Dream, Match, Product, Unit, literal
from dgn.errors import UserError
from dgn.networks.zoo import mini_caffenet

LABELS = ["house", "tree", "sailing boat", "cat", "jack-o'-lantern", "tench, Tinca", "crane (bird)"]


@pytest.fixture(scope="module")
def net():
    return mini_caffenet(classes=7, labels=LABELS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("fc8:3", ["fc8:3"]),
        ("fc8:0-2", ["fc8:0", "fc8:1", "fc8:2"]),
        ("fc8:all", [f"fc8:{i}" for i in range(7)]),
        ("fc8:House", ["fc8:0"]),
        ("fc8:sailing_boat, fc8:cat", ["fc8:2", "fc8:3"]),
        ("fc8:jack-o'-lantern,fc8:tench, Tinca+fc8:crane (bird)", ["fc8:4", "fc8:5+fc8:6"]),
        ("fc8:'crane (bird)' - fc8:\"jack-o'-lantern\"", ["fc8:6-fc8:4"]),
        ("conv5:12", ["conv5:12@4,4"]),
        ("conv5:12@3,5,conv5:1@mean,fc6:7", ["conv5:12@3,5", "conv5:1@mean", "fc6:7"]),
        (["conv5:12@3", 5, "fc8:1"], ["conv5:12@3,5", "fc8:1"]),  # what Hydra makes of [conv5:12@3,5,fc8:1]
        ("fc8:house+0.5*fc8:sailing boat", ["fc8:0+0.5*fc8:2"]),
        ("2*fc8:cat", ["2*fc8:3"]),
        ("fc8:cat*2*fc8:0*-.5", ["-fc8:3*fc8:0"]),
        ("fc8:cat+-1*conv5:0@mean", ["fc8:3-conv5:0@mean"]),
        ("fc8:3-2*fc8:1", ["fc8:3-2*fc8:1"]),  # not the units 3 to 2
        ("(fc8:0 - fc8:1) * (fc6:2 + 3*fc6:1)", ["fc8:0*fc6:2+3*fc8:0*fc6:1-fc8:1*fc6:2-3*fc8:1*fc6:1"]),
        ("relu6:input:5", ["relu6:input:5"]),
        ("conv5:mean:3, relu5:input:mean:4", ["conv5:mean:3", "relu5:input:mean:4"]),
        ("softmax(fc8:house), log_softmax(fc8:0-1)", ["softmax(fc8:0)", "log_softmax(fc8:0)", "log_softmax(fc8:1)"]),
        ("softmax(conv5:3@mean)-fc8:1", ["softmax(conv5:3@mean)-fc8:1"]),
        ("dream(conv4)*0.1", ["0.1*dream(conv4)"]),
        ("direction(fc6,{3:0.5, 7:-1})", ["direction(fc6,{3:0.5,7:-1})"]),
        ("direction(conv5,{0:1})@2,3+fc8:1", ["direction(conv5,{0:1})@2,3+fc8:1"]),
        ("direction(conv5,{0:1})", ["direction(conv5,{0:1})@4,4"]),
        ("match(fc6,{1023:2.5})", ["match(fc6,{1023:2.5})"]),
        ("0.5*sum(fc8:0-2)", ["0.5*fc8:0+0.5*fc8:1+0.5*fc8:2"]),
        ("-fc8:0-1", ["-fc8:0", "-fc8:1"]),
    ],
)
def test_the_unit_language(net, text, expected):
    objectives = parse_units(text, net)
    assert [str(o) for o in objectives] == expected
    assert parse_units(",".join(map(str, objectives)), net) == objectives


def test_layers_may_have_numbers_for_names(target):
    assert [str(o) for o in parse_units("5:2-3:1, 0.5*4:all, 1:2@1,3", target)] == [
        "5:2-3:1",
        "0.5*4:0",
        "0.5*4:1",
        "0.5*4:2",
        "0.5*4:3",
        "1:2@1,3",
    ]


# No subnormal numbers: training switches them off for its process, and another test may have trained in this one.
numbers = st.floats(-1e6, 1e6, width=32, allow_subnormal=False).filter(lambda x: x != 0)
units = st.one_of(
    st.builds(
        Unit,
        st.sampled_from(["fc6", "fc8", "relu7:input"]),
        st.integers(0, 6),
        reading=st.sampled_from(["", "softmax"]),
    ),
    st.builds(
        Unit,
        st.sampled_from(["conv5", "norm2"]),
        st.integers(0, 63),
        st.one_of(st.just("mean"), st.tuples(st.integers(0, 7), st.integers(0, 7))),
        reading=st.sampled_from(["", "log_softmax"]),
    ),
)


@st.composite
def vectors(draw, count):
    values = torch.zeros(count)
    for index, value in draw(st.dictionaries(st.integers(0, count - 1), numbers, min_size=1, max_size=3)).items():
        values[index] = value
    return values


@st.composite
def along(draw):
    layer, count, position = draw(st.sampled_from([("fc6", 1024, None), ("conv5", 64, (1, 2)), ("conv5", 64, "mean")]))
    values = draw(vectors(count))
    return Direction(layer, literal(values), values, position)


@st.composite
def matches(draw):
    values = draw(vectors(1024))
    return Match("fc7", literal(values), values)


simple = st.one_of(units, along(), matches(), st.builds(Dream, st.sampled_from(["conv4", "pool5"])))
terms = st.one_of(simple, st.builds(Product, st.lists(simple, min_size=2, max_size=3).map(tuple)))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(numbers | st.sampled_from([1.0, -1.0, 0.0, 1e-30]), terms), min_size=1, max_size=4))
def test_printed_names_are_parsed_back(net, parts):
    objective = Objective(tuple(parts))
    assert parse_units(str(objective), net) == [objective]


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="fc68:convdream(){}'\"@*+-.,0123 mean_soft", max_size=24))
def test_invalid_input_is_refused_with_a_message(net, text):
    with suppress(UserError):
        assert all(isinstance(objective, Objective) for objective in parse_units(text, net))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("fc9:1", "no layer 'fc9'"),
        ("fc8:7", "7 units are 0 .. 6"),
        ("fc8:dog", "house, tree, sailing boat, cat"),
        ("fc6:dog", "has no labels"),
        ("fc8:2-1", "counts down"),
        ("conv5:99", "64 units"),
        ("conv5:1@9,0", "outside the layer's 8x8"),
        ("conv5:1@4", "@row,column"),
        ("conv5:1@", "@row,column"),
        ("fc8:1@2,2", "vector"),
        ("fc8", "names no unit"),
        ("fc8:", "names no unit"),
        ("fc8:house+x*fc8:cat", "'x' names no unit"),
        ("fc8:all+fc8:1", "names 7 units"),
        ("", "names none"),
        ("0.5", "stands alone"),
        ("fc8:1+2", "stands alone"),
        ("(fc8:1", r"'\)' is missing"),
        ("fc8:1)", "not expected"),
        ("fc8:1 fc8:2", "not expected|names no unit|no unit"),
        ("softmax(fc8:1+fc8:2)", "takes a unit"),
        ("softmax()", "holds no unit"),
        ("direction(fc6,{3:x})", "is not UNIT:NUMBER"),
        ("direction(fc6,{4000:1})", "no unit 4000"),
        ("direction(fc6,{3:1}", r"'\)' is missing"),
        ("direction(fc6,missing.npy)", "no file missing.npy"),
        ("direction(fc6)", "',' is missing"),
        ("match(fc6,missing.png)", "missing.png"),
        ("match(fc6,{})", "nothing to match"),
        ("dream(fc99)", "no layer 'fc99'"),
    ],
)
def test_an_unreadable_file_is_reported_with_the_supported_formats(net, text, says):
    with pytest.raises(UserError, match=says) as caught:
        parse_units(text, net)
    assert "\n" not in str(caught.value)


def test_errors_point_at_the_place(net):
    with pytest.raises(UserError, match=r"at character 15: fc8:house\+fc8: >>> dragon\+fc8:cat"):
        parse_units("fc8:house+fc8:dragon+fc8:cat", net)


def test_many_objectives_at_once_are_each_ones_own_value(net, tmp_path):
    vector = np.linspace(-1, 1, 1024).astype(np.float32)
    np.save(tmp_path / "v, 1.npy", vector)
    expressions = [
        "fc8:house+0.5*conv5:3@1,2",
        "conv5:7@mean",
        "fc6:9",
        "2*conv5:3@1,2-fc8:1*softmax(fc8:2)",
        f"direction(fc6,'{tmp_path / 'v, 1.npy'}')",
        "direction(conv5,{3:2,5:-1})@mean",
        "direction(conv5,{3:2,5:-1})@1,6",
        "dream(conv4)",
        "match(fc7,{4:1,9:2})",
        "log_softmax(fc8:2)",
        "softmax(conv5:3@2,2)+softmax(conv5:3@mean)",
        "fc8:1+fc8:1",
        "dream(conv4)*dream(conv4)*fc8:0",
    ]
    objectives = parse_units(",".join(expressions), net)
    assert len(objectives) == len(expressions)
    images = torch.rand(len(objectives), 3, 64, 64, generator=torch.Generator().manual_seed(0))
    evaluation = Evaluation(objectives)
    found = net(images, evaluation.layers)
    fc8, conv5, fc6, fc7, conv4 = (found[layer].double().numpy() for layer in ("fc8", "conv5", "fc6", "fc7", "conv4"))
    p = np.exp(fc8) / np.exp(fc8).sum(1, keepdims=True)
    q = np.exp(conv5) / np.exp(conv5).sum(1, keepdims=True)
    code = np.zeros(1024)
    code[[4, 9]] = 1, 2
    expected = [
        fc8[0, 0] + 0.5 * conv5[0, 3, 1, 2],
        conv5[1, 7].mean(),
        fc6[2, 9],
        2 * conv5[3, 3, 1, 2] - fc8[3, 1] * p[3, 2],
        fc6[4] @ vector,
        (2 * conv5[5, 3] - conv5[5, 5]).mean(),
        2 * conv5[6, 3, 1, 6] - conv5[6, 5, 1, 6],
        (conv4[7] ** 2).mean(),
        -((fc7[8] - code) ** 2).sum() / 5,
        np.log(p[9, 2]),
        q[10, 3, 2, 2] + q[10, 3].mean(),
        2 * fc8[11, 1],
        (conv4[12] ** 2).mean() ** 2 * fc8[12, 0],
    ]
    np.testing.assert_allclose(evaluation(found), expected, rtol=1e-4, atol=1e-6)
    for i, objective in enumerate(objectives):
        torch.testing.assert_close(objective.values(found)[i].float(), evaluation(found)[i], rtol=1e-4, atol=1e-6)


def test_a_layers_many_channels_are_one_gather(net):
    many = parse_units("sum(conv5:all), sum(conv5:0-9)", net)
    assert len(Evaluation(many)._readers) == 1
    images = torch.rand(2, 3, 64, 64)
    conv5 = net(images, ["conv5"])["conv5"]
    expected = torch.stack([conv5[0, :, 4, 4].sum(), conv5[1, :10, 4, 4].sum()])
    torch.testing.assert_close(Evaluation(many)({"conv5": conv5}), expected)


def test_the_code_of_a_photo_is_met_by_the_photo(net, tmp_path):
    image = torch.rand(3, 64, 64)
    Image.fromarray((image * 255).byte().permute(1, 2, 0).numpy()).save(tmp_path / "photo (1).png")
    (objective,) = parse_units(f"match(fc6,'{tmp_path / 'photo (1).png'}')", net)
    seen = (image * 255).byte().float() / 255
    near, far = objective_values(net, [objective], [torch.stack([seen, 1 - seen])])[:, 0].tolist()
    assert near == pytest.approx(0, abs=1e-6)
    assert far < -0.01
    assert parse_units(str(objective), net) == [objective]


def test_in_python_objectives_add_subtract_scale_and_multiply(net):
    a, b = Objective(((1.0, Unit("fc8", 0, label="house")),)), Objective(((1.0, Unit("fc8", 3)),))
    assert str(a + 0.5 * b) == "fc8:0+0.5*fc8:3"
    assert (a + 0.5 * b).label == "house + 0.5 fc8:3"
    assert str(-(a - b) * 2) == "-2*fc8:0+2*fc8:3"
    assert str(a * (b + a)) == "fc8:0*fc8:3+fc8:0*fc8:0"
    towards, met = direction("fc6", torch.eye(1024)[5]), match("conv5", 0.1 * torch.ones(64, 8, 8))
    assert str(towards) == "direction(fc6,{5:1})"
    assert parse_units(f"{towards},{met}", net) == [towards, met]


def test_token_layers_have_features_at_tokens_or_their_mean():
    tokens = torch.rand(2, 5, 3)
    mean, third = Unit("blocks", 1, "mean"), Unit("blocks", 2, (3,))
    torch.testing.assert_close(mean.values(tokens), tokens[:, :, 1].mean(1))
    torch.testing.assert_close(third.values(tokens), tokens[:, 3, 2])
    objectives = [Objective(((1.0, third),)), Objective(((2.0, Unit("blocks", 0, (4,))),))]
    torch.testing.assert_close(
        Evaluation(objectives)({"blocks": tokens}), torch.stack([tokens[0, 3, 2], 2 * tokens[1, 4, 0]])
    )


def test_units_to_be_raised_are_read_below_their_relu(target):
    (objective,) = parse_units("3:1-3:2+softmax(5:0)+4:1", target)
    assert str(below_rectifier(objective, target)) == "3:input:1-3:2+softmax(5:0)+4:1"


def test_class_units_are_read_as_probabilities_where_a_method_says_so(target):
    (objective,) = parse_units("4:1+3:0", target)
    assert str(probability(objective, target)) == "softmax(4:1)+3:input:0"
    assert str(log_probability(objective, target)) == "log_softmax(4:1)+3:input:0"
