"""A prior for any network: a few steps of training and a preferred image with each, through the command line's own
configuration; and what users see of networks on the command line."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from dgn import Prior, dgn_am, parse_units
from dgn.cli.config import compose, plain, register_resolvers
from dgn.cli.networks import network
from dgn.cli.train_prior import fit_prior

pytestmark = pytest.mark.e2e
TINY = [
    *("data.train_images=16", "data.val_images=8", "data.batch_size=4", "data.cache=false", "statistics.images=8"),
    *("generator.width=0.02", "discriminator.channels=8", "schedule.warmup=0", "trainer.max_steps=2"),
    *(
        "trainer.accelerator=cpu",
        "trainer.precision=32-true",
        "trainer.enable_progress_bar=false",
        "logger=none",
        "export.encoder=false",
    ),
]
CUSTOM = """
import torch
from torch import nn

class Net(nn.Module):
    '''Everything that could change in training: dropout, batch norm, an auxiliary head; and a forward that no tracer
    follows.'''

    def __init__(self, width=8):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3, 2, 1)
        self.bn = nn.BatchNorm2d(width)
        self.drop = nn.Dropout(0.5)
        self.aux, self.head = nn.Linear(width, 3), nn.Linear(width, 3)

    def forward(self, x):
        x = self.bn(self.conv(x))
        if float(x.mean()) > -100:
            x = x.relu()
        pooled = self.drop(x.mean((2, 3)))
        return {"logits": self.head(pooled), "aux": self.aux(pooled)}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    (tmp_path / "net.py").write_text(CUSTOM)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DGN_CACHE", str(tmp_path / "cache"))
    register_resolvers()
    return tmp_path


NETWORKS = {  # the smallest sides that they take, of those that are images at all
    "alexnet": (64, []),
    "vgg11_bn": (32, ["encoder.layer=features.28"]),
    "googlenet": (32, ["encoder.args={aux_logits: true}"]),
    "resnet18": (32, ["encoder.layer=layer2"]),
    "resnet50": (32, []),
    "densenet121": (32, []),
    "mobilenet_v3_small": (32, []),
    "efficientnet_b0": (32, ["encoder.layer=features.8"]),
    "convnext_tiny": (32, ["encoder.layer=features.1.0.block.3"]),
    "vit_b_16": (32, ["encoder.layer=encoder.ln"]),
    "swin_t": (32, ["encoder.layer=features.1"]),
    "custom": (32, []),
}
SLOW = ("vit_b_16", "vgg11_bn", "swin_t")


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.slow) if n in ("vit_b_16", "vgg11_bn", "swin_t") else n for n in NETWORKS],
)
def test_a_prior_and_a_preferred_image_for(name, folder, monkeypatch):
    size, further = NETWORKS[name]
    which = ["encoder=torchvision", f"encoder.name={name}", "encoder.weights=null", f"encoder.input_size={size}"]
    if name == "custom":
        which = ["encoder=custom", "encoder.model=net.py:Net"]
    config = compose("train", [*TINY, f"data.image_size={size}", *which, *further])
    trained_with = []
    monkeypatch.setattr("dgn.cli.train_prior.network", lambda *of: trained_with.append(network(*of)) or trained_with[0])
    prior = Prior.load(fit_prior(plain(config), folder / "run"))
    (encoder,) = trained_with
    before = prior.about["encoder"]["fingerprint"]  # taken when the training began
    assert encoder.fingerprint() == before  # parameters and buffers, to the bit
    assert not any(module.training for module in encoder.modules())
    prior.offer(encoder)
    target = prior.encoder_net()
    low, high = prior.bounds()
    assert bool((low == 0).all()) == prior.statistics.rectified
    assert bool((low <= high).all())

    units = parse_units([f"{target.class_layer()}:1"], target)
    preferred = dgn_am(prior, units, seeds=[0], steps=2)
    assert preferred.images.shape == (1, 3, size, size)
    assert preferred.images.isfinite().all()
    assert target.fingerprint() == before


