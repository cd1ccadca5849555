"""What only happens where a GPU is: reading losses back, pinned memory, autocast, lists of devices."""

import pytest
import torch

from dgn.cli.trainer_devices import device
from dgn.data.datamodule import ImageData
from dgn.data.sources import doodles
from dgn.networks.zoo import mini_caffenet
from dgn.prior.statistics import measure
from dgn.training.readback import Readback

pytestmark = pytest.mark.gpus(1)


def test_losses_are_read_back_through_pinned_memory():
    readback = Readback()
    scalars = {name: torch.tensor(value, device="cuda") for name, value in (("a", 1.5), ("b", -2.0))}
    torch.cuda.set_sync_debug_mode("error")
    try:
        readback.start(scalars)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert readback._copies[0][0].is_pinned()
    assert readback.finish() == {"a": 1.5, "b": -2.0}


def test_batches_come_in_pinned_memory():
    data = doodles(image_size=32, train_images=8, val_images=8, cache="none")
    assert isinstance(data, ImageData)
    loader = data._loader(data.val_source, batch_size=4)
    assert next(iter(loader))[0].is_pinned()


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_features_under_autocast_are_near_those_in_float32(precision):
    """Half-precision numbers have 8 (bfloat16) or 11 bits: a few percent over five layers."""
    net, images = mini_caffenet(classes=4).cuda(), torch.rand(4, 3, 64, 64, device="cuda")
    exact = net(images, ["pool5"])["pool5"]
    with torch.autocast("cuda", precision):
        near = net(images, ["pool5"])["pool5"].float()
    assert (near - exact).norm() < 0.05 * exact.norm()


@pytest.mark.gpus(2)
def test_statistics_are_measured_on_the_gpu_of_the_list(monkeypatch):
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    where = device({"accelerator": "gpu", "devices": [1]})
    net = mini_caffenet(classes=4).to(where)
    before = torch.cuda.max_memory_allocated(0)
    measure(net, ["fc6"], [torch.rand(4, 3, 64, 64, device=where)])
    assert torch.cuda.max_memory_allocated(0) == before
