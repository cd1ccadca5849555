import numpy as np
import pytest
import torch

from dgn.am.maximize import Stage, maximize
from dgn.am.objectives.diversity import Diversity, gram_cosines, together
from dgn.am.objectives.language import parse_units
from dgn.am.parametrizations.pixels import Pixels
from dgn.am.regularizers.parameters import Clip
from dgn.am.updates import NormalizedAscent


@pytest.mark.parametrize("shape", [(4, 3, 5, 6), (4, 40, 2, 2), (4, 7, 3), (4, 9)])
def test_cosines_of_gram_matrices(shape):
    activations = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    maps = activations.numpy()
    if len(shape) == 4:
        features = maps.reshape(4, shape[1], -1)
    else:
        features = maps.transpose(0, 2, 1) if len(shape) == 3 else maps[:, :, None]
    grams = np.stack([f @ f.T for f in features]).reshape(4, -1)
    grams /= np.linalg.norm(grams, axis=1, keepdims=True)
    np.testing.assert_allclose(gram_cosines(activations), grams @ grams.T, rtol=1e-4)


def test_the_term_is_lucids_over_each_objectives_own_seeds():
    activations = torch.rand(5, 3, 4, 4)
    values = Diversity(2.0).values(activations, together(["a", "a", "a", "b", "b"]))
    for rows in ([0, 1, 2], [3, 4]):
        alike = gram_cosines(activations[rows])
        published = sum(alike[i, j] for i in range(len(rows)) for j in range(len(rows)) if i != j) / len(rows)
        torch.testing.assert_close(values[rows].sum(), -2 * published)


def test_seeds_end_further_apart_and_stay_together_in_a_batch(target, setting):
    stage = Stage(Pixels(setting, noise=10), lambda: NormalizedAscent(8, 1), [Clip()], steps=30)
    objectives = parse_units("5:0,5:1", target)

    def similarity(diversity, batch_size=None):
        preferred = maximize(target, objectives, stage, range(3), batch_size, diversity=diversity)
        maps = target(preferred.images, ["1"])["1"]
        return float(torch.stack([gram_cosines(maps[i : i + 3]) for i in (0, 3)]).mean())

    plain = similarity(None)
    assert similarity(Diversity(100.0, "1")) < plain - 0.01
    # In batches of two searches the three seeds of a unit would not see each other.
    batches = []
    hook = target.network.register_forward_pre_hook(lambda _, args: batches.append(len(args[0])))
    assert similarity(Diversity(100.0, "1"), batch_size=2) < plain - 0.01
    hook.remove()
    assert set(batches[:-1]) == {3}
