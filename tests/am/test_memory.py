"""Searches that memory does not hold together."""

import logging

import pytest
import torch

from dgn.am import maximize as module
from dgn.am.maximize import maximize
from dgn.am.objectives.diversity import Diversity
from dgn.am.parametrizations import Pixels
from dgn.am.setting import Setting
from dgn.am.stage import Stage
from dgn.am.updates import NormalizedAscent
from dgn.errors import UserError
from dgn.networks.zoo import mini_resnet


@pytest.fixture
def net():
    return mini_resnet(classes=3, width=8)


@pytest.fixture
def of_memory_for(monkeypatch):
    """Lets only so many searches run together, as a GPU of that memory does."""

    def limit(most: int, sizes: list[int]) -> None:
        step = module._search

        def limited(*arguments, **settings):
            sizes.append(len(arguments[-1]))
            if len(arguments[-1]) > most:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return step(*arguments, **settings)

        monkeypatch.setattr(module, "_search", limited)

    return limit


def stage(net) -> Stage:
    return Stage(Pixels(Setting(net, None)), lambda: NormalizedAscent(first=1.0), [], steps=2)


def test_half_as_many_searches_run_when_memory_runs_out_and_give_the_same(net, of_memory_for, caplog):
    whole = maximize(net, "fc:0-2", stage(net), seeds=2, batch_size=6)
    sizes: list[int] = []
    of_memory_for(3, sizes)
    with caplog.at_level(logging.WARNING):
        halved = maximize(net, "fc:0-2", stage(net), seeds=2, batch_size=4)
    assert sizes == [4, 2, 2, 2]
    (line,) = [r.getMessage() for r in caplog.records if "Memory ran out" in r.getMessage()]
    assert line == "Memory ran out with 4 searches at once: going on with 2 (batch_size=2)"
    assert ([str(o) for o in halved.objectives], halved.seeds) == ([str(o) for o in whole.objectives], whole.seeds)
    # Convolutions over other numbers of images may add in another order.
    torch.testing.assert_close(halved.images, whole.images, rtol=1e-4, atol=1e-5)


def test_memory_is_halved_once_and_then_the_user_is_told(net, of_memory_for):
    of_memory_for(0, [])
    with pytest.raises(UserError, match="memory ran out with 2 searches at once too; give a smaller batch_size=N"):
        maximize(net, "fc:0", stage(net), seeds=4, batch_size=4)
    with pytest.raises(UserError, match="2 searches at once, which cannot be fewer"):
        maximize(net, "fc:0", stage(net), seeds=2, batch_size=2, diversity=Diversity(1.0))