def test_codes_that_are_not_rectified_are_bounded_on_both_sides_and_constant_units_cause_no_error(folder):
    """The code of a linear layer, half of whose units are dead."""
    (folder / "dead.py").write_text(
        "from torch import nn\n"
        "def make():\n"
        "    net = nn.Sequential(nn.Conv2d(3, 8, 3, 4), nn.Flatten(), nn.Linear(8 * 64, 6), nn.Linear(6, 3))\n"
        "    net[2].weight.data[::2] = 0\n"
        "    return net\n"
    )
    config = compose(
        "train", [*TINY, "data.image_size=32", "encoder=custom", "encoder.model=dead.py:make", "encoder.layer='2'"]
    )
    prior = Prior.load(fit_prior(plain(config), folder / "run"))
    low, high = prior.bounds()
    assert (prior.statistics.std[::2] == 0).all()
    torch.testing.assert_close(low[::2], high[::2])
    assert (low[1::2] < prior.statistics.mean[1::2]).all()
    prior.offer(network(plain(config.encoder), image_shape=(3, 32, 32)))
    preferred = dgn_am(prior, parse_units("3:0", prior.encoder_net()), seeds=[0, 1], steps=2)
    assert preferred.images.isfinite().all()


def test_a_layer_that_never_varies_is_refused(user):
    (user.folder / "dead.py").write_text(
        "from torch import nn\n"
        "def make():\n"
        "    net = nn.Sequential(nn.Conv2d(3, 4, 4, 4), nn.Flatten(), nn.Linear(256, 3))\n"
        "    net[0].weight.data.zero_()\n"
        "    return net\n"
    )
    own = ["encoder=custom", "encoder.model=dead.py:make", "data.image_size=32", "encoder.layer='0'"]
    _, err = user.run("train.py", *TINY, *own, status=2)
    assert "nothing to invert" in err


def test_the_codes_of_a_network_of_ones_own_are_modelled_and_measured_again(user):
    (user.folder / "own.py").write_text(
        "import torch\n"
        "from torch import nn\n"
        "def make(seed=0):\n"
        "    torch.manual_seed(seed)\n"
        "    return nn.Sequential(nn.Conv2d(3, 4, 4, 4), nn.ReLU(), nn.Flatten(), nn.Linear(256, 8))\n"
    )
    own = ["encoder=custom", "encoder.model=own.py:make"]
    user.run("train.py", *TINY, *own, "data.image_size=32", "encoder.layer='2'", "hydra.run.dir=run")
    again = ["task=code_prior", "kind=diffusion", "prior=run", "code_model.steps=2", "code_prior.images=256"]
    again += ["data=doodles", "data.image_size=32", "data.train_images=256", "data.val_images=16"]
    _, err = user.run("train.py", *again, status=2)
    assert "does not hold the network that it inverts; name it: encoder=custom encoder.model=" in err
    _, err = user.run("train.py", *again, *own, "encoder.args={seed: 1}", status=2)
    assert "the network of encoder= is not the one that" in err
    user.run("train.py", *again, *own, "hydra.run.dir=modelled")
    assert Prior.load(user.folder / "modelled" / "prior.safetensors").code_model is not None
    user.run("train.py", "task=statistics", "prior=run", *own, "statistics.images=32", "hydra.run.dir=measured")
    assert Prior.load(user.folder / "measured" / "prior.safetensors").principal.count == 15  # of 16 images


@pytest.mark.parametrize("how", ["torchvision", "timm"])
def test_any_role_takes_any_network(user, how):
    """Encoder, comparator, target and judge on the command line, in this very process."""
    name = "resnet18"
    if how == "timm":
        pytest.importorskip("timm")
    keys = ["{r}=" + how, "{r}.name=" + name, "{r}.weights=null", "{r}.input_size=32"]
    roles = lambda *names: [key.format(r=r) for r in names for key in keys]  # noqa: E731
    out, _ = user.run(
        "train.py", *TINY, *roles("encoder", "comparator"), "data.image_size=32", "comparator.layer=layer1",
    )  # fmt: skip
    assert out.strip().endswith("prior.safetensors")
    out, _ = user.run(
        "visualize.py", "steps=2", "reference_images=0", "seeds=1", "units=fc:goldfish", *roles("target", "judge"),
        "target.seed=5", "judge.layer=fc",
    )  # fmt: skip
    assert (user.folder / out.strip().splitlines()[-1]).is_file()
    results = next((user.folder / "outputs" / "visualize").glob("*/results.csv")).read_text()
    assert "goldfish" in results


