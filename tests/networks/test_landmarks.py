import itertools

import pytest

from dgn.networks.landmarks import spread_maps, trunk
from dgn.networks.layers import OUTPUT, Layer


def layers(*shapes: tuple[str, tuple[int, ...]]) -> dict[str, Layer]:
    found = {name: Layer(name, shape, "Conv2d", name) for name, shape in shapes}
    return found | {OUTPUT: Layer(OUTPUT, (10,), "Net", OUTPUT)}


def test_the_deepest_layer_of_each_size_the_smallest_sizes_first():
    net = layers(
        ("a", (8, 64, 64)), ("b", (8, 64, 64)), ("c", (16, 32, 32)), ("d", (16, 16, 16)), ("e", (16, 16, 16)),
        ("f", (32, 8, 8)), ("g", (32, 4, 4)), ("pool", (32, 1, 1)),
    )  # fmt: skip
    assert spread_maps(net) == ["c", "e", "f", "g"]
    assert spread_maps(net, 2) == ["f", "g"]
    assert spread_maps(net)[-1] == trunk(net)


@pytest.mark.parametrize("blocks", [3, 4, 12])
def test_tokens_are_read_at_even_distances_of_depth(blocks):
    net = layers(*((f"block{i}", (17, 32)) for i in range(blocks)))
    names = spread_maps(net)
    assert names[-1] == f"block{blocks - 1}" == trunk(net)
    places = [int(name.removeprefix("block")) for name in names]
    assert places == sorted(set(places))
    assert len(names) == min(4, blocks)
    assert max(b - a for a, b in itertools.pairwise(places)) <= -(-blocks // 4)


def test_maps_with_a_border_around_them_are_left_out():
    net = layers(("a", (8, 32, 32)), ("b", (8, 16, 16)), ("c", (8, 8, 8)), ("d", (8, 4, 4)))
    padded = {name: Layer(name, shape, "ZeroPad2d", name) for name, shape in (("pad", (8, 11, 11)), ("end", (8, 6, 6)))}
    order = ["a", "b", "pad", "c", "d", "end", OUTPUT]
    assert spread_maps({name: (net | padded)[name] for name in order}) == ["a", "b", "c", "d"]


def test_a_network_without_maps_has_none():
    assert spread_maps(layers(("fc", (20,)))) == []
