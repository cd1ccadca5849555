"""Every file under conf/method, on every kind of objective."""

from contextlib import nullcontext

import pytest
import torch

from dgn.am.maximize import maximize
from dgn.am.objectives.diversity import Diversity
from dgn.am.objectives.evaluation import objective_values
from dgn.am.objectives.language import parse_units
from dgn.am.setting import Setting
from dgn.cli.config import compose, plain
from dgn.cli.config_folders import choices
from dgn.cli.stages import make_stages, method_for
from dgn.errors import UserError
from dgn.methods import dgn_am
from dgn.prior.code_model import CodeModel
from dgn.prior.code_prior import CodeAutoencoder, CodePrior, about_codes

METHODS = choices("method")
NAMED = "dgn_am dgn_am_short dgn_am_adam dgn_am_ellipsoid simonyan2013 yosinski2015 yosinski2015_2 yosinski2015_3"
NAMED += " yosinski2015_4 mahendran2015 mfv2016 olah2017 maco2023 ppgn2017 ppgn2017_dae pixels guided"
OBJECTIVES = (
    "4:1, 4:tree-0.5*1:2@3,3, 1:2, 1:2@mean, 3:4, softmax(4:1), log_softmax(4:2), direction(3,{0:1,2:-1}), dream(1), "
    "match(3,{0:1,1:2}), 4:0*5:0, sum(1:all)"
)


@pytest.fixture(scope="module")
def configs():
    return {name: plain(compose("visualize", [f"method={name}"]).method) for name in METHODS}


@pytest.fixture
def every(setting, prior):
    """The setting, with a prior over codes and a code model as well."""
    prior.statistics.axes, prior.statistics.axes_std = torch.eye(5), 0.5 * torch.ones(5)
    prior.code_model = CodeModel(5, width=8, blocks=1).requires_grad_(False)
    prior.code_model.std.fill_(0.5)
    autoencoder = CodeAutoencoder(prior.code_shape).requires_grad_(False)
    autoencoder.set_statistics(prior.statistics.mean, prior.statistics.std)
    code_prior = CodePrior(autoencoder, about_codes(prior))
    return Setting(setting.target, prior, images=setting.images, code_prior=lambda: code_prior)


def test_every_method_is_tested_and_named_like_its_file(configs):
    assert set(METHODS) >= set(NAMED.split())
    assert all(config["name"] == name for name, config in configs.items())


@pytest.mark.parametrize("name", METHODS)
def test_every_method_runs_on_every_objective_in_batches_and_by_seed(configs, every, target, making_float64, name):
    objectives = parse_units(OBJECTIVES, target)
    stages = make_stages(method_for(configs[name], "noise", 6), every)
    assert sum(stage.steps for stage in stages) == 6
    found = maximize(target, objectives, stages, [0, 1])
    assert found.images.shape[:2] == (2 * len(objectives), 3)
    assert found.curve.shape == (6, 2 * len(objectives))
    for values in (found.images, found.curve, found.activations):
        assert values.isfinite().all()
    assert 0 <= found.images.min() <= found.images.max() <= 1
    again = maximize(target, objectives[2:5], stages, [1], batch_size=2)
    mine = [i for i, (o, s) in enumerate(zip(found.objectives, found.seeds, strict=True)) if o in objectives[2:5] and s]
    torch.testing.assert_close(again.images, found.images[mine], atol=2e-3, rtol=0)
    with making_float64() as float64:
        maximize(target, objectives[2:3], stages, [1])
    assert float64 == []
    apart = maximize(target, objectives[:1], stages, [0, 1], diversity=Diversity(10.0, "1"))
    assert apart.images.isfinite().all()


@pytest.mark.parametrize("name", METHODS)
def test_every_method_finds_what_excites_a_unit_more_than_real_images_do(configs, every, target, name):
    """A tenth of its steps, and a class is likelier than on most real images."""
    objectives = parse_units("softmax(4:0)", target)
    stages = make_stages(method_for(configs[name], "noise", 40), every)
    found = maximize(target, objectives, stages, [0])
    real = objective_values(target, objectives, every.images(20))
    assert (found.activations > real.median(0).values).all()


@pytest.mark.parametrize("name", METHODS)
def test_every_method_can_start_from_a_real_image(configs, every, target, photos, name):
    setting = Setting(target, every.prior, images=every.images, begin=photos[:1], code_prior=every.code_prior)
    stages = make_stages(method_for(configs[name], "photo.jpg", 2), setting)
    found = maximize(target, parse_units("4:1", target), stages, [0])
    assert found.images.isfinite().all()


