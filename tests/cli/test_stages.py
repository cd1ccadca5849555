"""Which methods a run uses: those that are asked for, or others where a prior has no code model."""

import logging
from types import SimpleNamespace

import pytest

from dgn.cli.config import compose, plain
from dgn.cli.stages import read_methods


def prior(source, code_model=None, noise=None, own_code=None):
    generator = SimpleNamespace(own_code=own_code)
    return SimpleNamespace(source=source, code_model=code_model, noise=noise, generator=generator)


WITH, WITHOUT = prior("a.safetensors", "one"), prior("b.safetensors")


def names(overrides, priors):
    config = plain(compose("visualize", overrides))
    return [method.name for method in read_methods(config, overrides, priors)]


def test_guided_sampling_is_the_default_and_priors_without_a_code_model_have_another():
    assert names([], []) == names([], [WITH]) == ["guided"]
    assert names([], [WITHOUT]) == ["dgn_am_short"]
    assert names(["steps=7"], [WITH, WITHOUT]) == ["dgn_am_short"]  # one method for all, so that they can be compared


def test_the_log_says_which_prior_has_no_code_model_and_how_to_fit_one(caplog):
    with caplog.at_level(logging.INFO):
        names([], [WITH, WITHOUT])
    assert "method=dgn_am_short is used instead of guided: b.safetensors has no code model" in caplog.text
    assert "task=code_prior kind=diffusion prior=b.safetensors" in caplog.text


def test_the_command_that_fits_one_names_the_code_of_a_custom_generator(caplog):
    with caplog.at_level(logging.INFO):
        names([], [prior("c.safetensors", own_code="/here/mine.py:make")])
    assert "prior=c.safetensors generator=custom generator.model=/here/mine.py:make`" in caplog.text


def test_a_generator_of_noise_has_no_codes_of_images_to_fit_one_to(caplog):
    with caplog.at_level(logging.INFO):
        assert names([], [prior("gan.safetensors", noise="normal", own_code="mine.py:make")]) == ["dgn_am_short"]
    assert "gan.safetensors has no code model, as its codes are noise and not those of images" in caplog.text
    assert "task=code_prior" not in caplog.text


def test_the_other_method_is_used_once():
    asked = ["method=guided", "methods=[dgn_am_short,pixels]"]
    assert names(asked, [WITHOUT]) == ["dgn_am_short", "pixels"]
    assert names(asked, [WITH]) == ["guided", "dgn_am_short", "pixels"]


@pytest.mark.parametrize("key", ["method.without_code_model=null", "method.regularizers.guidance.strength=3"])
def test_a_method_whose_keys_are_set_is_not_replaced(key):
    assert names(["method=guided", key], [WITHOUT]) == ["guided"]  # which then ends in an error that says what to do
