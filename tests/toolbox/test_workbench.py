"""What the toolbox computes, without a page."""

import base64
import io
import json
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from PIL import Image

from dgn.am.maximize import Stage, maximize
from dgn.am.objectives.language import parse_units
from dgn.am.parametrizations import Pixels
from dgn.am.setting import Setting
from dgn.am.updates import NormalizedAscent
from dgn.attribution import GuidedBackprop, Occlusion, Saliency
from dgn.data.datamodule import ImageData
from dgn.data.reference import Reference
from dgn.errors import UserError
from dgn.networks.zoo import mini_caffenet, mini_resnet
from dgn.toolbox.codes import between, moved_along
from dgn.toolbox.findings import Finding, export
from dgn.toolbox.live_search import search_live
from dgn.toolbox.pictures import data_url, from_data_url, map_url
from dgn.toolbox.workbench import Workbench


@pytest.fixture(scope="module")
def net():
    return mini_caffenet(classes=4, seed=1)


def stages(net, steps=3):
    return [Stage(Pixels(Setting(net)), lambda: NormalizedAscent(first=0.1), steps=steps)]


def test_a_live_search_is_the_search_of_maximize(net):
    (objective,) = parse_units("fc8:2", net)
    frames = list(search_live(net, objective, stages(net), 5, threading.Lock()))
    whole = maximize(net, objective, stages(net), seeds=[5])
    assert [frame.step for frame in frames] == [0, 1, 2, 3]
    assert [frame.finished for frame in frames] == [False, False, False, True]
    assert torch.equal(frames[-1].image, whole.images[0])
    assert frames[-1].value == pytest.approx(float(whole.activations[0]))
    assert len({frame.value for frame in frames}) == 4


def test_sessions_see_the_same_while_others_search(net):
    bench = Workbench(net, {}, {}, {}, None, None, None)
    image = torch.rand(3, 64, 64)
    alone = bench.look(image)
    (objective,) = parse_units("conv3:1", net)
    climbing = threading.Thread(target=lambda: list(search_live(net, objective, stages(net, 20), 0, bench.lock)))
    climbing.start()
    seen = [bench.look(image) for _ in range(5)]
    climbing.join()
    for other in seen:
        assert [c.index for c in other.layers["conv5"]] == [c.index for c in alone.layers["conv5"]]
        assert other.classes == alone.classes


def test_the_layers_that_are_asked_for_are_shown():
    net = mini_resnet(classes=3, width=8)
    names = [name for name in net.layers() if len(net.layer(name).shape) == 3][3:5]
    bench = Workbench(net, {}, {}, {}, None, None, None, view_layers=names)
    seen = bench.look(torch.rand(3, 64, 64))
    assert list(seen.layers) == names
    assert len(seen.classes) == 3  # beside them
    with pytest.raises(UserError, match="no layer 'layer9'"):
        Workbench(net, {}, {}, {}, None, None, None, view_layers=["layer9"])


def test_a_channel_is_found_in_an_image_where_it_is_weak(net):
    bench = Workbench(net, {}, {}, {}, None, None, None)
    seen = bench.look(torch.rand(3, 64, 64))
    strong = [channel.index for channel in seen.layers["conv5"]]
    weak = next(index for index in range(64) if index not in strong)
    channel = bench.find_channel(seen, "conv5", weak)
    activations = net(seen.image[None], ["conv5"])["conv5"][0, weak]
    torch.testing.assert_close(channel.map, activations)
    assert activations[channel.place] == activations.max()
    assert channel.value == pytest.approx(float(activations.max()))
    first = bench.find_channel(seen, "conv5", strong[0])
    assert (first.value, first.place) == (seen.layers["conv5"][0].value, seen.layers["conv5"][0].place)
    assert bench.find_channel(seen, "conv5", 64) is bench.find_channel(seen, "fc9", 0) is None


def test_others_compute_between_the_passes_of_an_occlusion_and_never_within_guided_backpropagation(net):
    methods = {"occlusion": Occlusion(patch=8, stride=8, batch_size=4), "guided": GuidedBackprop()}
    bench = Workbench(net, {}, {}, methods, None, None, None)
    seen = bench.look(torch.rand(3, 64, 64))
    channel = seen.layers["fc8"][0]
    alone = bench.attribute(seen.image, channel, "occlusion")
    passed = []
    bench.lock.pass_on = lambda: passed.append(1)
    assert torch.equal(bench.attribute(seen.image, channel, "occlusion"), alone)
    assert len(passed) >= 16  # 64 places in batches of four
    passed.clear()
    bench.attribute(seen.image, channel, "guided")
    bench.look(seen.image)
    assert not passed


class _FourBands:
    """Image i is i everywhere, of four channels."""

    classes = ("a", "b")

    def __len__(self) -> int:
        return 12

    def __getitem__(self, i: int):
        return torch.full((4, 32, 32), 20 * i, dtype=torch.uint8), i % 2


