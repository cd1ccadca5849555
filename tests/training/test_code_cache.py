import logging

import pytest
import torch
from torch import nn

from dgn.data.cache import VIEWS, code_views
from dgn.data.datamodule import ImageData, Stream
from dgn.data.loading import collate
from dgn.data.packed import Stored
from dgn.data.transforms import EvalTransform, TrainTransform
from dgn.errors import UserError
from dgn.networks.featurenet import FeatureNet
from dgn.networks.inputs import InputSpace
from dgn.training import code_cache
from dgn.training.code_cache import Wanted, open_code_cache
from dgn.training.fixed_networks import FixedNetworks

COUNT, LAYERS = 30, ["0", "1"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("DGN_CACHE", str(tmp_path))
    return tmp_path / "codes"


def network(seed: int = 0) -> FeatureNet:
    torch.manual_seed(seed)
    layers = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 64, 5))
    return FeatureNet(layers, InputSpace(size=(8, 8), mean=(0.4,) * 3, std=(0.2,) * 3), "tiny")


def data(transform=None, seed: int = 3) -> ImageData:
    images = torch.randint(0, 256, (COUNT, 3, 10, 10), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    source = Stored(images, torch.arange(COUNT) % 3, ("a", "b", "c"), transform or TrainTransform(8, 10))
    return ImageData(source, source, 8, seed=seed)


def opened(images: ImageData, net: FeatureNet | None = None, layer: str = "3", layers=LAYERS, comparator=None):
    return open_code_cache(images, 2, FixedNetworks(net or network(), layer, comparator, LAYERS), layers)


def test_each_image_is_seen_in_the_same_views_in_every_epoch_and_these_differ():
    images = data()
    opened(images)
    stream = Stream(images.views, images.seed)
    seen: dict[int, torch.Tensor] = {}
    for n in range(20 * COUNT):
        image, (label, row) = stream[n]
        assert torch.equal(image, seen.setdefault(row, image))
        assert label == int(images.train_source.labels[row // 2])
    assert len(seen) == 2 * COUNT
    assert sum(torch.equal(seen[2 * i], seen[2 * i + 1]) for i in range(COUNT)) < COUNT / 2


def test_a_single_view_is_the_image_without_augmentation_in_every_epoch():
    images, net = data(), network()
    cache = open_code_cache(images, 1, FixedNetworks(net, "3", None, LAYERS), LAYERS)
    stream = Stream(images.views, images.seed)
    for n in range(3 * COUNT):
        image, (_, row) = stream[n]
        assert torch.equal(image, images.train_source.whole(row)[0])
        expected = net(image[None].float().div(255), ["3"])["3"]
        torch.testing.assert_close(cache(torch.tensor([row]))[0], expected)


@pytest.mark.parametrize("own_comparator", [False, True])
def test_what_is_read_is_what_the_networks_compute(own_comparator):
    images, net = data(), network()
    comparator = network(9) if own_comparator else None
    cache = opened(images, net, comparator=comparator)
    stream = Stream(images.views, images.seed)
    batch, (_, rows) = collate([stream[n] for n in range(20)])
    codes, features = cache(rows)
    batch = batch.float() / 255
    torch.testing.assert_close(codes, net(batch, ["3"])["3"])
    assert list(features) == LAYERS
    for name, value in (comparator or net)(batch, LAYERS).items():
        torch.testing.assert_close(features[name], value)


def test_images_without_augmentation_have_one_view():
    images = data(EvalTransform(8, 10))
    opened(images)
    assert images.views.rows == COUNT
    assert Stream(images.views, 0)[5][1][1] == Stream(images.views, 0).index(5)


def test_the_bytes_are_said_before_and_a_second_run_computes_nothing(caplog, monkeypatch, folder):
    caplog.set_level(logging.INFO)
    opened(data(), layers=[])
    said = "each of 30 images is seen in 2 fixed crops and mirrors; their codes take 1.2 KiB"
    assert said in caplog.messages[0]
    (path,) = folder.glob("*.bin")
    assert path.stat().st_size == 4096 + 1200
    computed = []
    values = Wanted.values
    monkeypatch.setattr(Wanted, "values", lambda self, images: computed.append(len(images)) or values(self, images))
    opened(data(), layers=[])
    assert computed == [code_cache._CHECKED]


@pytest.mark.parametrize("damage", ["cut", "text", "empty", "zeros", "nan", "foreign"])
def test_a_damaged_or_foreign_cache_is_computed_again_which_is_said_in_one_line(caplog, folder, damage):
    net = network()
    expected = opened(data(), net)(torch.arange(4))[0].clone()
    (path,) = folder.glob("*.bin")
    content = path.read_bytes()
    opened(data(), network(5))
    (other,) = set(folder.glob("*.bin")) - {path}
    zeros = content[:4096] + bytes(len(content) - 4096)
    nan = content[:4096] + b"\xff" * (len(content) - 4096)
    damaged = {"cut": content[:-4], "text": b"no codes", "empty": b"", "zeros": zeros, "nan": nan}
    path.write_bytes(damaged.get(damage, other.read_bytes()))
    caplog.clear()
    assert torch.equal(opened(data(), net)(torch.arange(4))[0], expected)
    (line,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert f"The codes in {path} are computed again" in line


def test_other_weights_layers_seeds_crops_and_inputs_have_caches_of_their_own(folder):
    opened(data())
    opened(data(), network(1))
    opened(data(), layer="3:input")
    opened(data(), layers=[])
    opened(data(seed=4))
    opened(data(TrainTransform(8, 9)))
    changed = network()
    changed.input_space = InputSpace(size=(8, 8))
    opened(data(), changed)
    assert len(list(folder.glob("*.bin"))) == 7


def test_a_full_disk_is_reported_before_anything_is_written(monkeypatch, folder):
    monkeypatch.setattr(code_cache.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 100}))
    with pytest.raises(UserError, match=r"would take 1.2 KiB .* and 100 bytes are free there"):
        opened(data(), layers=[])
    assert not list(folder.glob("*.bin"))


def test_values_of_data_cache():
    assert [code_views(value) for value in ("none", "ram", "disk", True, "codes", "codes:5")] == [0, 0, 0, 0, VIEWS, 5]
    for wrong in ("codes:", "codes:0", "codes:x"):
        with pytest.raises(UserError, match="give codes:N"):
            code_views(wrong)
