"""data.cache=codes, as a user turns it on."""

import json

import pytest
import torch

from dgn.prior import Prior

pytestmark = pytest.mark.e2e
RUN = ["recipe=paper_short", "data.batch_size=4", "data.train_images=24", "schedule.max_steps=6", "logger=none"]


@pytest.fixture(scope="module")
def trained_with_codes(tmp_path_factory, new_user):
    """A user who has trained a prior with the codes of real images from disk, and what was printed."""
    user = new_user(tmp_path_factory.mktemp("codes"))
    out, _ = user.run("train.py", *user.tiny, *RUN, "data.cache=codes", "trainer.max_steps=6", "hydra.run.dir=codes")
    return user, out


def weights(user, run: str) -> dict[str, torch.Tensor]:
    return Prior.load(user.folder / run / "prior.safetensors").generator.state_dict()


def test_a_run_with_codes_from_disk_is_the_same_training(trained_with_codes):
    """Doodles have no augmentation: the images are the same, and codes differ by the order of additions."""
    user, out = trained_with_codes
    assert "each of 24 images is seen as it is, without augmentation; their codes and comparator features take" in out
    user.run("train.py", *user.tiny, *RUN, "trainer.max_steps=6", "hydra.run.dir=plain")
    codes, plain = (json.loads((user.folder / run / "metrics.json").read_text()) for run in ("codes", "plain"))
    for name in ("val/psnr", "val/feature_distance"):
        assert codes[name] == pytest.approx(plain[name], rel=1e-3)


def test_a_resumed_run_reads_the_same_codes(trained_with_codes):
    user, _ = trained_with_codes
    user.run("train.py", *user.tiny, *RUN, "data.cache=codes", "trainer.max_steps=3", "hydra.run.dir=resumed")
    out, _ = user.run("train.py", f"resume={user.folder / 'resumed'}", "trainer.max_steps=6")
    assert "Computing them once" not in out
    whole, resumed = weights(user, "codes"), weights(user, "resumed")
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())


def test_with_a_shifted_comparator_only_codes_are_kept(trained_with_codes):
    user, _ = trained_with_codes
    settings = [*RUN, "comparator_shift=2", "data.cache=codes", "trainer.max_steps=2"]
    out, _ = user.run("train.py", *user.tiny, *settings, "code_noise=0.5")
    assert "only codes are kept, as comparator_shift shifts what C sees" in out
    assert "their codes take 96.0 KiB" in out  # 24 images, 1024 units, 4 bytes


@pytest.mark.slow
def test_two_processes_read_the_codes_of_their_shares(trained_with_codes):
    user, _ = trained_with_codes
    user.run(
        *("train.py", *user.tiny, *RUN, "data.cache=codes", "trainer=ddp_cpu", "trainer.max_steps=6"),
        "hydra.run.dir=two",
    )
    one, two = (json.loads((user.folder / run / "metrics.json").read_text()) for run in ("codes", "two"))
    for name in ("val/psnr", "val/feature_distance", "val/code_error"):
        assert two[name] == pytest.approx(one[name], rel=1e-3)
