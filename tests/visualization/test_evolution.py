"""Evolution by asking and telling: killed at any moment it ends as if it had not been."""

import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch

from dgn import Evolution, UserError
from dgn.am.evolution import STRATEGIES, SphericalCMA
from dgn.networks.generator import UpconvGenerator
from dgn.prior import Prior
from dgn.prior.statistics import UnitStatistics


@pytest.fixture
def prior(tmp_path) -> Prior:
    torch.manual_seed(0)
    generator = UpconvGenerator((6,), 12, "fc 12, reshape 3x2x2, up 4, up 4, up 3").requires_grad_(False)
    mean, std, low, high = (torch.full((6,), value) for value in (1.0, 0.5, 0.0, 3.0))
    statistics = UnitStatistics(mean, std, low, high, 10, axes=torch.eye(6)[:3], axes_std=std[:3])
    about = {"layer": "fc6", "encoder": {"name": "tiny", "spec": {}, "fingerprint": ""}}
    made = Prior(generator, statistics, about)
    made.save(tmp_path / "prior.safetensors")
    return Prior.load(tmp_path / "prior.safetensors")


def red(images: torch.Tensor) -> torch.Tensor:
    scores = images[:, 0].mean((1, 2)) - images[:, 2].mean((1, 2))
    scores[3] = torch.nan  # one image is always missed
    return scores


def evolve(search: Evolution, generations: int) -> Evolution:
    while search.generation < generations:
        search.tell(red(search.ask()[1]))
    return search


SCRIPT = """
import sys, time
import torch
from dgn import Evolution, Prior

search = Evolution(Prior.load(sys.argv[1]), sys.argv[2], generations=9, seed=4, folder=sys.argv[3])
while True:
    codes, images = search.ask()
    scores = images[:, 0].mean((1, 2)) - images[:, 2].mean((1, 2))
    scores[3] = torch.nan
    search.tell(scores)
    print(search.generation, flush=True)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no SIGKILL")
def test_a_search_that_is_killed_goes_on_to_the_bit(prior, tmp_path):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2])])}
    arguments = [str(prior.source), "cma_cholesky", str(tmp_path / "run")]
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, *arguments], env=environment, stdout=subprocess.PIPE)
    for _ in range(3):
        assert process.stdout.readline()
    process.kill()
    process.wait()
    process.stdout.close()
    went_on = Evolution(prior, "cma_cholesky", 9, seed=4, folder=tmp_path / "run")
    assert went_on.generation >= 3
    whole = evolve(Evolution(prior, "cma_cholesky", 9, seed=4), max(9, went_on.generation))
    evolve(went_on, whole.generation)
    assert torch.equal(went_on.ask()[0], whole.ask()[0])
    assert torch.equal(went_on.best_code, whole.best_code)
    assert went_on.best_score == whole.best_score
    assert torch.equal(torch.stack(went_on.scores).nan_to_num(9), torch.stack(whole.scores).nan_to_num(9))


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("subspace", [None, 3])
def test_a_search_goes_on_after_every_generation(prior, tmp_path, strategy, subspace):
    make = partial(Evolution, prior, strategy, 6, subspace=subspace)
    whole = evolve(make(), 4)
    for generations in range(1, 5):  # asked but not told, then gone: four times
        search = make(folder=tmp_path / "run")
        search.ask()
        evolve(search, generations)
        search.ask()
    assert torch.equal(search.ask()[0], whole.ask()[0])
    assert torch.equal(search.best_image, whole.best_image)
    page = (tmp_path / "run" / "evolution.html").read_text()
    assert page.count("data:image/png") == 8 + 4  # the eight best, and the best of four generations
    assert "without a score" in page
    assert "The search is running" in page


def test_asking_twice_gives_the_same_images_and_a_seed_its_own(prior):
    search = Evolution(prior, partial(SphericalCMA, population=5, select=2), seed=1)
    codes, images = search.ask()
    assert codes.shape == (5, 6)
    assert images.shape == (5, 3, 12, 12)
    assert torch.equal(images, search.ask()[1])
    assert not torch.equal(images, Evolution(prior, partial(SphericalCMA, population=5, select=2), seed=2).ask()[1])
    search.tell([0.0, 5.0, 1.0, float("nan"), 2.0])
    assert search.best_score == 5
    torch.testing.assert_close(search.best_image, images[1], atol=1e-6, rtol=0)


def test_what_cannot_be_told_is_said_in_one_line(prior, tmp_path):
    search = Evolution(prior, folder=tmp_path / "run")
    with pytest.raises(UserError, match=r"nothing was asked for: call ask\(\) before tell\(scores\)"):
        search.tell([1.0])
    search.ask()
    with pytest.raises(UserError, match=r"scores of shape \(1,\) for 40 images; give one score each"):
        search.tell([1.0])
    search.tell(torch.arange(40.0))
    with pytest.raises(UserError, match="holds another search; name another folder"):
        Evolution(prior, folder=tmp_path / "run", seed=1)
    with pytest.raises(UserError, match="strategy='adam': give cma_sphere, cma_cholesky, cma, genetic"):
        Evolution(prior, "adam")


def test_a_damaged_generation_is_scored_again(prior, tmp_path, caplog):
    whole = evolve(Evolution(prior, folder=tmp_path / "run"), 3)
    (tmp_path / "run" / "generations" / "0002.generation").write_bytes(b"half of it")
    search = Evolution(prior, folder=tmp_path / "run")
    assert search.generation == 2
    assert "is damaged" in caplog.text
    assert torch.equal(evolve(search, 3).ask()[0], whole.ask()[0])
