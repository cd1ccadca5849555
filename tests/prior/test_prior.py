import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from dgn.errors import UserError
from dgn.networks.generator import UpconvGenerator
from dgn.networks.modulated import ModulatedGenerator
from dgn.networks.zoo import mini_resnet
from dgn.prior import Prior
from dgn.prior.statistics import UnitStatistics


@pytest.fixture
def prior() -> Prior:
    torch.manual_seed(0)
    net = mini_resnet(classes=3, labels=["a", "b", "c"], width=8)
    generator = UpconvGenerator((32,), 16, width=0.03).requires_grad_(False).eval()
    statistics = UnitStatistics(torch.rand(32), torch.rand(32), torch.zeros(32), 5 * torch.ones(32), 99)
    generator.set_code_statistics(statistics.mean, statistics.std)
    about = {"layer": "avgpool", "encoder": {"name": net.name, "spec": net.spec, "fingerprint": net.fingerprint()}}
    return Prior(generator, statistics, about, net.network.state_dict())


def test_a_prior_comes_back_from_its_file_as_it_was(prior, tmp_path):
    prior.save(tmp_path / "prior.safetensors")
    again = Prior.load(tmp_path / "prior.safetensors")
    codes = prior.sample(4, seed=3)
    # Sums depend on where in memory weights lie, on some processors; the weights are the same.
    torch.testing.assert_close(again.decode(codes), prior.decode(codes), rtol=0, atol=1e-5)
    weights, kept = prior.generator.state_dict(), again.generator.state_dict()
    assert all(torch.equal(kept[name], weight) for name, weight in weights.items())
    assert torch.equal(again.sample(4, seed=3), codes)
    assert again.about == prior.about
    assert again.statistics.count == 99
    assert all(torch.equal(a, b) for a, b in zip(again.bounds(), prior.bounds(), strict=True))
    images = torch.rand(2, 3, 64, 64)
    expected = mini_resnet(classes=3, width=8)(images, ["avgpool"])["avgpool"]
    torch.testing.assert_close(again.encode(images).flatten(1), expected.flatten(1))


def test_a_modulated_prior_comes_back_with_its_noise(prior, tmp_path):
    prior.generator = ModulatedGenerator((32,), 16, width=0.03, noise=True).requires_grad_(False).eval()
    for block in prior.generator.blocks.values():
        block.noise.strength.fill_(0.5)
    prior.generator.to(memory_format=torch.channels_last)  # as a loaded one: sums are in the same order
    prior.save(tmp_path / "prior.safetensors")
    codes = prior.sample(4)
    again = Prior.load(tmp_path / "prior.safetensors")
    torch.testing.assert_close(again.decode(codes), prior.decode(codes), rtol=0, atol=1e-5)


def test_samples_lie_within_the_bounds_and_images_in_image_space(prior):
    codes = prior.sample(50)
    low, high = prior.bounds()
    assert (codes >= low).all()
    assert (codes <= high).all()
    images = prior.decode(100 * codes)
    assert images.shape == (50, 3, 16, 16)
    assert images.min() >= 0
    assert images.max() <= 1


def test_an_encoder_with_other_weights_is_refused(prior, tmp_path):
    prior.encoder_tensors = {}
    prior.about["encoder"]["spec"]["seed"] = 7
    with pytest.raises(UserError, match="not the one"):
        prior.encoder_net()


@pytest.fixture
def saved(prior, tmp_path):
    path = tmp_path / "prior.safetensors"
    prior.save(path)
    return path


