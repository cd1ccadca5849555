from types import SimpleNamespace

import numpy as np
import pytest
import torch

from dgn.data.datamodule import ImageData, StepBatches, Stream
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
    data.trainer = SimpleNamespace(world_size=world, global_rank=rank, global_step=first, max_steps=last)
    return [images[:, 0, 0, 0].tolist() for images, _ in data.train_dataloader()]


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
    images, _ = data.on_after_batch_transfer(batch, 0)
    torch.testing.assert_close(images, torch.full((1, 3, 2, 2), 0.2))


def test_validation_images_are_spread_evenly():
    data = ImageData(Numbered(3), Numbered(100), 2, val_images=4)
    assert data.val_indices == [0, 25, 50, 75]


@pytest.mark.parametrize("wrong", [{"batch_size": 0}, {"num_workers": -1}])
def test_wrong_numbers_are_the_users_error(wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        ImageData(Numbered(3), Numbered(3), 2, **wrong)
