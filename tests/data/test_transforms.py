import numpy as np
import pytest
import torch
from PIL import Image

from dgn.data.transforms import EvalTransform, StoredTransform, TrainTransform, generator_for
from dgn.errors import UserError


def noise(height, width, seed=0):
    return torch.randint(256, (3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def by_pillow(image, height, width):
    picture = Image.fromarray(image.permute(1, 2, 0).numpy())
    return torch.from_numpy(np.array(picture.resize((width, height), Image.Resampling.BILINEAR))).permute(2, 0, 1)


@pytest.mark.parametrize(("height", "width"), [(40, 60), (60, 40), (9, 5), (1, 1), (32, 32), (3, 1000)])
@pytest.mark.parametrize("square", [False, True])
def test_any_picture_becomes_a_square_of_the_size_asked_for(height, width, square):
    for transform in (TrainTransform(28, 32, square=square), EvalTransform(28, 32, square=square)):
        image = transform(noise(height, width), np.random.default_rng(0))
        assert image.shape == (3, 28, 28)
        assert image.dtype == torch.uint8


def test_the_default_scale_is_the_papers():
    assert TrainTransform(227).resize == EvalTransform(227).resize == 256
    assert TrainTransform(64).resize == 72


def test_a_scale_smaller_than_the_crop_is_refused():
    with pytest.raises(UserError, match=r"resize 200 .* image_size 227; give resize >= 227"):
        TrainTransform(227, resize=200)
    with pytest.raises(UserError, match="resize 200"):
        EvalTransform(227, resize=200)
    with pytest.raises(UserError, match="image_size 0"):
        EvalTransform(0)


def test_validation_is_the_middle_of_the_antialiased_scaled_picture():
    image = noise(96, 144)
    wanted = by_pillow(image, 32, 48)[:, 2:30, 10:38]
    assert (EvalTransform(28, 32)(image).int() - wanted.int()).abs().max() <= 1


def test_a_square_scale_keeps_the_whole_picture_and_not_its_shape():
    image = noise(96, 144)
    wanted = by_pillow(image, 32, 32)
    assert (EvalTransform(32, 32, square=True)(image).int() - wanted.int()).abs().max() <= 1


def test_training_crops_are_pieces_of_the_scaled_picture_and_reach_every_corner():
    image = noise(8, 10)
    transform = TrainTransform(7, 8)
    generator = np.random.default_rng(0)
    pieces = {
        image[:, top : top + 7, left : left + 7].flip([-1] * mirrored).numpy().tobytes()
        for top in range(2)
        for left in range(4)
        for mirrored in range(2)
    }
    seen = {transform(image, generator).numpy().tobytes() for _ in range(300)}
    assert seen == pieces


def test_mirroring_can_be_turned_off_without_moving_the_crops():
    image = noise(12, 12)
    for seed in range(10):
        plain = TrainTransform(8, 10, mirror=False)(image, np.random.default_rng(seed))
        mirrored = TrainTransform(8, 10)(image, np.random.default_rng(seed))
        assert torch.equal(mirrored, plain) or torch.equal(mirrored, plain.flip(-1))


def test_the_same_generator_gives_the_same_pixels():
    image = noise(40, 60)
    runs = [
        [TrainTransform(20)(image, generator) for _ in range(4)]
        for generator in (np.random.default_rng(3), np.random.default_rng(3), np.random.default_rng(4))
    ]
    assert all(torch.equal(a, b) for a, b in zip(runs[0], runs[1], strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(runs[0], runs[2], strict=True))


def test_the_pictures_strides_do_not_matter():
    image = noise(40, 60)
    last = image.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    a, b = (TrainTransform(20)(x, np.random.default_rng(0)) for x in (image, last))
    assert (a.int() - b.int()).abs().max() <= 1


def test_torchs_seed_decides_the_generator_made_from_it_and_validation_draws_none():
    torch.manual_seed(7)
    assert generator_for(EvalTransform(8)) is None
    first = generator_for(TrainTransform(8)).random()
    second = generator_for(TrainTransform(8)).random()
    torch.manual_seed(7)
    assert generator_for(TrainTransform(8)).random() == first != second


def reflected(image, size):
    """numpy's own padding by reflection, to squares of `size` with the picture in the middle."""
    before = [(size - side) // 2 for side in image.shape[-2:]]
    after = [size - side - b for side, b in zip(image.shape[-2:], before, strict=True)]
    return torch.from_numpy(np.pad(image.numpy(), [(0, 0), (before[0], after[0]), (before[1], after[1])], "reflect"))


def test_a_picture_of_the_size_asked_for_is_used_whole_and_its_crops_come_from_a_reflected_border():
    image = noise(32, 32)
    transform = TrainTransform(32)
    assert torch.equal(EvalTransform(32)(image), image)
    assert torch.equal(transform.evaluation()(image), image)
    border = reflected(image, 36)
    pieces = {
        border[:, top : top + 32, left : left + 32].flip([-1] * mirrored).numpy().tobytes()
        for top in range(5)
        for left in range(5)
        for mirrored in range(2)
    }
    generator = np.random.default_rng(0)
    assert {transform(image, generator).numpy().tobytes() for _ in range(800)} == pieces


def test_a_smaller_picture_is_enlarged_once_to_the_size_asked_for():
    image = noise(64, 64)
    wanted = by_pillow(image, 128, 128)
    assert (EvalTransform(128)(image).int() - wanted.int()).abs().max() <= 1
    border = reflected(EvalTransform(128)(image), 144)
    crop = TrainTransform(128, mirror=False)(image, np.random.default_rng(1))
    windows = border.unfold(1, 128, 1).unfold(2, 128, 1).permute(1, 2, 0, 3, 4)
    assert (windows == crop).flatten(2).all(2).any()


@pytest.mark.parametrize("side", [33, 34, 35])
def test_a_picture_between_crop_and_scale_keeps_its_size(side):
    image = noise(side, side)
    whole = EvalTransform(32)(image)
    windows = image.unfold(1, 32, 1).unfold(2, 32, 1).permute(1, 2, 0, 3, 4)
    assert (windows == whole).flatten(2).all(2).any()


@pytest.mark.parametrize(("height", "width"), [(32, 32), (34, 33), (20, 20), (32, 50), (90, 70), (10, 90)])
def test_what_a_cache_stores_gives_the_same_crops_and_the_same_whole(height, width):
    image = noise(height, width)
    stored = StoredTransform(32)(image)
    assert stored.shape == (3, 36, 36)
    assert torch.equal(EvalTransform(32)(stored), EvalTransform(32)(image))
    if height == width:  # of others, crops reach beyond the middle square
        for seed in range(5):
            a, b = (TrainTransform(32)(x, np.random.default_rng(seed)) for x in (stored, image))
            assert torch.equal(a, b)


def test_a_border_may_be_wider_than_the_picture():
    image = noise(4, 4)
    transform = StoredTransform(4, 20)
    assert torch.equal(transform(image), reflected(image, 20))
    assert torch.equal(StoredTransform(1, 3)(noise(1, 1)), noise(1, 1).expand(3, 3, 3))
