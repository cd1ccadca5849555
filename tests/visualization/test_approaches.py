"""Methods paired with priors, and how a method differs where its searches start from an image."""

from types import SimpleNamespace

import pytest

from dgn.am.method import Method
from dgn.cli.config import compose, plain
from dgn.cli.stages import read_method, read_methods
from dgn.errors import UserError
from dgn.visualization.approaches import make_approaches, name_priors


def _method(name: str, searches_codes: bool) -> Method:
    return Method(name, searches_codes, "noise", 1, lambda _: [])


def test_methods_on_codes_have_every_prior_and_the_others_appear_once():
    priors = [SimpleNamespace(layer=layer, source=f"runs/{layer}/prior.safetensors") for layer in ("fc6", "fc8")]
    methods = [_method("codes", True), _method("pixels", False)]
    approaches = make_approaches(methods, priors, "auto", None)
    assert [(a.method.name, a.name) for a in approaches] == [("codes", "fc6"), ("codes", "fc8"), ("pixels", "")]
    assert [a.prior for a in approaches] == [*priors, None]
    assert [a.title for a in approaches] == ["codes · fc6", "codes · fc8", "pixels"]
    assert len({a.folder for a in approaches}) == 3
    assert [a.name for a in make_approaches(methods, [], "auto", None)] == ["", ""]


@pytest.mark.parametrize(
    ("sources", "names"),
    [
        (["runs/a/prior.safetensors", "runs/b/prior.safetensors"], ["latent (a)", "latent (b)"]),
        (["all/kl.safetensors", "all/vq.safetensors"], ["latent (kl)", "latent (vq)"]),
        (["all/kl.safetensors", "all/vq.safetensors", "b/p.safetensors"], ["latent (kl)", "latent (vq)", "latent (b)"]),
        (["x/a/p.safetensors", "y/a/p.safetensors"], ["latent (x/a/p.safetensors)", "latent (y/a/p.safetensors)"]),
        (["hf:ada/one", "hf:ada/two"], ["latent (hf:ada/one)", "latent (hf:ada/two)"]),
    ],
)
def test_priors_of_one_layer_are_told_apart_by_folders_then_files_then_paths(sources, names):
    assert name_priors([SimpleNamespace(layer="latent", source=source) for source in sources]) == names


def test_an_approach_has_the_method_as_it_is_for_its_start():
    method = read_method(plain(compose("visualize", ["method=dgn_am"]).method))
    (noise,), (photo,) = (make_approaches([method], [], start, None) for start in ("noise", "photo.png"))
    assert (noise.started_method.steps, noise.started_method.settings["update"]["first"]) == (200, 8)
    assert (photo.started_method.steps, photo.started_method.settings["update"]["first"]) == (30, 1)
    assert method.searches_codes


def test_what_the_command_says_applies_to_every_method():
    overrides = ["method=olah2017", "methods=[pixels]", "steps=12"]
    methods = read_methods(plain(compose("visualize", overrides)), overrides)
    assert [(m.name, m.steps, m.searches_codes) for m in methods] == [("olah2017", 12, False), ("pixels", 12, False)]
    twice = ["method=pixels", "methods=[pixels]"]
    with pytest.raises(UserError, match="has pixels twice"):
        read_methods(plain(compose("visualize", twice)), twice)
