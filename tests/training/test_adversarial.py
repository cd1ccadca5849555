import math
from functools import partial

import pytest
import torch
import torch.nn.functional as F

from dgn.errors import UserError
from dgn.networks.discriminator import GENERATED, REAL, Discriminator
from dgn.networks.feature_discriminator import FeatureDiscriminator, feature_discriminator
from dgn.networks.zoo import mini_caffenet
from dgn.training.adversarial import CrossEntropy, Hinge, Relativistic, gradient_penalty


def test_cross_entropy_is_that_of_the_softmax_over_ds_two_logits():
    torch.manual_seed(0)
    discriminator = Discriminator(64, width=0.25).eval()
    real, generated = torch.rand(2, 3, 3, 64, 64)
    scores = discriminator.judge([real], [generated], torch.zeros(3, 1))
    of = {REAL: discriminator(real), GENERATED: discriminator(generated)}
    expected = sum(F.cross_entropy(logits, torch.full((3,), label)) for label, logits in of.items())
    torch.testing.assert_close(CrossEntropy().discriminator(*scores), expected)
    fooled = F.cross_entropy(of[GENERATED], torch.full((3,), REAL))
    torch.testing.assert_close(CrossEntropy().generator(*scores), fooled)


def test_hinge_and_relativistic_by_hand():
    real, generated = [torch.tensor([[0.5], [2.0]])], [torch.tensor([[-3.0], [0.5]])]
    assert Hinge().discriminator(real, generated).item() == pytest.approx((0.5 + 0) / 2 + (0 + 1.5) / 2)
    assert Hinge().generator(real, generated).item() == pytest.approx(1.25)
    pairs = [-3.0 - 0.5, 0.5 - 2.0]
    expected = sum(math.log1p(math.exp(d)) for d in pairs) / 2
    assert Relativistic().discriminator(real, generated).item() == pytest.approx(expected, rel=1e-6)
    expected = sum(math.log1p(math.exp(-d)) for d in pairs) / 2
    assert Relativistic().generator(real, generated).item() == pytest.approx(expected, rel=1e-6)


def test_each_head_counts_the_same_whatever_its_positions():
    real = [torch.zeros(2, 1), torch.zeros(2, 9)]
    generated = [torch.full((2, 1), 4.0), torch.zeros(2, 9)]
    assert Hinge().generator(real, generated).item() == pytest.approx(-2.0)


def test_the_penalty_of_a_linear_score_is_the_squared_norm_of_its_weights():
    weights = torch.randn(3 * 4 * 4)

    def judge(real, generated):
        return [real[0].flatten(1) @ weights[:, None]], [2 * generated[0].flatten(1) @ weights[:, None]]

    x = [torch.rand(5, 3, 4, 4)]
    expected = 0.7 / 2 * (1 + 4) * weights.square().sum()
    torch.testing.assert_close(gradient_penalty(judge, x, x, 0.7), expected)


@pytest.mark.parametrize("form", [CrossEntropy, Hinge, Relativistic])
def test_a_wrong_penalty_is_a_user_error(form):
    with pytest.raises(UserError, match=r"adversarial\.penalty=-1 must be a number >= 0"):
        form(penalty=-1)


SHAPES = {"map": (6, 16, 16), "small": (8, 5, 5), "tokens": (10, 12), "vector": (20,)}


def features(count=3):
    return {name: torch.randn(count, *shape) for name, shape in SHAPES.items()}


def test_heads_on_features_of_every_shape_score_each_position_and_learn():
    torch.manual_seed(0)
    discriminator = FeatureDiscriminator(SHAPES, (7,), channels=8)
    real, fake = features(), {name: x.requires_grad_() for name, x in features().items()}
    codes = torch.randn(3, 7)
    seen = discriminator.seen(torch.rand(3, 3, 8, 8), real), discriminator.seen(torch.rand(3, 3, 8, 8), fake)
    a, b = discriminator.judge(*seen, codes)
    assert [score.shape for score in a] == [score.shape for score in b]
    assert [score.shape[1] for score in a] == [8 * 8, 5 * 5, 10, 1]
    loss = CrossEntropy().discriminator(a, b) + gradient_penalty(partial(discriminator.judge, codes=codes), *seen)
    loss.backward()
    for name, parameter in discriminator.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name
    assert all(x.grad.abs().sum() > 0 for x in fake.values())


def test_the_heads_do_not_depend_on_the_scale_of_the_network_but_on_the_code():
    torch.manual_seed(0)
    discriminator = FeatureDiscriminator(SHAPES, (7,), channels=8).eval()
    real, fake, codes = features(), features(), torch.randn(3, 7)
    scores = discriminator.judge(list(real.values()), list(fake.values()), codes)
    larger = [[100 * x for x in seen.values()] for seen in (real, fake)]
    for a, b in zip(scores, discriminator.judge(*larger, codes), strict=True):
        for x, y in zip(a, b, strict=True):
            torch.testing.assert_close(x, y, rtol=1e-3, atol=1e-4)
    others = discriminator.judge(list(real.values()), list(fake.values()), -codes)
    assert not any(torch.allclose(x, y, atol=1e-3) for x, y in zip(scores[0], others[0], strict=True))