@pytest.mark.parametrize("name", NAMED.split())
def test_which_methods_need_neither_prior_nor_images(configs, target, name):
    needs = name.startswith(("dgn_am", "guided", "ppgn", "mfv", "maco"))
    with pytest.raises(UserError, match=r"prior|data=") if needs else nullcontext():
        stages = make_stages(method_for(configs[name], "noise", 2), Setting(target))
        maximize(target, parse_units("4:1", target), stages)


def test_images_have_the_size_that_is_asked_for(configs, target):
    for size, shape in ((20, (20, 20)), ((10, 14), (10, 14)), (None, (12, 12))):
        for name in ("pixels", "olah2017"):
            stages = make_stages(method_for(configs[name], "noise", 1), Setting(target, canvas_size=size))
            assert maximize(target, parse_units("4:1", target), stages).images.shape[2:] == shape


def test_steps_are_divided_among_stages_as_published(configs):
    mfv = configs["mfv2016"]
    assert [stage["steps"] for stage in method_for(mfv, "noise", None)["stages"]] == [190, 150, 150, 30, 10]
    assert [stage["steps"] for stage in method_for(mfv, "noise", 53)["stages"]] == [19, 15, 15, 3, 1]
    assert sum(stage["steps"] for stage in method_for(mfv, "noise", 3)["stages"]) == 3
    halved = {**mfv, "from_image": {"steps": 265}}
    assert [stage["steps"] for stage in method_for(halved, "photo.jpg", None)["stages"]] == [95, 75, 75, 15, 5]
    assert method_for(configs["dgn_am"], "noise", 7)["steps"] == 7
    assert method_for(configs["dgn_am"], "photo.jpg", None)["update"]["first"] == 1


def test_dgn_am_is_the_published_search_and_the_librarys(configs, every, prior, target, photos):
    """Its figures (Nguyen et al. 2016 and their code), and the same images as `dgn.dgn_am` from noise and a photo."""
    config = configs["dgn_am"]
    noise, photo = method_for(config, "noise", None), method_for(config, "photo.jpg", None)
    assert (noise["update"]["first"], noise["update"]["last"], noise["steps"]) == (8, 1e-10, 200)
    assert (photo["update"]["first"], photo["steps"]) == (1, 30)
    assert list(config["regularizers"]) == ["clip", "l2"]  # the code clips first
    assert (config["regularizers"]["l2"]["factor"], config["parametrization"]["sigmas"]) == (0.99, 3)
    assert config["start"] == "noise"
    units = parse_units("4:0,4:3", target)
    for method, begin in ((noise, "noise"), (photo, photos[:1])):
        stages = make_stages(method, Setting(target, prior, begin=begin))
        found = maximize(target, units, stages, [1])
        assert torch.equal(found.images, dgn_am(prior, units, seeds=[1], start=begin).images)


@pytest.mark.parametrize("name", METHODS)
def test_from_image_changes_nothing_that_a_given_image_replaces(configs, name):
    """A start that is given takes neither the noise nor the base of the parametrization."""
    assert "parametrization" not in (configs[name].get("from_image") or {})


def test_the_default_method_is_named_for_what_it_is(configs):
    assert plain(compose("visualize", []).method) == configs["guided"]
    assert plain(compose("compare", []).method) == configs["dgn_am_short"]


def test_parts_combine_freely(configs, every, target):
    """A part of each method in one: codes, jittered, under total variation and blur, climbed with MACO's update."""
    regularizers = {name: config.get("regularizers") or {} for name, config in configs.items()}
    mixed = configs["dgn_am"] | {"update": configs["maco2023"]["update"]}
    mixed["regularizers"] = {
        **regularizers["dgn_am"],
        "jitter": regularizers["olah2017"]["jitter"],
        "total_variation": regularizers["mahendran2015"]["total_variation"],
        "blur": regularizers["yosinski2015"]["blur"],
        "realism": regularizers["ppgn2017"]["realism"],
        "window": configs["mfv2016"]["stages"][3]["regularizers"]["window"],
        "crops": regularizers["maco2023"]["crops"],
    }
    stages = make_stages(method_for(mixed, "noise", 4), every)
    assert maximize(target, parse_units(OBJECTIVES, target), stages).images.isfinite().all()
