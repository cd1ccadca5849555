"""Priors in half precision, and those in the package."""

import pytest
import torch
from safetensors.torch import load_file

from dgn.errors import UserError
from dgn.networks.generator import UpconvGenerator
from dgn.networks.zoo import mini_resnet
from dgn.prior import Prior, find_prior, packaged
from dgn.prior.half import main, without_folders
from dgn.prior.statistics import UnitStatistics


@pytest.fixture
def prior() -> Prior:
    torch.manual_seed(0)
    net = mini_resnet(classes=3, labels=["a", "b", "c"], width=8)
    generator = UpconvGenerator((32,), 16, width=0.03).requires_grad_(False).eval()
    axes = torch.linalg.qr(torch.randn(32, 8)).Q.T
    statistics = UnitStatistics(
        torch.rand(32), torch.rand(32), torch.zeros(32), torch.ones(32), 99, axes.contiguous(), torch.ones(8)
    )
    generator.set_code_statistics(statistics.mean, statistics.std)
    about = {
        "layer": "avgpool",
        "encoder": {"name": net.name, "spec": net.spec, "fingerprint": net.fingerprint()},
        "data": {"root": "/home/me/pictures/tiny/train"},
        "command": "python train.py data.root=/home/me/pictures/tiny/train seed=0",
    }
    return Prior(generator, statistics, about, net.network.state_dict())


def test_half_the_size_and_the_same_pictures(prior, tmp_path, capsys):
    prior.save(tmp_path / "prior.safetensors")
    small = tmp_path / "small.safetensors"
    main([str(tmp_path / "prior.safetensors"), str(small), "--card", str(tmp_path / "small.md")])
    assert capsys.readouterr().out.splitlines()[-1] == str(small)
    again, codes = Prior.load(small), prior.sample(8)
    assert {tensor.dtype for tensor in again.generator.state_dict().values()} == {torch.float32}
    # float16 has 11 bits; the errors of a few layers add up
    torch.testing.assert_close(again.decode(codes), prior.decode(codes), rtol=0, atol=0.01)
    held = load_file(small)
    matrices = [name for name, t in held.items() if t.ndim > 1 and t.is_floating_point()]
    assert {held[n].dtype for n in matrices if not n.startswith("encoder.")} == {torch.float16}
    assert torch.equal(again.statistics.mean, prior.statistics.mean)
    assert again.encoder_net().fingerprint() == prior.about["encoder"]["fingerprint"]
    card = (tmp_path / "small.md").read_text()
    assert "prior=small" in card
    assert "/home/me" not in card + str(again.about)


def test_a_file_beyond_the_size_is_refused_and_not_kept(prior, tmp_path, capsys):
    prior.save(tmp_path / "prior.safetensors")
    with pytest.raises(SystemExit) as ended:
        main([str(tmp_path / "prior.safetensors"), str(tmp_path / "small.safetensors"), "--most", "0.001"])
    assert ended.value.code == 2
    assert "--most allows 0.001" in capsys.readouterr().err
    assert not (tmp_path / "small.safetensors").exists()


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("/home/me/pictures/tiny/train", "tiny/train"),
        ("root=/home/me/tiny/train model=/a/b/net.py:make", "root=tiny/train model=b/net.py:make"),
        ("outputs/train/a", "outputs/train/a"),
        ("https://host/a/b/c", "https://host/a/b/c"),
        ("/tmp", "/tmp"),
    ],
)  # fmt: skip
def test_absolute_paths_keep_their_last_two_parts(text, kept):
    assert without_folders({"a": [text]}) == {"a": [kept]}


def test_a_prior_in_the_package_is_found_by_its_name(prior, tmp_path, monkeypatch):
    monkeypatch.setattr(packaged, "FOLDER", tmp_path / "packages")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "packages").mkdir()
    prior.save(tmp_path / "packages" / "tiny16.safetensors", half=True)
    assert Prior.load(find_prior("tiny16")).image_size == 16
    with pytest.raises(UserError, match=r"prior=tiny61: no such file or folder.* or tiny16"):
        find_prior("tiny61")
    prior.save(tmp_path / "tiny16")  # a file of that name comes first
    assert find_prior("tiny16").resolve() == (tmp_path / "tiny16").resolve()
