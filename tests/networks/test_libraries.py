"""Networks of torchvision and timm: as published, with weights from where people have them, or a plain word."""

import socket

import pytest
import torch
from safetensors.torch import save_file
from torchvision import models

from dgn.errors import UserError
from dgn.networks.libraries import timm, torchvision
from dgn.networks.zoo import build, mini_resnet, save_network


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A machine of its own without a network: torch.hub's and Hugging Face's folders are empty."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))

    def refuse(*_, **__):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize("size", [(300, 400), (500, 281), (256, 256), (100, 80)])
@pytest.mark.parametrize("name", ["resnet50", "swin_t"])
def test_the_input_is_what_the_weights_own_transforms_make(name, size):
    net = torchvision(name)
    image = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0))
    published = models.get_model_weights(name).DEFAULT.transforms()
    torch.testing.assert_close(net.input_space.enter(image), published(image), atol=2e-5, rtol=0)


def test_the_input_of_timm_is_what_timms_own_transforms_make():
    library = pytest.importorskip("timm")
    net = timm("resnet18", weights=None)
    image = torch.randint(0, 256, (3, 300, 400), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    from torchvision.transforms.functional import to_pil_image

    config = library.data.resolve_model_data_config(library.create_model("resnet18"))
    published = library.data.create_transform(**config)(to_pil_image(image))
    found = net.input_space.enter(image[None].float() / 255)[0]
    # PIL resizes in 8 bits, which a standard deviation of 0.23 makes steps of 0.017.
    assert (found - published).abs().mean() < 0.02
    assert net.labels[1] == "goldfish"


def test_published_settings_can_be_overridden():
    net = torchvision("resnet18", input_size=64, mean=[0, 0, 0], std=[1, 1, 1], channel_order="BGR", value_range=255)
    image = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(net.input_space.enter(image), 255 * image.flip(1))
    assert net.input_space.resize == 73  # 256 of 224 is 73 of 64
    whole = torchvision("resnet18", fit="resize", input_size=[32, 48]).input_space.enter(torch.rand(1, 3, 64, 96))
    assert whole.shape == (1, 3, 32, 48)


def test_labels_are_those_of_the_weights():
    net = torchvision("resnet18", input_size=32)
    assert net.class_layer() == "fc"
    assert net.labels.index("goldfish") == 1
    assert len(set(net.labels)) == 1000
    assert torchvision("resnet18", classes=3).labels == ()


def test_weights_in_torch_hubs_folder_need_no_network(hub):
    donor = torchvision("resnet18", seed=7)
    torch.save(donor.network.state_dict(), hub / "resnet18-f37072fd.pth")
    for name in ("DEFAULT", "IMAGENET1K_V1", "ResNet18_Weights.IMAGENET1K_V1"):
        net = torchvision("resnet18", weights=name)
        assert net.fingerprint() == donor.fingerprint()
        assert net.spec["weights"] == "IMAGENET1K_V1"
    assert build(net.spec).fingerprint() == donor.fingerprint()


def test_without_a_network_the_next_step_is_reported(hub, monkeypatch):
    with pytest.raises(UserError) as error:
        torchvision("resnet18", weights="DEFAULT")
    for part in ("https://download.pytorch.org/models/resnet18-f37072fd.pth", str(hub), "weights=FILE"):
        assert part in str(error.value)
    assert list(hub.iterdir()) == []
    pytest.importorskip("timm")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(hub))
    with pytest.raises(UserError, match=r"https://huggingface.co/timm/resnet18\.\S+ .*weights=FILE"):
        timm("resnet18", weights="DEFAULT")


def test_without_timm_the_package_to_install_is_reported(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "timm", None)
    with pytest.raises(UserError, match=r"pip install 'dgn\[timm\]'"):
        timm("resnet18")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"name": "resnet"}, "did you mean resnet"),
        ({"name": None}, "name="),
        ({"weights": "IMAGENET1K_V9"}, "IMAGENET1K_V1"),
        ({"weights": "missing.pth"}, "missing.pth"),
        ({"args": {"depth": 3}}, "depth"),
        ({"wieghts": None}, "did you mean weights"),
        ({"mean": [1, 2]}, "mean of 2 channels do not suit a network that takes 3 channels (RGB)"),
        ({"mean": 0.5}, "three numbers"),
        ({"input_size": [1, 2, 3]}, "height and width"),
        ({"resize": 0}, "resize"),
        ({"name": "vit_b_16", "input_size": 33}, "33x33"),
        ({"classes": "many"}, "classes='many'"),
        ({"classes": 3, "labels": ["a", "b"]}, "2 labels for 3 classes"),
        ({"labels": "names.txt"}, "names.txt"),
        # What a command line gives is of any type.
        ({"name": 5}, "no classification model '5'"),
        ({"args": "depth"}, "args=depth"),
        ({"mean": ["a", "b", "c"]}, "mean=[a,b,c] needs three numbers"),
        ({"value_range": "white"}, "value_range=white"),
        ({"input_size": "large"}, "input_size=large"),
        ({"input_size": ["a", "b"]}, "input_size=[a,b]"),
        ({"seed": "x"}, "seed=x"),
    ],
)
def test_user_errors_are_reported(settings, says):
    with pytest.raises(UserError) as error:
        torchvision(**({"name": "resnet18"} | settings))
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_any_state_dict_in_any_wrapper_loads(tmp_path):
    donor = torchvision("resnet18", classes=3, seed=4)
    wrapped = {"epoch": 3, "state_dict": {f"module.model.{k}": v for k, v in donor.network.state_dict().items()}}
    torch.save(wrapped, tmp_path / "checkpoint.ckpt")
    net = torchvision("resnet18", weights=tmp_path / "checkpoint.ckpt")
    assert net.fingerprint() == donor.fingerprint()
    assert net.spec["classes"] == 3  # the file says
    assert build(net.spec).fingerprint() == donor.fingerprint()


