import numpy as np
import torch
from scipy.signal import correlate2d

from dgn.networks.caffenet import FULL, MINI, LocalResponseNorm, caffenet_layers
from dgn.networks.zoo import caffenet, mini_caffenet


def lrn(x: np.ndarray, size: int = 5, alpha: float = 1e-4, beta: float = 0.75) -> np.ndarray:
    """Caffe's LRN across channels, from its definition."""
    out = np.empty_like(x)
    for c in range(x.shape[0]):
        window = x[max(0, c - size // 2) : c + size // 2 + 1]
        out[c] = x[c] / (1 + alpha / size * (window**2).sum(0)) ** beta
    return out


def max_pool(x: np.ndarray, kernel: int = 3, stride: int = 2) -> np.ndarray:
    """Caffe's pooling: ceil rounding, windows cut at the border."""
    side = int(np.ceil((x.shape[1] - kernel) / stride)) + 1
    out = np.empty((x.shape[0], side, side))
    for i in range(side):
        for j in range(side):
            window = x[:, i * stride : i * stride + kernel, j * stride : j * stride + kernel]
            out[:, i, j] = window.max((1, 2))
    return out


def convolve(x: np.ndarray, layer: torch.nn.Conv2d) -> np.ndarray:
    weight, bias = layer.weight.detach().double().numpy(), layer.bias.detach().double().numpy()
    pad, stride, groups = layer.padding[0], layer.stride[0], layer.groups
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
    of, into = len(weight) // groups, x.shape[0] // groups
    out = []
    for k in range(len(weight)):
        part = x[(k // of) * into : (k // of + 1) * into]
        whole = sum(correlate2d(part[c], weight[k, c], "valid") for c in range(into))
        out.append(whole[::stride, ::stride] + bias[k])
    return np.stack(out)


def test_local_response_norm_is_caffes():
    x = torch.randn(2, 9, 4, 4, dtype=torch.double) * 30
    expected = np.stack([lrn(image) for image in x.numpy()])
    np.testing.assert_allclose(LocalResponseNorm()(x).numpy(), expected, rtol=1e-12)
    torch.testing.assert_close(LocalResponseNorm()(x), torch.nn.LocalResponseNorm(5)(x))


def test_mini_caffenet_is_caffes_computation_in_numpy():
    net = mini_caffenet(classes=3).double()
    image = torch.rand(1, 3, 64, 64, dtype=torch.double)
    layers = dict(net.network.named_children())
    h = (image[0].numpy() - 0.5) / 0.25
    found = net(image, ["conv1", "norm1", "norm2", "pool5", "fc6", "fc8", "prob"])
    h = np.maximum(convolve(h, layers["conv1"]), 0)
    np.testing.assert_allclose(found["conv1"][0].numpy(), h, atol=1e-9)
    h = lrn(max_pool(h))
    np.testing.assert_allclose(found["norm1"][0].numpy(), h, atol=1e-9)
    h = lrn(max_pool(np.maximum(convolve(h, layers["conv2"]), 0)))
    np.testing.assert_allclose(found["norm2"][0].numpy(), h, atol=1e-9)
    for name in ("conv3", "conv4", "conv5"):
        h = np.maximum(convolve(h, layers[name]), 0)
    h = max_pool(h)
    np.testing.assert_allclose(found["pool5"][0].numpy(), h, atol=1e-9)
    h = np.maximum(layers["fc6"].weight.numpy() @ h.ravel() + layers["fc6"].bias.numpy(), 0)
    np.testing.assert_allclose(found["fc6"][0].numpy(), h, atol=1e-9)
    h = np.maximum(layers["fc7"].weight.numpy() @ h + layers["fc7"].bias.numpy(), 0)
    h = layers["fc8"].weight.numpy() @ h + layers["fc8"].bias.numpy()
    np.testing.assert_allclose(found["fc8"][0].numpy(), h, atol=1e-9)
    np.testing.assert_allclose(found["prob"][0].numpy(), np.exp(h) / np.exp(h).sum(), atol=1e-9)


def test_the_full_caffenet_has_the_published_shapes():
    with torch.device("meta"):
        layers = caffenet_layers(FULL, 1000)
    assert sum(p.numel() for p in layers.parameters()) == 60_965_224  # bvlc_reference_caffenet
    x, shapes = torch.zeros(1, 3, 227, 227, device="meta"), {}
    for name, module in layers.named_children():
        x = module(x)
        shapes[name] = tuple(x.shape[1:])
    expected = {"norm1": (96, 27, 27), "norm2": (256, 13, 13), "conv3": (384, 13, 13), "conv4": (384, 13, 13)}
    expected |= {"conv1": (96, 55, 55), "pool5": (256, 6, 6), "fc6": (4096,), "fc8": (1000,)}
    assert {name: shapes[name] for name in expected} == expected


def test_the_full_caffenet_sees_mean_subtracted_bgr_of_the_centre():
    net = caffenet(classes=2)
    images = torch.rand(1, 3, 256, 256)
    inputs = net.input_space.enter(images)
    assert inputs.shape == (1, 3, 227, 227)
    red = images[0, 0, 14 + 5, 14 + 9] * 255 - 123
    torch.testing.assert_close(inputs[0, 2, 5, 9], red)
    torch.testing.assert_close(net.input_space.leave(inputs), images[:, :, 14:241, 14:241])


def test_mini_and_full_have_the_same_layers():
    assert [n for n, _ in caffenet_layers(MINI, 4).named_children()] == list(
        dict(caffenet_layers(MINI, 9).named_children())
    )
    with torch.device("meta"):
        assert [n for n, _ in caffenet_layers(FULL, 4).named_children()] == [
            n for n, _ in caffenet_layers(MINI, 4).named_children()
        ]
