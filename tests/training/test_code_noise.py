import pytest
import torch

from dgn.errors import UserError
from dgn.networks.dropout import SharedDropout
from dgn.training.code_noise import CodeNoise


def test_noise_has_the_spread_of_each_unit_times_a_uniform_strength():
    torch.manual_seed(0)
    std = torch.tensor([0.0, 1.0, 10.0])
    codes = torch.full((200_000, 3), 5.0)
    noise = CodeNoise(0.6)(codes, std, rectified=False) - codes
    # The variance of s * n with s uniform in [0, m] is m^2 / 3; the fourth moment m^4 / 5 * 3.
    torch.testing.assert_close(noise.std(0), std * (0.6**2 / 3) ** 0.5, rtol=0.01, atol=1e-6)
    assert noise[:, 1].pow(4).mean().item() == pytest.approx(3 * 0.6**4 / 5, rel=0.05)


def test_one_strength_for_each_code():
    torch.manual_seed(0)
    noise = CodeNoise(1.0)(torch.zeros(50, 4000), torch.ones(4000), rectified=False)
    strengths = noise.std(1)
    assert strengths.min() < 0.1
    assert strengths.max() > 0.9
    torch.testing.assert_close(noise[:, :2000].std(1), noise[:, 2000:].std(1), rtol=0.1, atol=0)


def test_rectified_codes_stay_so_and_no_noise_is_the_same_tensor():
    codes = torch.rand(10, 7)
    assert CodeNoise(2.0)(codes, torch.ones(7), rectified=True).min() == 0
    assert CodeNoise()(codes, torch.ones(7), rectified=True) is codes


def test_parts_of_a_batch_draw_the_noise_of_the_whole(monkeypatch):
    codes, std = torch.zeros(6, 4), torch.ones(4)
    torch.manual_seed(1)
    whole = CodeNoise(1.0)(codes, std, rectified=False)
    parts = []
    for index in range(3):
        monkeypatch.setattr(SharedDropout, "part", (index, 3))
        torch.manual_seed(1)
        parts.append(CodeNoise(1.0)(codes[:2], std, rectified=False))
    assert torch.equal(torch.cat(parts), whole)


def test_a_negative_strength_is_a_user_error():
    with pytest.raises(UserError, match=r"code_noise=-1 must be a number >= 0"):
        CodeNoise(-1)
