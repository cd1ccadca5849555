import pytest
import torch
from torch import nn
from torchvision import models

from dgn.errors import UserError
from dgn.networks.featurenet import FeatureNet
from dgn.networks.inputs import InputSpace
from dgn.networks.zoo import build, mini_caffenet, mini_resnet


class Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.runs = 0

    def forward(self, x):
        self.runs += 1
        return x


def test_computation_stops_at_the_deepest_layer_asked_for():
    late = Counting()
    net = FeatureNet(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), late), InputSpace(), "tiny", probe_size=8)
    net.layers()
    before = late.runs
    net(torch.rand(1, 3, 8, 8), ["0", "1"])
    assert late.runs == before
    net(torch.rand(1, 3, 8, 8), ["2"])
    assert late.runs == before + 1


def test_a_layers_input_is_reached_without_running_the_layer():
    late = Counting()
    net = FeatureNet(nn.Sequential(nn.Conv2d(3, 4, 3), late), InputSpace(), "tiny", probe_size=8)
    net.layers()
    before = late.runs
    images = torch.rand(2, 3, 8, 8)
    torch.testing.assert_close(net(images, ["1:input"])["1:input"], net(images, ["0"])["0"])
    assert late.runs == before


def test_activations_survive_what_the_network_does_in_place():
    """torchvision's ResNet adds the shortcut to bn2's output and rectifies it, both in place."""
    torch.manual_seed(0)
    resnet = models.resnet18(weights=None)
    net = FeatureNet(resnet, InputSpace(), "resnet18", probe_size=64)
    images = torch.rand(2, 3, 64, 64)
    found = net(images, ["layer1.0.bn2", "layer1.0", "bn1", "fc"])
    block = resnet.layer1[0]
    stem = resnet.bn1(resnet.conv1(images))
    x = resnet.maxpool(stem.relu())
    summand = block.bn2(block.conv2(block.bn1(block.conv1(x)).relu()))
    torch.testing.assert_close(found["bn1"], stem)
    torch.testing.assert_close(found["layer1.0.bn2"], summand)
    torch.testing.assert_close(found["layer1.0"], (summand + x).relu())
    torch.testing.assert_close(found["fc"], resnet(images))


def test_gradients_flow_through_captured_layers():
    net = FeatureNet(models.resnet18(weights=None), InputSpace(), "resnet18", probe_size=64)
    images = torch.rand(1, 3, 64, 64, requires_grad=True)
    net(images, ["layer1.0.bn2"])["layer1.0.bn2"].sum().backward()
    assert images.grad.abs().sum() > 0
    assert all(p.grad is None for p in net.parameters())


def test_a_feature_net_stays_in_evaluation_mode_inside_a_training_module():
    net = mini_resnet(classes=4)
    nn.ModuleList([net]).train()
    assert not any(module.training for module in net.modules())


def test_an_unknown_layer_is_reported_with_the_available_ones():
    with pytest.raises(UserError, match=r"no layer 'fc9' in mini_caffenet.*conv1.*fc8"):
        mini_caffenet(classes=4)(torch.rand(1, 3, 64, 64), ["fc9"])


def test_caffes_names_mean_the_rectified_activations_and_the_search_reads_below_the_relu():
    net = mini_caffenet(classes=4)
    assert net.layer("fc6").name == "relu6"
    assert net.before_rectifier("fc6") == "relu6:input"
    assert net.before_rectifier("fc8") == "fc8"
    assert net.class_layer() == "fc8"
    assert net.trunk() == "pool5"


def test_a_network_is_built_again_from_its_spec_with_the_same_weights():
    net = mini_resnet(classes=3, labels=["a", "b", "c"], seed=5, width=8)
    again = build(net.spec)
    assert again.fingerprint() == net.fingerprint()
    assert again.labels == ("a", "b", "c")
    assert mini_resnet(classes=3, seed=6, width=8).fingerprint() != net.fingerprint()


def test_a_spec_never_names_code():
    with pytest.raises(UserError, match=r"no network builder 'os\.system'"):
        build({"builder": "os.system"})


def test_images_of_another_size_are_resized_to_the_networks_own():
    net = mini_caffenet(classes=4)
    assert net(torch.rand(1, 3, 100, 80), ["conv1"])["conv1"].shape == (1, 32, 32, 32)


@pytest.mark.parametrize(
    "wrong", [{"channel_order": "GBR"}, {"mean": [1, 2]}, {"std": [0, 1, 1]}, {"value_range": -1}, {"input_size": 0}]
)
def test_wrong_input_settings_are_a_user_error(wrong):
    with pytest.raises(UserError):
        mini_caffenet(classes=4, **wrong)
