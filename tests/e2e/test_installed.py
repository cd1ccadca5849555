"""The package as others install it: a wheel, used from a folder that has no checkout, and an editable installation."""

import os
import shlex
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
ROOT = Path(__file__).resolve().parents[2]
PARTS = ("dgn", "conf", "hydra_plugins")


class Installation:
    """A virtual environment that has dgn, and else what this one has. Installing needs no network."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder / ("Scripts" if os.name == "nt" else "bin")
        venv.create(folder)
        self.python = self.bin / "python"
        # A .pth file adds the folder alone: an editable installation of dgn that is there is not seen.
        others = "\n".join(path for path in sys.path if path.endswith("-packages"))
        found = "import sysconfig; print(sysconfig.get_path('purelib'))"
        Path(_run(self.python, "-c", found).strip(), "others.pth").write_text(others)

    def install(self, *what: str | Path) -> None:
        options = ["--no-index", "--no-deps", "--no-build-isolation", "--force-reinstall", "--quiet"]
        _run(sys.executable, "-m", "pip", "--python", self.python, "install", *options, *what)

    def run(self, command: str, *arguments: str, cwd: Path, **environment: str) -> str:
        return _run(self.bin / command, *arguments, cwd=cwd, **environment)


def _run(*command: str | Path, cwd: Path | None = None, **environment: str) -> str:
    own = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "DGN_CONFIG_DIR")}
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, env=own | environment, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    """A copy of what is packaged: building writes beside it."""
    tree = tmp_path_factory.mktemp("tree")
    for part in PARTS:
        shutil.copytree(ROOT / part, tree / part, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        if (ROOT / name).is_file():
            shutil.copy(ROOT / name, tree)
    return tree


@pytest.fixture(scope="module")
def wheel(tree, tmp_path_factory) -> Path:
    """As published: the wheel is built from the source distribution."""
    out = tmp_path_factory.mktemp("dist")
    _run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, tree)
    (wheel,) = out.glob("*.whl")
    return wheel


def test_the_wheel_holds_every_file(tree, wheel):
    """A package that pyproject.toml does not list is missing here."""
    found = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    files = [path.relative_to(tree) for part in PARTS for path in (tree / part).rglob("*") if path.is_file()]
    wanted = {(Path("dgn") / path if path.parts[0] == "conf" else path).as_posix() for path in files}
    assert found == wanted
    assert {"dgn/conf/train.yaml", "dgn/report/templates/base.html", "hydra_plugins/dgn_random_sweeper.py"} <= found


def test_the_commands_work_in_a_folder_without_a_checkout(user, wheel):
    installed = Installation(user.folder / "venv")
    installed.install(wheel)
    folder = user.folder / "work"
    folder.mkdir()
    settings = {"cwd": folder, "DGN_CACHE": user.environment["DGN_CACHE"], "CUDA_VISIBLE_DEVICES": ""}
    small = [*user.tiny, "trainer.precision=32-true", "trainer.max_steps=3"]
    prior = installed.run("dgn-train", *small, **settings).strip().splitlines()[-1]
    saved = (folder / prior).with_name("config.yaml").read_text().splitlines()[0].removeprefix("# ")
    assert shlex.split(saved) == ["dgn-train", *small]

    shown = ["units=fc8:0", "seeds=1", "steps=2", "reference_images=0", "judge=none", "device=cpu"]
    page = installed.run("dgn-visualize", *shown, **settings).strip().splitlines()[-1]
    assert len(list((folder / page).parent.glob("images/*.png"))) == 1
    assert "<code>dgn-visualize " in (folder / page).read_text()

    assert "  dgn-compare outputs/train/*" in installed.run("dgn-compare", "--help", **settings)
    assert "RandomSweeper" in installed.run("dgn-train", "--info", "plugins", **settings)
    where = "import dgn, hydra_plugins.dgn_random_sweeper as own; print(dgn.__file__, own.__file__)"
    assert all(path.startswith(str(user.folder)) for path in installed.run("python", "-c", where, **settings).split())


def test_an_editable_installation_reads_the_checkouts_conf(tree, tmp_path):
    installed = Installation(tmp_path / "venv")
    installed.install("--editable", tree)
    (tree / "conf" / "method" / "added.yaml").write_text("defaults: [pixels, _self_]\nname: added\n")
    try:
        assert "method: accentuation, added, " in installed.run("dgn-visualize", "--help", cwd=tmp_path)
    finally:
        (tree / "conf" / "method" / "added.yaml").unlink()
