"""Networks that nobody here made, as their owners name them on the command line."""

import csv

import pytest

NETS = """
import torch
from torch import nn
import torch.nn.functional as F


class Net(nn.Module):
    def __init__(self, odd):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU())
        self.head = nn.Linear(8, 4)
        self.odd = odd

    def forward(self, x):
        return self.odd(self.head, self.stem(x).mean((2, 3)))


@torch.no_grad()
def frozen(head, x):
    return head(x)


def partly(head, x):
    y = head(x)
    broken = y[:, 2:3].detach() * torch.nan
    return torch.cat([y[:, :1], F.relu(y[:, 1:2] - 0.05), broken, y[:, 3:] * 0], 1)


def cut():
    return Net(frozen)


def odd():
    return Net(partly)
"""


@pytest.fixture
def nets(user):
    (user.folder / "nets.py").write_text(NETS)
    return user


def test_a_cut_gradient_ends_both_programs_before_the_first_step(nets):
    named = ["encoder=custom", "encoder.model=nets.py:cut", "encoder.input_size=32"]
    tiny = [setting for setting in nets.tiny if not setting.startswith("encoder.")]
    _, err = nets.run(
        "train.py", *named, *tiny, "data.image_size=32", "comparator.layers=[head]", "trainer.max_steps=3", status=2
    )
    assert (
        err.strip().splitlines()[-1].startswith("error: custom cannot be the comparator: no gradient comes from head")
    )
    named = ["target=custom", "target.model=nets.py:cut", "target.input_size=32", "method=olah2017", "steps=2"]
    _, err = nets.run("visualize.py", *named, "units=head:1", "seeds=1", "judge=none", status=2)
    assert "custom cannot be the target: no gradient comes from head" in err
    assert "torch.no_grad()" in err


def test_searches_without_a_result_are_marked_and_the_others_are_shown(nets):
    out, err = nets.run(
        "visualize.py", "target=custom", "target.model=nets.py:odd", "target.input_size=32", "units=output:all",
        "method=pixels", "seeds=2", "steps=4", "judge=none", "device=cpu", "hydra.run.dir=run",
    )  # fmt: skip
    assert "of 8 searches found nothing: " in out + err
    with open(nets.folder / "run" / "results.csv") as file:
        rows = {(row["unit"], row["seed"]): row for row in csv.DictReader(file)}
    assert len(rows) == 8
    for seed in "01":
        assert rows["0", seed]["activation"]
        assert not rows["0", seed]["note"]
        assert not rows["3", seed]["activation"]
        assert rows["3", seed]["note"] == "no gradient at any of 4 steps: a silent unit's start, not a result"
        assert not rows["2", seed]["activation"]
        assert "not finite (NaN) at step" in rows["2", seed]["note"]
    pages = [path.read_text() for path in (nets.folder / "run" / "units").glob("*.html")]
    assert sum("no gradient at any of 4 steps" in page for page in pages) == 1
