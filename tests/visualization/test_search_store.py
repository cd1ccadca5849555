import logging

import pytest
import torch

from dgn.am.objectives.algebra import Objective
from dgn.am.objectives.terms import Unit
from dgn.am.outcomes import Outcome
from dgn.am.preferred import Preferred
from dgn.visualization.search_store import SearchStore

HOUSE, TREE = (Objective(((1.0, Unit("fc8", i)),)) for i in range(2))


def found(objective: Objective, seeds: list[int]) -> Preferred:
    count = len(seeds)
    outcomes = [Outcome(seed % 2 == 0, "" if seed % 2 == 0 else "silent") for seed in seeds]
    return Preferred(
        torch.rand(count, 3, 4, 4),
        torch.rand(count),
        torch.rand(5, count),
        [objective] * count,
        seeds,
        outcomes,
        start_images=torch.randint(0, 255, (count, 3, 4, 4), dtype=torch.uint8),
        start_activations=torch.rand(count),
    )


def test_a_batch_is_given_back_as_it_was(tmp_path):
    store, batch = SearchStore(tmp_path / "searches", start="real"), found(HOUSE, [7, 8])
    assert store.find(0, [HOUSE, HOUSE], [7, 8]) is None
    assert store.batch_size is None
    store.add(0, batch, 1.5)
    again = store.find(0, [HOUSE, HOUSE], [7, 8])
    for name in ("images", "activations", "curve", "start_images", "start_activations"):
        assert torch.equal(getattr(again, name), getattr(batch, name))
    assert (again.objectives, again.seeds, again.outcomes) == (batch.objectives, batch.seeds, batch.outcomes)
    assert again.starts == ["real", "real"]
    assert (store.batch_size, store.seconds) == (2, 1.5)


def test_a_batch_of_other_searches_is_not_given(tmp_path):
    store = SearchStore(tmp_path)
    store.add(0, found(HOUSE, [0, 1]), 1.0)
    assert store.find(0, [TREE, TREE], [0, 1]) is None
    assert store.find(0, [HOUSE, HOUSE], [0, 2]) is None
    assert store.find(1, [HOUSE, HOUSE], [0, 1]) is None


@pytest.mark.parametrize("damage", ["cut", "text", "empty", "lies"])
def test_a_damaged_batch_is_searched_again_and_named(tmp_path, caplog, damage):
    caplog.set_level(logging.WARNING)
    store = SearchStore(tmp_path)
    store.add(0, found(HOUSE, [0, 1]), 1.0)
    (path,) = tmp_path.glob("*.safetensors")
    content = path.read_bytes()
    changed = {"cut": content[:-20], "text": b"no tensors", "empty": b"", "lies": content.replace(b"[0, 1]", b"[0   ]")}
    path.write_bytes(changed[damage])
    assert store.find(0, [HOUSE, HOUSE], [0, 1]) is None
    assert store.load([HOUSE], 0) is None
    assert str(path) in caplog.text


def test_everything_that_was_found_is_loaded_in_the_order_of_the_units(tmp_path):
    store = SearchStore(tmp_path)
    assert store.load([HOUSE, TREE], 0) is None
    trees, houses = found(TREE, [10, 11]), found(HOUSE, [10])
    store.add(0, trees, 1.0)
    SearchStore(tmp_path, "noise").part("noise").add(0, houses, 0.5)
    loaded = store.load([HOUSE, TREE], seed=10)
    assert loaded.objectives == [HOUSE, TREE, TREE]
    assert loaded.seeds == [0, 0, 1]
    assert loaded.starts == ["noise", "", ""]
    assert torch.equal(loaded.images, torch.cat([houses.images, trees.images]))
    assert store.total_seconds == 1.5
    assert store.load([TREE], 0).objectives == [TREE, TREE]