def test_a_users_network_must_be_given_again_to_be_shown(user):
    (user.folder / "net.py").write_text(CUSTOM)
    own = ["{r}=custom", "{r}.model=net.py:Net", "{r}.args={{width: 6}}"]
    encoder, target = ([key.format(r=r) for key in own] for r in ("encoder", "target"))
    user.run("train.py", *TINY, *encoder, "data.image_size=32")
    show = ["steps=2", "reference_images=0", "seeds=1", "judge=none", "units=head:2"]
    _, err = user.run("visualize.py", *show, status=2)
    assert "no file runs by itself" in err
    said = err.strip().partition("visualize.py ")[2].split()
    assert f"target.model={user.folder}/net.py:Net" in said
    user.run("visualize.py", *show, *said)
    # A start from a real image needs the encoder itself, which the target is.
    from PIL import Image

    Image.linear_gradient("L").save(user.folder / "photo.png")
    user.run("visualize.py", *show, *target, "target.input_size=32", "start=photo.png")


def test_layers_are_listed_for_every_role(user):
    small = ["{r}=torchvision", "{r}.name=resnet18", "{r}.weights=null", "{r}.input_size=64", "{r}.layers=list"]
    for script, role in (
        ("train.py", "encoder"),
        ("train.py", "comparator"),
        ("visualize.py", "target"),
        ("visualize.py", "judge"),
    ):
        out, _ = user.run(script, *[key.format(r=role) for key in small])
        rows = {
            cells[0]: cells for line in out.splitlines() if "│" in line for cells in [line.replace("│", " ").split()]
        }
        assert rows["conv1"] == ["conv1", "64x32x32", "64", "7", "2", "Conv2d"]
        assert rows["layer4"][:5] == ["layer4", "512x2x2", "512", "all", "Sequential"]
        assert rows["layer2"][1:5] == ["128x8x8", "128", "99", "8"]
    assert not list(user.folder.glob("outputs/train/*/config.yaml"))


def test_layers_are_listed_where_the_data_say_how_many_classes_there_are(user):
    data = ["data.train_images=32", "data.val_images=16"]
    out, _ = user.run("train.py", "encoder.weights=null", "encoder.layers=list", *data)
    assert "fc8" in out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["encoder=torchvision"], "give its name, name="),
        (["encoder=torchvision", "encoder.name=resnet"], "did you mean"),
        (
            ["encoder=torchvision", "encoder.name=resnet18", "encoder.weights=null", "encoder.layer=fc9"],
            "no layer 'fc9'",
        ),
        (["encoder=custom", "encoder.model=nowhere.py:Net"], "no file nowhere.py"),
        (["encoder.layers=conv1"], "give list"),
        (["encoder=caffenet"], "encoder.weights has no value"),  # not a random network in silence
        (["encoder=torchvision", "encoder.name=alexnet", "encoder.weights=null", "encoder.input_size=8"], "8x8 pixels"),
    ],
)
def test_user_errors_are_reported_in_one_line(user, arguments, says):
    _, err = user.run("train.py", *TINY, "data.image_size=32", *arguments, status=2)
    lines = [line for line in err.splitlines() if line.strip() and "Warning" not in line]
    assert says in lines[-1]
    assert "Traceback" not in err


def test_visualizing_imports_nothing_of_the_training_half():
    code = "import sys, dgn.cli.visualize; print([n for n in sys.modules if n.startswith('dgn.training')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
def test_every_role_has_every_network_with_the_same_keys():
    conf = Path(__file__).resolve().parents[2] / "conf"
    names = {path.stem for path in (conf / "network").glob("*.yaml")} - {"keys"}
    register_resolvers()
    for role, main in (("encoder", "train"), ("comparator", "train"), ("target", "visualize"), ("judge", "visualize")):
        assert names <= {path.stem for path in (conf / role).glob("*.yaml")}
        for name in names:
            keys = set(compose(main, [f"{role}={name}"])[role])
            assert {"weights", "allow_missing", "layer", "input_size", "mean", "std", "channel_order"} <= keys
            assert {"value_range", "fit", "classes", "labels", "seed", "layers"} <= keys