def test_missing_weights_are_an_error_or_if_allowed_logged(tmp_path, caplog):
    donor = torchvision("resnet18", seed=4)
    state = {k: v.contiguous() for k, v in donor.network.state_dict().items() if not k.startswith("fc.")}
    save_file(state | {"neck.weight": torch.zeros(3)}, tmp_path / "body.safetensors")
    with pytest.raises(UserError, match=r"2 missing \(fc.bias, fc.weight\); 1 unexpected \(neck.weight\)"):
        torchvision("resnet18", weights=tmp_path / "body.safetensors")
    allowed = dict(allow_missing=["fc.*"], allow_unexpected="neck.*")
    net = torchvision("resnet18", weights=tmp_path / "body.safetensors", classes=5, **allowed)
    torch.testing.assert_close(net.network.conv1.weight, donor.network.conv1.weight)
    assert "fc.bias, fc.weight" in caplog.text
    assert "neck.weight" in caplog.text


def test_a_vit_at_another_size_resamples_its_table_of_positions(tmp_path):
    donor = torchvision("vit_b_32", input_size=64)
    torch.nn.init.normal_(donor.network.encoder.pos_embedding)
    torch.save(donor.network.state_dict(), tmp_path / "vit.pth")
    net = torchvision("vit_b_32", weights=tmp_path / "vit.pth", input_size=96)
    old, new = (n.network.encoder.pos_embedding for n in (donor, net))
    assert new.shape == (1, 1 + 9, 768)
    torch.testing.assert_close(new[:, 0], old[:, 0])
    corners = new[0, 1:].view(3, 3, -1)[::2, ::2].flatten(0, 1)  # align_corners, as torchvision resamples
    torch.testing.assert_close(corners, old[0, 1:])


def test_names_of_old_published_files_are_understood(tmp_path):
    donor = torchvision("densenet121", input_size=32)
    old = {
        k.replace(".norm1.", ".norm.1.").replace(".conv2.", ".conv.2."): v
        for k, v in donor.network.state_dict().items()
    }
    assert set(old) != set(donor.network.state_dict())
    torch.save(old, tmp_path / "densenet.pth")
    assert torchvision("densenet121", weights=tmp_path / "densenet.pth").fingerprint() == donor.fingerprint()


def test_auxiliary_heads_are_there_where_the_weights_have_them(tmp_path):
    heads = torchvision("googlenet", args={"aux_logits": True}, input_size=64)
    torch.save(heads.network.state_dict(), tmp_path / "googlenet.pth")
    net = torchvision("googlenet", weights=tmp_path / "googlenet.pth", input_size=64)
    assert net.fingerprint() == heads.fingerprint()
    assert net.network.transform_input
    assert "aux1.fc1.weight" not in torchvision("googlenet").network.state_dict()


def test_a_networks_own_file_brings_its_labels(tmp_path):
    net = torchvision("resnet18", classes=2, labels=["cat", "dog"], seed=3)
    save_network(net, tmp_path / "mine.safetensors")
    again = torchvision("resnet18", weights=tmp_path / "mine.safetensors")
    assert again.labels == ("cat", "dog")
    assert again.fingerprint() == net.fingerprint()
    (tmp_path / "names.txt").write_text("bird\nfish\n")
    assert torchvision("resnet18", classes=2, labels=str(tmp_path / "names.txt")).labels == ("bird", "fish")


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "swin_tiny_patch4_window7_224"])
def test_timms_models_for_one_size_are_made_for_the_size_that_is_asked_for(name):
    pytest.importorskip("timm")
    net = timm(name, input_size=64)
    assert net.layer(net.class_layer()).units == 1000
    assert build(net.spec).fingerprint() == net.fingerprint()


def test_the_data_are_the_last_source_of_settings():
    assert mini_resnet(width=8, data_classes=["a", "b"]).labels == ("a", "b")
    assert mini_resnet(width=8, classes=3, data_classes=["a", "b"]).spec["classes"] == 3
    assert torchvision("resnet18", data_classes=["a", "b"]).spec["classes"] == 1000
    with pytest.raises(UserError, match="how many classes"):
        mini_resnet()
