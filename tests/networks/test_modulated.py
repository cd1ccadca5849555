import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dgn.errors import UserError
from dgn.networks.generator_kinds import KINDS, build_generator
from dgn.networks.modulated import Block, CodeLayout, ModulatedGenerator

CODES = [(64,), (4096,), (2048, 1, 1), (16, 2, 2), (256, 6, 6), (384, 13, 13), (7, 5, 9), (49, 24), (50, 24)]


@pytest.mark.parametrize("size", [32, 48, 64, 128, 224])
@pytest.mark.parametrize("code_shape", CODES)
def test_any_code_makes_images_of_any_size(code_shape, size):
    generator = ModulatedGenerator(code_shape, size, width=0.02, noise=True)
    images = generator(torch.randn(2, *code_shape))
    assert images.shape == (2, 3, size, size)
    assert generator.uncropped(torch.zeros(1, *code_shape)).shape[-1] == generator.uncropped_size
    assert 0 <= generator.uncropped_size - size < size / 2
    assert images.isfinite().all()
    assert images.std() > 0.01


def test_a_map_enters_at_the_side_nearest_to_its_own():
    """13x13 at 224 px (sides 224, 112, 56, 28, 14, 7, ...) enters at 14, and four blocks lead to the image."""
    generator = ModulatedGenerator((384, 13, 13), 224, width=0.02)
    assert list(generator.blocks) == ["32", "64", "128", "256"]
    first = []
    generator.start.register_forward_hook(lambda _, args, out: first.append(out.shape[-1]))
    generator(torch.randn(1, 384, 13, 13))
    assert first == [14]


def test_tokens_are_a_map_of_patches_and_a_vector_with_the_class_token():
    tokens = torch.randn(2, 5, 3)
    vector, positions = CodeLayout((5, 3))(tokens)
    patches = tokens.numpy()[:, 1:]
    np.testing.assert_allclose(vector[:, :3], patches.mean(1), atol=1e-6)
    np.testing.assert_array_equal(vector[:, 3:], tokens[:, 0])
    np.testing.assert_array_equal(positions[0, :, 1, 0], patches[0, 2])


def test_a_block_is_its_formula():
    """Doubling and convolution of the normalized, modulated, rectified map, plus the doubled 1x1 convolution of it.

    The linear layer of the modulation counts for a tenth.
    """
    torch.manual_seed(0)
    block = Block(5, 3, 4, sides=(8, 8), noise=False)
    for parameter in block.parameters():
        parameter.data.normal_(0, 0.5)
    x, embedding = torch.randn(2, 3, 4, 4), torch.randn(2, 5)
    linear = block.modulation.linear
    scale, shift = (0.1 * (embedding @ linear.weight.T + linear.bias)).chunk(2, 1)
    size = np.sqrt((x.double().numpy() ** 2).mean((1, 2, 3)))
    h = (
        x / torch.tensor(size, dtype=torch.float32)[:, None, None, None] * (1 + scale[:, :, None, None])
        + shift[:, :, None, None]
    )
    h = torch.where(h > 0, h, 0.3 * h)
    doubled = lambda a: a.repeat_interleave(2, 2).repeat_interleave(2, 3)  # noqa: E731
    expected = F.conv2d(doubled(h), block.doubling.weight, padding=1)
    expected = expected + doubled(torch.einsum("oi,nihw->nohw", block.skip.weight[:, :, 0, 0], x))
    torch.testing.assert_close(block(x, embedding), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("code_shape", [(32,), (16, 4, 4), (17, 8)])
def test_the_code_modulates_every_resolution(code_shape):
    """With the same map coming in, another embedding changes what every block and the last layer put out."""
    torch.manual_seed(0)
    generator = ModulatedGenerator(code_shape, 64, width=0.03)
    x = {}
    generator.last.register_forward_hook(lambda _, args, out: x.update(last=args[0]))
    embeddings = [generator.embedding(generator.layout(torch.randn(1, *code_shape))[0]) for _ in range(2)]
    assert len(generator.blocks) >= 3
    for block in generator.blocks.values():
        entering = torch.randn(1, block.skip.in_channels, 8, 8)
        first, second = (block(entering, embedding) for embedding in embeddings)
        assert ((first - second).flatten(2).norm(dim=2) / first.flatten(2).norm(dim=2)).min() > 1e-3
    entering = torch.randn(1, generator.last.in_channels, 8, 8)
    first, second = (generator.last_modulation(entering, embedding) for embedding in embeddings)
    assert (first - second).abs().amax((2, 3)).min() > 1e-3


def test_noise_is_drawn_in_training_and_fixed_in_evaluation():
    generator = ModulatedGenerator((8,), 16, width=0.02, noise=True)
    for block in generator.blocks.values():
        block.noise.strength.data.fill_(0.5)
    code = torch.randn(1, 8).expand(2, 8)
    first, second = generator(code), generator(code)
    assert not torch.equal(first, second)
    torch.testing.assert_close(first[0], first[1])  # one map for the batch, however it is split
    generator.eval()
    assert torch.equal(generator(code), generator(code))
    again = build_generator(generator.spec()).eval()
    again.load_state_dict(generator.state_dict())
    assert torch.equal(again(code), generator(code))


def test_the_same_seed_makes_the_same_generator():
    states = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        states.append(ModulatedGenerator((8,), 16, width=0.02, noise=True).state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not torch.equal(states[0]["blocks.8.doubling.weight"], states[2]["blocks.8.doubling.weight"])


def test_blocks_have_the_same_names_and_shapes_at_every_image_size():
    small, large = (ModulatedGenerator((8,), size, width=0.05).state_dict() for size in (48, 96))
    shared = [name for name in small if name.startswith("blocks.")]
    assert {name.split(".")[1] for name in shared} == {"16", "32", "64"}
    assert all(small[name].shape == large[name].shape for name in shared)


@pytest.mark.parametrize("kind", ["upconv", "modulated"])
def test_a_spec_builds_the_same_generator(kind):
    generator = KINDS[kind]((6,), 24, width=0.05)
    spec = generator.spec()
    assert spec["kind"] == kind
    again = build_generator(spec)
    again.load_state_dict(generator.state_dict())
    codes = torch.randn(2, 6)
    assert torch.equal(again(codes), generator(codes))


def test_a_spec_without_a_kind_is_upconvolutional_and_an_unknown_kind_is_refused():
    spec = KINDS["upconv"]((6,), 24, width=0.05).spec()
    del spec["kind"]
    assert build_generator(spec).kind == "upconv"
    with pytest.raises(UserError, match="'diffusion'; this version of dgn knows upconv, modulated"):
        build_generator(spec | {"kind": "diffusion"})


@pytest.mark.parametrize("width", [0, -1, float("nan")])
def test_a_width_that_is_not_positive_is_a_user_error(width):
    with pytest.raises(UserError, match="give a number above 0"):
        ModulatedGenerator((4,), 64, width=width)
