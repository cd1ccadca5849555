"""Published generators from the hub, on synthetic files of their names and shapes."""

import logging
import sys
from types import SimpleNamespace

import pytest
import torch

from dgn.errors import UserError
from dgn.networks.generator import published_generator
from dgn.networks.weights.deepsim import generator_state
from dgn.prior import Prior
from dgn.prior import published_hub as hub_files
from dgn.prior.published import main

FILES = {  # the hub's naming and XDream's
    "upconvGAN_norm1.pt": "norm1",
    "upconvGAN_norm2.pt": "norm2",
    "conv3.pt": "conv3",
    "deepsim-conv4.pt": "conv4",
    "pool5/generator.pt": "pool5",
    "upconvGAN_fc6.pt": "fc6",
    "upconvGAN_fc6_eucl.pt": "fc6_eucl",
    "deepsim-fc6-places365.pt": "fc6-places365",
    "fc7.safetensors": "fc7",
    "fc8.caffemodel": "fc8",
}
OTHERS = ("README.md", "fc6.txt", "bvlc_caffenet.pt", "config.json")
NAMES = [
    "conv6",
    "conv7",
    "conv8",
    "tconv4_0",
    "conv4_1",
    "tconv3_0",
    "conv3_1",
    "tconv2_0",
    "conv2_1",
    "tconv1_0",
    "conv1_1",
]


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub with one repository; it lists what it was asked to download."""
    torch.manual_seed(0)
    state = {}
    modules = [module for module in published_generator("norm1").layers if hasattr(module, "weight")]
    for name, module in zip(NAMES, modules, strict=True):
        state[f"{name}.weight"] = module.weight.detach()
        channels = module.weight.shape[1 if name.startswith("tconv") else 0]
        state[f"{name}.bias"] = torch.full((channels,), 3e-7) if module.bias is None else 0.05 * torch.randn(channels)
    torch.save(state, tmp_path / "upconvGAN_norm1.pt")
    downloads = []

    def download(repository, path, revision=None):
        downloads.append((repository, path, revision))
        return str(tmp_path / path)

    siblings = [SimpleNamespace(rfilename=path, size=4_000_000) for path in (*FILES, *OTHERS)]
    info = SimpleNamespace(siblings=siblings, card_data=SimpleNamespace(license="mit"))
    library = SimpleNamespace(
        HfApi=lambda: SimpleNamespace(repo_info=lambda name, revision=None, files_metadata=False: info),
        hf_hub_download=download,
    )
    monkeypatch.setattr(hub_files, "hub_library", lambda: library)
    (tmp_path / "range.txt").write_text(" ".join(["5"] * 96 * 27 * 27))
    return downloads


@pytest.mark.parametrize(("path", "name"), [*FILES.items(), *((path, None) for path in OTHERS)])
def test_every_naming_is_known(path, name):
    assert hub_files.generator_name(path) == name


def test_a_repository_is_listed_and_nothing_is_fetched(hub, capsys):
    main(["--from", "hf:somebody/deepsim"])
    out = capsys.readouterr().out
    assert out.startswith("hf:somebody/deepsim: 10 generators; terms: mit\n")
    assert [line.split()[0] for line in out.splitlines()[1:]] == [
        "norm1", "norm2", "conv3", "conv4", "pool5", "fc6", "fc6_eucl", "fc6-places365", "fc7", "fc8"
    ]  # fmt: skip
    assert "(4 MB)" in out
    assert hub == []


def test_a_generator_is_fetched_after_it_was_agreed_to(hub, tmp_path, monkeypatch, capsys, caplog):
    wanted = ["norm1", "--from", "hf:somebody/deepsim@main", "--range", str(tmp_path / "range.txt")]
    wanted += ["--out", str(tmp_path / "norm1.safetensors")]
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: False))
    with pytest.raises(SystemExit):
        main(wanted)
    assert "nothing was downloaded: add --yes to download upconvGAN_norm1.pt" in capsys.readouterr().err
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr("builtins.input", lambda _: "n")
    with pytest.raises(SystemExit):
        main(wanted)
    assert hub == []
    monkeypatch.setattr("builtins.input", lambda _: "y")
    with caplog.at_level(logging.WARNING):
        main(wanted)
    assert hub == [("somebody/deepsim", "upconvGAN_norm1.pt", "main")]
    assert "biases of at most 3e-07 are left out: tconv4_0, conv4_1" in caplog.text
    assert Prior.load(tmp_path / "norm1.safetensors").layer == "norm1"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "give the code's bounds by one of --range FILE"),
        (["--range", "nowhere.txt"], "cannot read the range file nowhere.txt"),
        (["--images", "photos"], "--images needs --caffenet FILE"),
    ],
)
def test_nothing_is_fetched_if_the_bounds_are_missing(hub, capsys, arguments, line):
    with pytest.raises(SystemExit):
        main(["norm1", "--from", "hf:somebody/deepsim", "--yes", *arguments])
    assert line in capsys.readouterr().err
    assert hub == []


def test_what_is_not_there_is_said_in_one_line(hub):
    repository = hub_files.read_repository("hf:somebody/deepsim")
    with pytest.raises(UserError, match="has no generator 'fc9'; it has: norm1, norm2"):
        hub_files.fetch_generator(repository, "fc9", agreed=True)
    with pytest.raises(UserError, match="give a repository on the hub, hf:OWNER/NAME"):
        hub_files.read_repository("somebody/deepsim")


def test_a_bias_above_rounding_is_refused():
    expected = [("up", (2, 3, 4, 4), False)]
    weights = {"deconv5.weight": torch.zeros(2, 3, 4, 4), "deconv5.bias": torch.full((3,), 1e-6)}
    assert set(generator_state(weights, expected, source="file")) == {"up.weight"}
    weights["deconv5.bias"] = torch.full((3,), 2e-6)
    with pytest.raises(UserError, match="has a bias that is not zero, up has none"):
        generator_state(weights, expected, source="file")
