import shlex

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from dgn.report.words import command_for, listed, name_parts, number, percentile, setting_name


@pytest.mark.parametrize(
    ("value", "said"),
    [
        *((0.0, "0"), (1.0, "1.00"), (12.345, "12.3"), (-0.01234, "-0.0123"), (1234.5, "1234"), (1e-4, "1.00e-04")),
        *((2e6, "2.00e+06"), (float("nan"), "–"), (None, "–")),
    ],
)
def test_numbers_have_three_digits(value, said):
    assert number(value) == said


def test_a_percentile_is_hundred_only_above_every_real_image():
    assert [percentile(p) for p in (100.0, 99.99, 0.05)] == ["100", "99.9", "0.0"]


def test_lists():
    assert [listed(list("abcdef")[:n]) for n in (0, 1, 2, 4, 6)] == [
        "",
        "a",
        "a and b",
        "a, b, c and d",
        "a, b, c and 3 more",
    ]
    assert setting_name(["a.safetensors", dict(_target_="x.y.Z")]) == "a.safetensors and Z"


@pytest.mark.parametrize("prior", ["outputs/train/x/prior.safetensors", "a b/it's, 100%/p.safetensors", "ends in \\"])
@pytest.mark.parametrize("objective", ["fc8:3", "conv5:12@4,4", "fc8:0+0.5*conv5:3@mean"])
def test_the_command_for_one_unit_says_the_same_to_hydra(prior, objective):
    command = "python visualize.py 'units=[fc8:0,fc8:1]' seeds=8 hydra.run.dir=outputs/mine"
    words = shlex.split(command_for(command, objective, prior))
    assert words[:3] == ["python", "visualize.py", "seeds=8"]
    read = {o.key_or_group: o.value() for o in OverridesParser.create().parse_overrides(words[3:])}
    assert read == {"prior": prior, "units": objective}


def test_the_command_for_one_unit_keeps_the_priors_that_were_named():
    assert (
        command_for("python visualize.py prior=[a,b]", "fc8:3", "a") == "python visualize.py 'prior=[a,b]' units=fc8:3"
    )
    assert command_for("make demo 'unclosed", "fc8:3") == "make demo 'unclosed"


def test_long_names_may_break_behind_separators():
    assert name_parts("fc8:3") == ["fc8:3"]
    parts = name_parts("features.3.expand1x1_activation:36")
    assert parts == ["features.", "3.", "expand1x1_", "activation:", "36"]
    assert name_parts("sae(sae.safetensors):0@3,3") == ["sae(", "sae.", "safetensors):", "0@3,3"]
