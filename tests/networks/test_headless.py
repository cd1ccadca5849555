"""Networks that were published without a layer of classes."""

import pytest
import torch

from dgn.cli.roles import read_units
from dgn.errors import UserError
from dgn.networks.zoo import build

pytest.importorskip("timm")
from dgn.networks.libraries import timm


@pytest.fixture(scope="module")
def dino():
    return timm("vit_small_patch16_224.dino")


def test_a_network_without_a_head_needs_no_number_of_classes(dino):
    assert dino.headless
    assert dino.labels == ()
    with pytest.raises(UserError, match="no head, and so no layer of classes; name a layer, as in units=LAYER:all"):
        read_units("all", dino)
    assert dino.layer(dino.code_layer()).shape == (384,)
    again = build(dino.spec)
    assert again.headless
    assert again.fingerprint() == dino.fingerprint()


def test_classes_give_it_a_head_and_none_take_it_away():
    assert timm("vit_small_patch16_224.dino", classes=3).layer("head").shape == (3,)
    bare = timm("resnet10t", classes=0, input_size=64)
    assert bare.headless
    assert bare(torch.rand(1, 3, 64, 64), [bare.code_layer()])[bare.code_layer()].shape == (1, 512)


@pytest.mark.parametrize("name", ["timm/resnet10t.c3_in1k", "hf_hub:timm/resnet10t.c3_in1k", "hf-hub:timm/resnet10t"])
def test_names_are_taken_as_the_hub_writes_them(name):
    assert timm(name, input_size=64).spec["name"] == "resnet10t"
