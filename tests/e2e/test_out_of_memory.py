"""A training that does not fit in memory goes on with batches of half the size, once."""

import pytest
import torch
import yaml
from safetensors.torch import load_file

from dgn.training.inversion import Inversion

pytestmark = pytest.mark.e2e


@pytest.fixture
def memory(monkeypatch):
    """Sets how many images fit in memory."""
    encode, fits = Inversion.encode, [10**6]

    def limited(module, images, *given):
        if module.training and len(images) > fits[0]:
            raise RuntimeError(
                "[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory: you tried"
            )
        return encode(module, images, *given)

    monkeypatch.setattr(Inversion, "encode", limited)
    return fits


def test_a_training_goes_on_with_half_batches_and_takes_the_same_steps(user, memory):
    steps = ("trainer.max_steps=3",)
    user.run("train.py", *user.tiny, *steps, "data.batch_size=4", "accumulate=2", "hydra.run.dir=as_asked")
    memory[0] = 4
    out, _ = user.run("train.py", *user.tiny, *steps, "hydra.run.dir=halved")
    assert out.count("Memory ran out with batches of 8 images: going on with data.batch_size=4 accumulate=2") == 1
    kept = yaml.safe_load((user.folder / "halved" / "config.yaml").read_text())
    assert (kept["data"]["batch_size"], kept["accumulate"]) == (4, 2), "a resumed run would take the large batches"
    halved, asked = (load_file(user.folder / name / "prior.safetensors") for name in ("halved", "as_asked"))
    assert all(torch.equal(halved[name], asked[name]) for name in asked)  # in the same process: the same sums


@pytest.mark.parametrize(
    ("fits", "settings", "tried"), [(3, (), 1), (4, ("recipe=paper",), 0), (2, ("data.batch_size=3",), 0)]
)
def test_a_batch_that_does_not_fit_in_halves_either_ends_in_one_line(user, memory, fits, settings, tried):
    memory[0] = fits
    out, err = user.run("train.py", *user.tiny, "trainer.max_steps=2", *settings, "hydra.run.dir=run", status=2)
    assert out.count("Memory ran out") == tried
    assert "error: memory ran out" in err.splitlines()[-1]
    assert "data.batch_size=N accumulate=M" in err
    assert "Traceback" not in err
