import pytest
import torch

from dgn.errors import UserError
from dgn.networks.generator import UpconvGenerator
from dgn.networks.generator_base import Generator
from dgn.networks.inputs import InputSpace
from dgn.networks.modulated import ModulatedGenerator
from dgn.prior import Prior
from dgn.prior.statistics import UnitStatistics
from dgn.prior.warm_start import start_from


def prior_of(generator: Generator) -> Prior:
    torch.manual_seed(5)
    for parameter in generator.parameters():
        parameter.data.normal_()
    shape = generator.code_shape
    return Prior(generator, UnitStatistics(*(torch.ones(shape) for _ in range(4)), 9), {}, source="p.safetensors")


def test_all_weights_are_copied_between_equal_generators_and_the_statistics_are_not():
    prior = prior_of(ModulatedGenerator((6,), 32, width=0.05, noise=True))
    prior.generator.set_code_statistics(torch.full((6,), 3.0), torch.full((6,), 2.0))
    generator = ModulatedGenerator((6,), 32, width=0.05, noise=True)
    line = start_from(generator, prior)
    for name, tensor in generator.state_dict().items():
        if name.startswith("code_"):
            assert not torch.equal(tensor, prior.generator.state_dict()[name])
        else:
            assert torch.equal(tensor, prior.generator.state_dict()[name])
    assert line.startswith("Starting from p.safetensors: ")
    assert "not taken" not in line


def test_another_layer_keeps_all_but_the_first_layer_and_the_line_says_so():
    prior = prior_of(ModulatedGenerator((6,), 32, width=0.05))
    generator = ModulatedGenerator((9,), 32, width=0.05)
    own = generator.state_dict()["embedding.0.weight"].clone()
    line = start_from(generator, prior)
    total = sum(parameter.numel() for parameter in generator.parameters())
    assert f"{total - own.numel():,} of {total:,} weights" in line
    assert line.endswith("not taken: embedding.0 (208x9, there 208x6)")
    assert torch.equal(generator.state_dict()["embedding.0.weight"], own)
    copied = [name for name in generator.state_dict() if name.startswith(("blocks.", "start.", "embedding.2", "last"))]
    assert all(torch.equal(generator.state_dict()[name], prior.generator.state_dict()[name]) for name in copied)


def test_another_image_size_keeps_the_blocks_that_both_have():
    prior = prior_of(ModulatedGenerator((6,), 32, width=0.05))
    generator = ModulatedGenerator((6,), 64, width=0.05)
    line = start_from(generator, prior)
    assert "blocks.64.modulation.linear (new)" in line
    for side in (8, 16, 32):
        name = f"blocks.{side}.doubling.weight"
        assert torch.equal(generator.state_dict()[name], prior.generator.state_dict()[name])


def test_a_last_layer_with_another_output_space_is_not_copied():
    plan = "fc 12, reshape 3x2x2, up 3"
    space = InputSpace(mean=(104.0, 117.0, 123.0), channel_order="BGR", value_range=255.0)
    prior = prior_of(UpconvGenerator((4,), 4, plan, output_space=space))
    generator = UpconvGenerator((4,), 4, plan)
    last = generator.layers[-1].weight.clone()
    assert start_from(generator, prior).endswith("not taken: layers.3 (another output space)")
    assert torch.equal(generator.layers[-1].weight, last)
    assert torch.equal(generator.layers[0].weight, prior.generator.layers[0].weight)


def test_a_prior_of_which_nothing_fits_is_a_user_error():
    prior = prior_of(UpconvGenerator((6,), 32, width=0.05))
    with pytest.raises(UserError, match=r"generator.init=p.safetensors: none .* is upconv, this one mod"):
        start_from(ModulatedGenerator((6,), 32, width=0.05), prior)
