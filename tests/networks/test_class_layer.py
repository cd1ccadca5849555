"""The class layer and the trunk of networks whose ends are no single module."""

import pytest
import torch
from torch import nn
from torch.nn.functional import normalize
from torch.nn.utils.parametrizations import weight_norm

from dgn.errors import UserError
from dgn.metrics.features import penultimate
from dgn.networks.featurenet import FeatureNet
from dgn.networks.inputs import InputSpace

LABELS = [f"class {i}" for i in range(10)]


class Cosine(nn.Module):
    """Compares image features to ten class vectors, as CLIP does."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 16, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
        self.text = nn.Parameter(torch.randn(10, 64))

    def forward(self, x):
        return normalize(self.features(x)) @ normalize(self.text).T


class Pooling(nn.Module):
    """Attention pooling with one learned query."""

    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.randn(1, 1, 12))
        self.k, self.k_norm = nn.Linear(12, 12), nn.LayerNorm(12)

    def forward(self, tokens):
        weights = (self.query @ self.k_norm(self.k(tokens)).mT).softmax(-1)
        return (weights @ tokens)[:, 0]


class Transformer(nn.Module):
    """A small ViT: attention pooling, and one head or two whose mean is returned."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 12, 4, 4)
        self.blocks = nn.Sequential(*(nn.Sequential(nn.Linear(12, 12), nn.GELU()) for _ in range(2)))
        self.norm = nn.LayerNorm(12)
        self.attn_pool = Pooling()
        self.heads = nn.ModuleList(nn.Linear(12, 10) for _ in range(heads))

    def forward(self, x):
        tokens = self.norm(self.blocks(self.patches(x).flatten(2).mT))
        pooled = self.attn_pool(tokens)
        results = [head(pooled) for head in self.heads]
        return results[0] if len(results) == 1 else (results[0] + results[1]) / 2


def net_of(network, labels=()):
    return FeatureNet(network, InputSpace(), "own", labels=labels, probe_size=16)


def test_computed_classes_are_the_output_if_there_are_as_many_labels():
    net = net_of(Cosine(), LABELS)
    assert net.class_layer() == "output"
    assert net.layer_labels("output") == tuple(LABELS)


def test_features_are_not_shown_as_classes():
    net = net_of(Cosine())
    with pytest.raises(UserError, match=r"no class layer.*units=output:all"):
        net.class_layer()
    assert net.code_layer() == net.trunk() == "features.2"


@pytest.mark.parametrize("labels", [(), LABELS])
def test_the_class_layer_of_two_heads_is_what_the_network_returns(labels):
    net = net_of(Transformer(2), labels)
    assert net.class_layer() == "output"
    assert net_of(Transformer(1), labels).class_layer() == "heads.0"


def test_a_softmax_without_a_module_is_not_the_class_layer():
    class Softmax(Cosine):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(64, 10)

        def forward(self, x):
            return self.fc(self.features(x)).softmax(1)

    assert net_of(Softmax()).class_layer() == "fc"
    assert net_of(Softmax(), LABELS).class_layer() == "fc"


@pytest.mark.parametrize("wrapped", [False, True])
def test_the_trunk_is_not_inside_attention_pooling(wrapped):
    network = Transformer(1)
    net = net_of(nn.Sequential(nn.Identity(), network) if wrapped else network)
    assert net.trunk().removeprefix("1.") == "norm"


class MapPooled(nn.Module):
    """Pools a map by attention, as ResNet-CLIP; `aux` classifies every token, as VOLO."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, 4), nn.ReLU(), nn.Conv2d(8, 16, 3, 2), nn.ReLU())
        self.attnpool = AttentionOverMap()
        self.aux = nn.Linear(16, 5)

    def forward(self, x):
        x = self.body(x)
        tokens = x.flatten(2).transpose(1, 2)
        return self.attnpool(x) + self.aux(tokens).amax(1) / 2


class AttentionOverMap(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.keys, self.out = nn.Linear(16, 16), nn.Linear(16, 5)

    def forward(self, x):
        tokens = x.flatten(2).transpose(1, 2)
        keys = self.keys(tokens)
        return self.out((keys.softmax(1) * tokens).sum(1))


def test_the_trunk_ends_before_attention_over_a_map_and_heads_of_tokens():
    assert FeatureNet(MapPooled(), InputSpace((32, 32)), "net").trunk() in ("body", "body.3")


class Pooled(nn.Module):
    """Class scores that are pooled and flattened, as in SqueezeNet; `functional` does so without a module."""

    def __init__(self, functional: bool) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 16, 3, 2), nn.ReLU())
        self.classifier = nn.Sequential(nn.Dropout(), nn.Conv2d(16, 10, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
        self.flatten = nn.Identity() if functional else nn.Flatten()

    def forward(self, x):
        return self.flatten(self.classifier(self.features(x))).reshape(len(x), -1)


@pytest.mark.parametrize("functional", [False, True])
@pytest.mark.parametrize("labels", [(), LABELS])
def test_the_code_of_pooled_class_scores_is_what_enters_the_last_layer_with_weights(functional, labels):
    net = net_of(Pooled(functional), labels)
    assert net.layer(net.code_layer()).shape == (16, 7, 7)
    assert net.code_layer() == penultimate(net) == "classifier.1:input"


def test_a_parametrized_classifier_is_a_layer_with_weights():
    network = nn.Sequential(nn.Flatten(), nn.Linear(768, 5), weight_norm(nn.Linear(5, 10)), nn.ReLU())
    assert net_of(network).code_layer() == "2:input"


def test_the_mean_of_two_heads_has_no_last_layer():
    net = net_of(Transformer(2))
    assert net.class_layer() == "output"
    assert net.code_layer() == net.trunk()
