"""`dgn.methods`: a function for every file of conf/method."""

import subprocess
import sys

import pytest
import torch

import dgn
from dgn import UserError, methods
from dgn.cli.config import compose
from dgn.cli.config_folders import choices, package_configs
from dgn.data.datamodule import ImageData


def test_every_method_file_has_a_function_that_states_its_source_and_settings():
    assert dir(methods) == choices("method")
    for name in choices("method"):
        function, lines = (
            getattr(methods, name),
            (package_configs() / "method" / f"{name}.yaml").read_text().split("\n"),
        )
        assert function.__name__ == name
        assert function.__doc__.startswith(lines[0].removeprefix("# "))
        assert f"name: {name}" in function.__doc__.splitlines()
    assert "Nguyen et al. 2016" in methods.dgn_am.__doc__
    assert "factor: 0.99 " in methods.dgn_am.__doc__
    assert dgn.dgn_am is methods.dgn_am


def test_what_is_no_method_is_no_attribute():
    with pytest.raises(AttributeError, match=r"olah2018.*dgn_am, .*olah2017"):
        methods.olah2018  # noqa: B018


def test_importing_them_imports_no_hydra():
    code = "import sys, dgn.methods; sys.exit(any(name.startswith('hydra') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_figures_are_those_of_the_file(target, prior):
    figures = compose("visualize", ["method=dgn_am_adam"]).method
    preferred = methods.dgn_am_adam(target, "4:1", prior)
    assert len(preferred.curve) == figures.steps
    explicit = methods.dgn_am_adam(target, "4:1", prior, update={"lr": figures["update"].lr, "decay": True})
    assert torch.equal(preferred.images, explicit.images)
    other = methods.dgn_am_adam(target, "4:1", prior, update={"lr": 2 * figures["update"].lr})
    assert not torch.equal(preferred.images, other.images)


def test_target_and_prior_in_either_order_and_a_prior_alone(target, prior):
    images = [
        methods.dgn_am(*networks, steps=3, seeds=2).images
        for networks in ((prior, "4:1"), (prior, "4:1", target), (target, "4:1", prior))
    ]
    assert torch.equal(images[0], images[1])
    assert torch.equal(images[0], images[2])
    assert methods.olah2017(target, "4:1", steps=2).images.shape == (1, 3, 12, 12)
    assert methods.pixels(target, "4:1", steps=2, canvas_size=(10, 14)).images.shape == (1, 3, 10, 14)


class Houses:
    """Twelve pictures, all of the first of two classes."""

    classes = ("house", "cat")

    def __len__(self) -> int:
        return 12

    def __getitem__(self, i: int):
        return torch.randint(0, 256, (3, 12, 12), generator=torch.Generator().manual_seed(i)).byte(), 0


def test_a_class_without_real_images_starts_from_noise_as_on_the_command_line(target, prior, caplog):
    data = ImageData(Houses(), Houses(), 12)
    for start in ("real", "auto"):
        preferred = methods.dgn_am_short(prior, "4:house, 4:cat", start=start, data=data)
        assert preferred.starts == ["real", "noise"]
        assert "No real image of 1 classes (cat): searches for them start from noise" in caplog.text
        caplog.clear()
        noise = methods.dgn_am_short(prior, "4:cat", start="noise")
        torch.testing.assert_close(preferred.images[1], noise.images[0])


def test_a_user_who_is_wrong_gets_one_line(target, prior):
    with pytest.raises(UserError, match=r"no setting update\.frist; its settings: update\.first, update\.last"):
        methods.dgn_am(prior, "4:1", update={"frist": 3})
    with pytest.raises(UserError, match="no setting lr; its settings: parametrization, update"):
        methods.olah2017(target, "4:1", lr=3)
    with pytest.raises(UserError, match="codes of a prior"):
        methods.dgn_am(target, "4:1")
    with pytest.raises(UserError, match="data="):
        methods.maco2023(target, "4:1")
    with pytest.raises(UserError, match="FeatureNet"):
        methods.dgn_am("prior.safetensors", "4:1")