def test_the_projections_are_fixed_and_the_heads_have_spectral_norm():
    torch.manual_seed(0)
    discriminator = FeatureDiscriminator(SHAPES, None, channels=8, seed=3)
    again = FeatureDiscriminator(SHAPES, None, channels=8, seed=3)
    for name, buffer in discriminator.projections.named_buffers():
        assert torch.equal(buffer, again.projections.get_buffer(name))
    assert not list(discriminator.projections.parameters())
    codes = torch.zeros(3, 7)
    for _ in range(200):  # power iterations
        discriminator.judge(*(list(features().values()) for _ in range(2)), codes)
    score = discriminator.heads[0].score.weight.flatten()
    assert score.norm().item() == pytest.approx(1.0, rel=1e-3)


def test_the_head_on_pixels_scores_patches_of_18_pixels_whatever_the_features():
    torch.manual_seed(0)
    discriminator = FeatureDiscriminator(SHAPES, (7,), channels=8, pixels=4).eval()
    features = {layer: torch.randn(2, *shape) for layer, shape in SHAPES.items()}
    images = torch.rand(2, 3, 64, 64, requires_grad=True)
    seen = discriminator.seen(images, features)
    _, generated = discriminator.judge(seen, seen, torch.randn(2, 7))
    assert len(generated) == len(SHAPES) + 1
    scores = generated[-1]
    assert scores.shape == (2, 8 * 8)  # three convolutions of stride 2
    # The score of the fourth row and column of patches: a square of 18 pixels of its own image, and nothing else.
    (gradient,) = torch.autograd.grad(scores[0, 3 * 8 + 3], images)
    rows, columns = gradient[0].abs().sum(0).nonzero().T
    assert gradient[1].abs().max() == 0
    for at in (rows, columns):
        assert at.max() - at.min() + 1 == 18


def test_a_negative_width_of_the_head_on_pixels_is_a_user_error():
    for pixels in (-1, True, "some"):
        with pytest.raises(UserError, match=rf"discriminator\.pixels={pixels}: give a number of channels, 0"):
            FeatureDiscriminator(SHAPES, None, pixels=pixels)


def test_no_layers_is_a_user_error():
    with pytest.raises(UserError, match=r"discriminator\.layers is empty"):
        FeatureDiscriminator({}, None)


def test_a_head_sees_the_dots_that_a_maximum_hides():
    """A maximum over 3x3 places is the same for dots at every third place as for a filled map."""
    discriminator = feature_discriminator(64, (16,), mini_caffenet(classes=2))
    assert discriminator.layers == ("relu1", "relu2", "relu5", "pool5")
    dots, filled = torch.zeros(1, 32, 32, 32), torch.ones(1, 32, 32, 32)
    dots[..., 1::3, 1::3] = 1
    pools = [F.max_pool2d(x, 3, 2, ceil_mode=True) for x in (dots, filled)]
    torch.testing.assert_close(*pools, rtol=0, atol=0)
    deeper = [torch.ones(1, 64, 16, 16), torch.ones(1, 64, 8, 8), torch.ones(1, 64, 4, 4)]
    (real, *others), (painted, *same) = discriminator.judge([filled, *deeper], [dots, *deeper], torch.zeros(1, 16))
    assert not torch.allclose(real, painted, rtol=1e-2)
    torch.testing.assert_close(others, same)


def test_the_head_on_places_sees_what_images_have_in_common_at_every_size():
    """Linear in the pixels: a pattern at fixed places moves the score by as much in every image."""
    discriminator = FeatureDiscriminator({"a": (2, 4, 4)}, channels=2, places=(8, 8))
    torch.manual_seed(0)
    images, pattern, features = torch.rand(5, 3, 8, 8) / 2, torch.rand(3, 8, 8) / 2, [torch.rand(5, 2, 4, 4)]
    judge = lambda x: discriminator.judge([*features, x], [*features, x], torch.zeros(5, 1))[0][-1]  # noqa: E731
    discriminator.eval()
    (head,) = discriminator.of_pixels
    weight, bias = head.weight.flatten()[None] / head.weight.norm(), head.bias
    torch.testing.assert_close(judge(images), (4 * images - 2).flatten(1) @ weight.T + bias)
    moved = judge(images + pattern) - judge(images)
    torch.testing.assert_close(moved, (4 * pattern.flatten() @ weight[0]).expand(5, 1), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(judge(3 * images - 1), judge((3 * images - 1).clamp(0, 1)))
    half = F.avg_pool2d(images, 2)
    torch.testing.assert_close(judge(half), judge(half.repeat_interleave(2, 2).repeat_interleave(2, 3)))
