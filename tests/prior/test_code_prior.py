import math

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from dgn.errors import UserError
from dgn.prior.code_prior import CodeAutoencoder, CodePrior
from dgn.training.denoising import Denoising
from dgn.training.settings import Learning

LEARNING = Learning(torch.optim.Adam, lambda optimizer: torch.optim.lr_scheduler.ConstantLR(optimizer))


def test_the_published_autoencoder_has_its_seven_layers():
    with torch.device("meta"):
        layers = CodeAutoencoder((4096,)).layers
    widths = [layer.out_features for layer in layers if hasattr(layer, "out_features")]
    assert widths == [4096, 2048, 1024, 500, 1024, 2048, 4096]


def test_maps_are_codes_too_and_large_ones_keep_its_widths():
    with torch.device("meta"):
        layers = CodeAutoencoder((96, 15, 15)).layers
    sizes = [(layer.in_features, layer.out_features) for layer in layers if hasattr(layer, "out_features")]
    assert sizes[0] == (96 * 15 * 15, 4096)
    assert sizes[3] == (1024, 500)
    assert sizes[-1] == (2048, 96 * 15 * 15)
    assert CodeAutoencoder((3, 4, 4))(torch.rand(2, 3, 4, 4)).shape == (2, 3, 4, 4)


def test_a_file_holds_it_all_and_opens_safely(tmp_path):
    autoencoder = CodeAutoencoder((6,), 0.5, rectified=False)
    autoencoder.set_statistics(torch.arange(6.0), torch.full((6,), 2.0))
    CodePrior(autoencoder, {"layer": "fc6", "encoder": "abc"}).save(tmp_path / "c.safetensors")
    found = CodePrior.load(tmp_path / "c.safetensors")
    codes = torch.randn(3, 6)
    torch.testing.assert_close(found.denoise(codes), autoencoder(codes))
    assert found.about == {"layer": "fc6", "encoder": "abc"}
    content = (tmp_path / "c.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(content[:-40])
    (tmp_path / "text.safetensors").write_bytes(b"hello")
    save_file({"x": torch.ones(1)}, tmp_path / "other.safetensors")
    for name in ("cut", "text", "other", "missing"):
        with pytest.raises(UserError, match=name):
            CodePrior.load(tmp_path / f"{name}.safetensors")


def test_it_learns_the_line_that_codes_lie_on():
    """Codes t * v: the likeliest code near y is its projection on the line. Closed form: after fitting, DAE(y) - y
    points back to the line."""
    torch.manual_seed(0)
    v = torch.nn.functional.normalize(torch.randn(8), dim=0)
    codes = torch.randn(512, 1) * 3 * v
    autoencoder = CodeAutoencoder((8,), 8.0, rectified=False)
    autoencoder.set_statistics(codes.mean(0), codes.std(0))
    module = Denoising(autoencoder, LEARNING, noise=0.5)
    optimizer = torch.optim.Adam(autoencoder.parameters(), 3e-3)
    for _ in range(150):
        optimizer.zero_grad()
        module.error(codes, torch.randn_like(codes)).backward()
        optimizer.step()
    off = torch.randn(64, 8)
    off = off - (off @ v)[:, None] * v
    y = torch.randn(64, 1) * 2 * v + off
    with torch.no_grad():
        back = autoencoder(y) - y
    cosine = torch.nn.functional.cosine_similarity(back, -off)
    assert cosine.mean() > 0.9


def test_the_error_is_in_variances_of_the_code():
    codes = torch.randn(2000, 4) * 5
    autoencoder = CodeAutoencoder((4,), rectified=False)
    autoencoder.set_statistics(codes.mean(0), codes.std(0))
    autoencoder.layers = torch.nn.Sequential(torch.nn.Identity())  # gives back what it gets: all the noise is left
    module = Denoising(autoencoder, LEARNING, noise=0.3)
    error = float(module.error(codes, torch.randn_like(codes)))
    assert error == pytest.approx(0.09, rel=0.05)
    assert math.isclose(float(autoencoder.scale), np.sqrt(np.var(codes.numpy(), axis=0, ddof=1).mean()), rel_tol=1e-5)