def test_a_network_of_four_channels_looks_at_real_images():
    net = mini_resnet(classes=3, width=8, channels=4)
    with pytest.raises(UserError, match=r"takes images of 4 channels.*, and doodles are RGB; give images with data="):
        Workbench(net, {}, {}, {}, None, None, None)
    data = ImageData(_FourBands(), _FourBands(), 4)
    bench = Workbench(net, {}, {}, {"saliency": Saliency()}, data, Reference(data, 5), None)
    assert bench.examples == "real image"
    image = bench.example(6)  # the sixth of five, from 0: the second
    assert image.shape == (4, 32, 32)
    assert torch.equal(image, bench.example(1))
    assert not torch.equal(image, bench.example(2))
    seen = bench.look(image)
    channel = seen.layers[bench.layers[1]][0]
    assert bench.attribute(seen.image, channel, "saliency").shape == (3, *seen.image.shape[1:])
    assert {part.shape[0] for part in bench.parts(channel)} == {4}
    assert from_data_url(data_url(seen.image)).shape == (3, *seen.image.shape[1:])  # as it is shown
    with pytest.raises(UserError, match="3 channels"):
        bench.look(torch.rand(3, 32, 32))  # what a person drops


@pytest.mark.parametrize("index", [-1, 2**31, 10**300])
def test_numbers_of_doodles_that_there_are_not_are_one_line(net, index):
    bench = Workbench(net, {}, {}, {}, None, None, None)
    with pytest.raises(UserError, match=r"^doodle (-1|2147483648|1e\+300): give a number from 0 to 2147483647$"):
        bench.example(index)
    assert bench.example(2**31 - 1).shape == (3, 64, 64)


def test_pictures_come_back_as_they_were_sent():
    image = torch.randint(0, 256, (3, 5, 7)).float() / 255
    torch.testing.assert_close(from_data_url(data_url(image)), image)


def test_maps_are_sent_no_larger_than_they_are_shown():
    assert from_data_url(map_url(torch.rand(160, 40))).shape == (3, 80, 20)
    assert from_data_url(map_url(torch.rand(80, 7))).shape == (3, 80, 7)
    striped = torch.arange(160).remainder(2).float().expand(160, 160)
    plain = from_data_url(map_url(striped))
    assert torch.equal(plain, plain[:, :1, :1].expand_as(plain))  # means, not every second value


@pytest.mark.parametrize(
    "text", ["", "hello", "data:text/html;base64,AAAA", "data:image/png;base64,!!!!", "data:image/png;base64,AAAA"]
)
def test_bad_pictures_are_one_line(text):
    with pytest.raises(UserError) as error:
        from_data_url(text)
    assert "\n" not in str(error.value)


def test_an_image_that_claims_to_be_another_kind_is_read_by_its_bytes():
    file = io.BytesIO()
    Image.new("RGB", (4, 4), "red").save(file, format="GIF")
    url = "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
    assert from_data_url(url)[0].min() == 1


class _Axes:
    """The parts of a prior that codes are moved along."""

    class statistics:
        rectified = True

    def __init__(self) -> None:
        from dgn.prior.principal import PrincipalAxes

        axes = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(0)))[0][:3]
        self.principal = PrincipalAxes(torch.ones(6), axes, torch.tensor([3.0, 2.0, 1.0]), torch.zeros(6), (2, 3))
        self.source = "prior"


def test_codes_move_along_the_axes_by_standard_deviations():
    prior, code = _Axes(), torch.full((2, 3), 9.0)
    moved = moved_along(prior, code, [1.0, -2.0])
    expected = code.flatten().numpy() + 3.0 * prior.principal.axes[0].numpy() - 4.0 * prior.principal.axes[1].numpy()
    np.testing.assert_allclose(moved.flatten().numpy(), np.maximum(expected, 0), rtol=1e-5)
    assert moved_along(prior, torch.zeros(2, 3), [5.0]).min() == 0  # rectified codes are not negative
    np.testing.assert_allclose(between(code, torch.zeros(2, 3), 0.25), 6.75)


def finding(**changes):
    values = dict(
        image=torch.rand(3, 8, 8), title="t", objective="fc8:1", layer="fc8", unit="1", label="", method="pixels",
        prior="", seed=0, steps=3, value=1.5, command="python visualize.py units=fc8:1",
    )  # fmt: skip
    return Finding(**(values | changes))


def test_what_was_found_is_a_gallery_with_its_commands(tmp_path):
    program = "import numpy; print(numpy.load('CODE.npy').sum())"
    edited = finding(objective="code(fc6)", command=f"{sys.executable} -c {program!r}", code=torch.ones(4))
    page = export(tmp_path, [finding(title="first\nrm -r ."), edited], "What was found")
    folder = page.parent
    assert page.is_file()
    assert len(list((folder / "images").glob("*.png"))) == 2
    of_first, first, of_second, second = (folder / "commands.txt").read_text().splitlines()
    assert (of_first, of_second) == ("# first rm -r .", "# t")  # a name of a file adds no command
    assert first == "python visualize.py units=fc8:1"
    assert subprocess.run(second, shell=True, capture_output=True, text=True, check=True).stdout.strip() == "4.0"
    assert [note["title"] for note in json.loads((folder / "findings.json").read_text())] == ["first\nrm -r .", "t"]
    with pytest.raises(UserError, match="nothing was kept"):
        export(tmp_path, [], "nothing")
