import numpy as np
import pytest
import torch

from dgn.data.datamodule import ImageData, StepBatches, Stream, to_image_space
from dgn.data.loading import collate
from dgn.errors import UserError


class Numbered:
    """Image i is i everywhere; an augmented view adds what the generator draws."""

    classes = ("a", "b")

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, i: int):
        return torch.full((3, 2, 2), i, dtype=torch.uint8), i % 2


class Augmented(Numbered):
    def sample(self, i: int, generator: np.random.Generator):
        return torch.full((3, 2, 2), int(generator.integers(256)), dtype=torch.uint8), i % 2


def loader(source, first: int, last: int, workers: int = 0, rank: int = 0, world: int = 1):
    data = ImageData(source, Numbered(4), 2, batch_size=6, num_workers=workers, seed=3)
    return [images[:, 0, 0, 0].tolist() for images, _ in data.training_batches(first, last, rank, world)]


def test_every_epoch_is_a_permutation_and_no_two_are_the_same():
    stream = Stream(Numbered(50), seed=1)
    epochs = [[stream.index(n) for n in range(e * 50, e * 50 + 50)] for e in range(3)]
    assert all(sorted(epoch) == list(range(50)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


@pytest.mark.parametrize("source", [Numbered(20), Augmented(20)])
def test_a_resumed_run_sees_what_the_uninterrupted_one_would(source):
    whole = loader(source, 0, 10)
    assert loader(source, 7, 10) == whole[7:]
    assert loader(source, 0, 10, workers=2) == whole


def test_processes_share_the_same_global_batch():
    whole = loader(Augmented(20), 0, 5)
    parts = [loader(Augmented(20), 0, 5, rank=rank, world=2) for rank in range(2)]
    for step in range(5):
        assert sorted(parts[0][step] + parts[1][step]) == sorted(whole[step])


def test_the_length_counts_from_the_first_step_as_the_trainer_does():
    assert len(StepBatches(4, 7, 10)) == 10
    assert len(list(StepBatches(4, 7, 10))) == 3


def test_images_arrive_in_image_space():
    data = ImageData(Numbered(3), Numbered(3), 2)
    batch = (torch.full((1, 3, 2, 2), 51, dtype=torch.uint8), torch.tensor([0]))
    images, _ = data.prepared(batch)
    torch.testing.assert_close(images, torch.full((1, 3, 2, 2), 0.2))


@pytest.mark.parametrize("layout", ["colours together", "colours apart"])
def test_a_batch_equals_its_samples_in_any_memory_layout(layout):
    images = [torch.randint(256, (5, 7, 3), dtype=torch.uint8).permute(2, 0, 1) for _ in range(4)]
    images = images if layout == "colours together" else [image.contiguous() for image in images]
    batch, labels = collate([(image, i) for i, image in enumerate(images)])
    assert torch.equal(batch, torch.stack([image.contiguous() for image in images]))
    assert batch.is_contiguous(memory_format=torch.channels_last) == (layout == "colours together")
    assert labels.tolist() == [0, 1, 2, 3]
    torch.testing.assert_close(to_image_space(batch), batch.float() / 255)


def test_validation_images_are_always_the_same_ones_of_every_class():
    indices = [ImageData(Numbered(3), Numbered(100), 2, val_images=20, seed=s).val_indices for s in range(2)]
    assert indices[0] == indices[1]
    assert len(set(indices[0])) == 20
    assert {i % 4 for i in indices[0]} == {0, 1, 2, 3}
    data = ImageData(Numbered(3), Numbered(7), 2, val_images=20)
    assert data.val_indices == list(range(7))
    assert sum(len(images) for images, _ in data.real_images(5, "val")) == 5


@pytest.mark.parametrize("wrong", [{"batch_size": 0}, {"num_workers": -1}])
def test_wrong_numbers_are_a_user_error(wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        ImageData(Numbered(3), Numbered(3), 2, **wrong)


def test_cached_doodles_are_the_drawn_ones(tmp_path, monkeypatch):
    from dgn.data.doodles import draw
    from dgn.data.sources import doodles

    monkeypatch.setenv("DGN_CACHE", str(tmp_path))
    data = doodles(image_size=48, train_images=40, val_images=20)
    for split, source in (("train", data.train_source), ("val", data.val_source)):
        for i in (0, 7, 19):
            drawn = draw(0, split, i, 48)
            image, label = source[i]
            np.testing.assert_array_equal(image.permute(1, 2, 0).numpy(), drawn.image)
            assert label == drawn.label
