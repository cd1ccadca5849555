import torch

from dgn.data.images import reconstruction_grid


def test_each_real_image_stands_over_its_reconstruction():
    real = torch.rand(11, 3, 32, 24) * 0.9
    fake = torch.rand(11, 3, 32, 24) * 0.9
    grid = reconstruction_grid(real, fake, columns=4)
    line = 1
    assert grid.shape == (3, line + 3 * (2 * 32 + 4 * line) - 2 * line, line + 4 * (24 + line))
    for i in range(11):
        top, left = line + i // 4 * (2 * 32 + 4 * line), line + i % 4 * (24 + line)
        assert torch.equal(grid[:, top : top + 32, left : left + 24], real[i])
        assert torch.equal(grid[:, top + 33 : top + 65, left : left + 24], fake[i])
    assert (grid[:, -line - 65 :, -line - 24 :] == 1).all()  # the twelfth place


def test_white_lies_between_the_pictures():
    grid = reconstruction_grid(torch.zeros(2, 3, 64, 64), torch.zeros(2, 3, 64, 64), columns=1)
    white = (grid == 1).all(0).all(1)
    lengths = torch.unique_consecutive(white, return_counts=True)[1].tolist()
    assert lengths == [2, 64, 2, 64, 6, 64, 2, 64, 2]


def test_fewer_images_than_columns_leave_no_empty_columns_and_values_are_clamped():
    grid = reconstruction_grid(torch.full((2, 3, 8, 8), 3.0), torch.full((2, 3, 8, 8), -3.0))
    assert grid.shape[2] == 1 + 2 * 9
    assert grid.min() == 0
    assert grid.max() == 1
