"""One rule for every code: the methods' own settings search vectors, maps and tokens of any network.

Networks of random weights, and priors trained for seconds: codes of every shape and scale, and poor pictures.
"""

import pytest
import torch
import torchvision.models
from torch import nn

from dgn.data.sources import doodles
from dgn.methods import dgn_am_ellipsoid, dgn_am_short
from dgn.networks.featurenet import FeatureNet
from dgn.networks.inputs import InputSpace
from dgn.prior import Prior
from dgn.training.train_prior import train_prior

SIZE = 32
NETWORKS = {
    "resnet18": ("layer3", "fc:input"),
    "squeezenet1_1": ("features.7", "classifier"),
    "mobilenet_v3_small": ("features.8", "classifier.0:input"),
    "vit": ("encoder.layers.encoder_layer_0", "heads:input"),
}


def network(name: str) -> nn.Module:
    torch.manual_seed(0)
    if name == "vit":
        return torchvision.models.VisionTransformer(SIZE, 8, 2, 2, 32, 64, num_classes=10)
    return getattr(torchvision.models, name)(num_classes=10)


@pytest.fixture(scope="module")
def prior_of():
    made = {}

    def make(name: str, layer: str) -> Prior:
        if (name, layer) not in made:
            net = FeatureNet(network(name), InputSpace(size=(SIZE, SIZE), mean=(0.5,) * 3, std=(0.25,) * 3), name)
            data = doodles(SIZE, batch_size=8, train_images=64, val_images=8, cache="none")
            made[name, layer] = train_prior(
                net, data, layer, 30, comparator_layers=[net.trunk()], width=0.05, statistics_images=64,
                code_model=None, accelerator="cpu", precision="32-true",
            )  # fmt: skip
        return made[name, layer]

    return make


@pytest.mark.slow
@pytest.mark.parametrize("method", [dgn_am_short, dgn_am_ellipsoid])
@pytest.mark.parametrize(("name", "layer"), [(name, layer) for name, layers in NETWORKS.items() for layer in layers])
def test_no_picture_is_blank_and_activations_rise(prior_of, name, layer, method):
    prior = prior_of(name, layer)
    target = prior.encoder_net()
    units = [f"{target.class_layer()}:{i}" for i in range(3)] + [f"{layer}:{i}" for i in range(3)]
    found = method(prior, ",".join(units), seeds=2)
    assert all(found.found)
    assert (found.activations > found.start_activations).all()
    spread = found.images.flatten(1).std(1)
    extreme = ((found.images <= 0.01) | (found.images >= 0.99)).flatten(1).float().mean(1)
    assert (spread > 0.02).all()
    assert (extreme < 0.9).all()
