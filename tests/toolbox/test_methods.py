"""The methods that the page offers, and the commands that repeat its searches."""

import shlex
from types import SimpleNamespace

from dgn.cli.config import compose, plain
from dgn.cli.toolbox import read_makers, search_command
from dgn.toolbox.workbench import Asked

WITH, WITHOUT = (
    SimpleNamespace(source="a.safetensors", code_model="one"),
    SimpleNamespace(source="b.safetensors", code_model=None, noise=None, generator=SimpleNamespace(own_code=None)),
)


def makers(overrides, priors):
    return read_makers(plain(compose("toolbox", overrides)), overrides, priors)


def test_guided_sampling_is_first_where_the_priors_have_code_models():
    asked = ["port=8000", "methods=[pixels]"]
    assert list(makers(asked, [WITH])) == ["guided", "pixels"]
    assert list(makers(asked, [WITH, WITHOUT])) == ["dgn_am_short", "pixels"]
    assert list(makers(asked, [])) == ["pixels"]  # without a prior no codes are searched


def test_strength_multiplies_the_size_of_the_steps_of_every_method():
    made = makers(["methods=[dgn_am,pixels]"], [WITH])
    settings = {
        name: [maker(None, strength).starting("noise").settings for strength in (2.0, 1.0)]
        for name, maker in made.items()
    }
    assert [s["regularizers"]["guidance"]["strength"] for s in settings["guided"]] == [60, 30]  # nothing kept of 2
    assert all(twice != once for twice, once in settings.values())


def test_the_command_says_what_was_asked_for():
    asked = Asked("fc8:3", "guided", "a", seed=4, steps=7, strength=0.5)
    words = shlex.split(search_command({"a": WITH}, ["port=8000", "target=mini_resnet"], asked))
    assert words[-8:] == [
        *("target=mini_resnet", "method=guided", "prior=a.safetensors", "units=fc8:3", "seeds=[4]", "start=noise"),
        *("steps=7", "method.regularizers.guidance.strength=15"),
    ]