def rewrite(path, change, tensors=None) -> None:
    """Writes the prior file again with its header changed by `change`."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["dgn_prior"])
    change(header)
    save_file({**load_file(path), **(tensors or {})}, path, metadata={"dgn_prior": json.dumps(header)})


def test_a_file_without_a_kind_of_generator_is_upconvolutional(prior, saved):
    rewrite(saved, lambda h: h["generator"].pop("kind"))
    codes = prior.sample(2)
    torch.testing.assert_close(Prior.load(saved).decode(codes), prior.decode(codes), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "change",
    [
        lambda h: h.update(format=3),
        lambda h: h.pop("generator"),
        lambda h: h["generator"].update(plan="fc 99999999999, reshape 3x4x4"),
        lambda h: h["generator"].update(kind="diffusion"),
        lambda h: h["generator"].update(kind=["upconv"]),
        lambda h: h["generator"].update(kind="modulated"),
        lambda h: h["generator"].update(code_shape=[31]),
        lambda h: h["generator"].update(image_size="big"),
        lambda h: h["about"].pop("layer"),
        lambda h: h.update(about=[]),
        lambda h: h.update(count="many"),
        lambda h: h["about"].update(layer=3),
        lambda h: h["about"]["encoder"].update(spec=5),
        lambda h: h["about"].update(data="not a mapping"),
    ],
)
def test_a_header_that_does_not_fit_is_refused_without_allocating(saved, change):
    rewrite(saved, change)
    with pytest.raises(UserError, match="prior"):
        Prior.load(saved)


def test_tensors_of_another_size_are_refused(saved):
    rewrite(saved, lambda h: None, {"statistics.mean": torch.zeros(5)})
    with pytest.raises(UserError, match="damaged"):
        Prior.load(saved)


def test_weights_that_are_not_finite_are_refused(saved):
    name, tensor = next((n, t) for n, t in load_file(saved).items() if n.startswith("generator.") and t.ndim > 1)
    rewrite(saved, lambda h: None, {name: torch.full_like(tensor, torch.nan)})
    with pytest.raises(UserError, match="not finite"):
        Prior.load(saved)


def test_every_truncation_is_refused(saved, tmp_path):
    content = saved.read_bytes()
    for size in (0, 5, 100, len(content) // 2, len(content) - 1):
        (tmp_path / "cut.safetensors").write_bytes(content[:size])
        with pytest.raises(UserError, match=r"cut\.safetensors"):
            Prior.load(tmp_path / "cut.safetensors")


def test_foreign_files_are_refused(tmp_path):
    save_file({"a": torch.zeros(2)}, tmp_path / "other.safetensors")
    torch.save({"a": 1}, tmp_path / "pickle.safetensors")
    for name in ("other.safetensors", "pickle.safetensors", "missing.safetensors"):
        with pytest.raises(UserError, match=name):
            Prior.load(tmp_path / name)
    with pytest.raises(UserError, match="folder"):
        Prior.load(tmp_path)


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    torch.save({"prior": Bomb()}, tmp_path / "bomb.ckpt")
    with pytest.raises(UserError, match=r"bomb\.ckpt"):
        Prior.from_checkpoint(tmp_path / "bomb.ckpt")
    assert not (tmp_path / "ran").exists()


def test_principal_axes_come_back_from_the_file_and_files_without_them_open(prior, saved, tmp_path):
    assert Prior.load(saved).principal is None
    prior.statistics.axes, _ = torch.linalg.qr(torch.randn(32, 3))
    prior.statistics.axes = prior.statistics.axes.T.contiguous()
    prior.statistics.axes_std = 1e-3 * torch.tensor([3.0, 2.0, 1.0])
    prior.save(tmp_path / "axes.safetensors")
    axes = Prior.load(tmp_path / "axes.safetensors").principal
    assert torch.equal(axes.axes, prior.statistics.axes)
    assert torch.equal(axes.std, prior.statistics.axes_std)
    torch.testing.assert_close(axes.mean, prior.statistics.mean)
    variances = prior.statistics.std**2 - 1e-6 * (prior.statistics.axes**2 * torch.tensor([[9.0], [4.0], [1.0]])).sum(0)
    torch.testing.assert_close(axes.residual, variances.clamp_min(0).sqrt())


def test_axes_that_do_not_fit_the_code_are_refused(prior, saved):
    rewrite(saved, lambda h: None, {"statistics.axes": torch.zeros(3, 31), "statistics.axes_std": torch.ones(3)})
    with pytest.raises(UserError, match="damaged"):
        Prior.load(saved)


@pytest.mark.parametrize(
    "change",
    [
        lambda h: h["generator"].update(image_size=10**6),
        lambda h: h["generator"].update(output_space=True),
        lambda h: h["generator"].update(plan=h["generator"]["plan"] + ", resize 100000x100000"),
        lambda h: h["generator"]["output_space"].update(mean=[10**60, 0, 0]),
        lambda h: h.update(code_model={"count": 3, "width": 8, "blocks": 10**9}),
        lambda h: h["generator"].update(code_shape=[9] * 200),
    ],
)
def test_a_header_that_states_huge_sizes_takes_no_time_and_no_memory(saved, change):
    rewrite(saved, change)
    with pytest.raises(UserError, match=r"prior\.safetensors is damaged") as error:
        Prior.load(saved)
    assert len(str(error.value)) < 300 + len(str(saved))


def test_an_encoder_described_as_far_larger_than_its_weights_is_not_built(saved):
    rewrite(saved, lambda h: h["about"]["encoder"]["spec"].update(width=10**5))
    with pytest.raises(UserError, match=r"damaged: it describes its encoder wrongly \(a network of \d+ weights"):
        Prior.load(saved).encoder_net()


def test_whole_numbers_in_place_of_weights_are_refused(saved):
    name, tensor = next((n, t) for n, t in load_file(saved).items() if n.startswith("generator.") and t.ndim > 1)
    rewrite(saved, lambda h: None, {name: tensor.int()})
    with pytest.raises(UserError, match=r"is of torch\.int32"):
        Prior.load(saved)


def test_a_checkpoint_that_says_something_else_is_refused(prior, tmp_path):
    path = tmp_path / "last.ckpt"
    statistics = {name: value for name, value in vars(prior.statistics).items() if value is not None}
    state = {f"generator.{name}": tensor for name, tensor in prior.generator.state_dict().items()}
    inside = {"about": prior.about, "generator": prior.generator.spec(), "encoder_tensors": {}}
    whole = {"state_dict": state, "prior": inside, "code_statistics": statistics}
    torch.save(whole, path)
    codes = prior.sample(2)
    torch.testing.assert_close(Prior.from_checkpoint(path).decode(codes), prior.decode(codes))
    for wrong in (
        {"state_dict": state | {"generator.code_mean": torch.full((32,), torch.nan)}},
        {"code_statistics": statistics | {"mean": torch.zeros(3)}},
        {"prior": inside | {"generator": prior.generator.spec() | {"code_shape": [10**7]}}},
        {"prior": inside | {"about": {}}},
        {"prior": None},
    ):
        torch.save(whole | wrong, path)
        with pytest.raises(UserError, match=r"last\.ckpt"):
            Prior.from_checkpoint(path)
