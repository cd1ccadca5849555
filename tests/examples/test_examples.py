"""The examples run as they stand, each in under 20 lines."""

import ast
import json
import runpy
from pathlib import Path

import pytest

from dgn import Prior, train_prior
from dgn.data.doodles import CLASSES
from dgn.data.sources import doodles
from dgn.networks.zoo import mini_caffenet

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def prior(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prior of two steps, of a network with the doodles' classes and random weights."""
    path = tmp_path_factory.mktemp("prior") / "prior.safetensors"
    data = doodles(train_images=32, val_images=16, batch_size=8, cache="none")
    encoder = mini_caffenet(labels=list(CLASSES))
    made = train_prior(
        encoder, data, "fc6", 2, width=0.05, statistics_images=16, accelerator="cpu", precision="32-true"
    )
    made.save(path)
    return path


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Runs an example as a script, in a folder of its own; returns what it prints."""

    def run_example(example: str, *arguments: object) -> str:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
        monkeypatch.setenv("DGN_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr("sys.argv", [example, *map(str, arguments)])
        capsys.readouterr()
        runpy.run_path(str(EXAMPLES / example), run_name="__main__")
        return capsys.readouterr().out

    return run_example


def test_a_prior_for_a_network_of_torchvision(run, tmp_path):
    out = run("torchvision_prior.py", 2, 64)
    made = Prior.load(tmp_path / "resnet18.safetensors")
    assert made.layer == "layer4"
    assert made.encoder_net().name == "resnet18"
    assert made.about["metrics"].keys() == {"val/psnr", "val/feature_distance", "val/code_error"}
    assert "val/psnr" in out


def test_one_page_trains_a_prior_or_takes_the_newest(run, tmp_path):
    first = run("example.py", 2, 64)
    (image,) = (tmp_path / "preferred").glob("*.png")
    made = (tmp_path / "outputs" / "train" / "example" / "prior.safetensors").read_bytes()
    picture = image.read_bytes()
    image.unlink()
    second = run("example.py", 3, 64)
    assert (tmp_path / "outputs" / "train" / "example" / "prior.safetensors").read_bytes() == made
    assert image.read_bytes() == picture
    assert second.splitlines()[-1] == first.splitlines()[-1]


def test_a_method_of_ones_own(run, prior, tmp_path):
    (tmp_path / "prior.safetensors").write_bytes(prior.read_bytes())
    run("own_method.py")
    assert len(list((tmp_path / "own_method").glob("*.png"))) == 4 * 2


def test_two_priors_compared(run, prior):
    first, second = run("compare_priors.py", "fc8:0", prior, prior).splitlines()
    assert first == second
    assert "'frechet_distance'" in first


def test_preferred_images_in_a_notebook(prior, tmp_path, monkeypatch):
    """Its cells run in this process, where torch is loaded already; tests/notebooks runs one in a kernel."""
    nbformat = pytest.importorskip("nbformat", reason="the notebook's test needs pip install -e '.[dev]'")
    (tmp_path / "prior.safetensors").write_bytes(prior.read_bytes())
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.chdir(tmp_path)
    notebook = nbformat.read(EXAMPLES / "preferred_images.ipynb", as_version=4)
    nbformat.validate(notebook)
    names: dict[str, object] = {}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            *before, last = ast.parse(cell.source).body
            assert isinstance(last, ast.Expr)  # what the cell shows
            exec(compile(ast.Module(before, []), "cell", "exec"), names)
            shown = eval(compile(ast.Expression(last.value), "cell", "eval"), names)
    assert shown._repr_png_().startswith(b"\x89PNG")  # Jupyter's way to an image


@pytest.mark.parametrize("path", sorted(EXAMPLES.iterdir()), ids=lambda path: path.name)
def test_an_example_is_short(path):
    text = path.read_text()
    if path.suffix == ".ipynb":
        text = "".join("".join(cell["source"]) for cell in json.loads(text)["cells"] if cell["cell_type"] == "code")
    assert 0 < len(text.splitlines()) < 20
