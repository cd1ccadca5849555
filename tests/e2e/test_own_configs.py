"""--config-dir: a user's config files come before the package's, in every program and every process of a run."""

import json
import re
import shlex
from pathlib import Path

import pytest
import yaml

from dgn.cli.config import compose
from dgn.cli.config_folders import use_own_configs
from dgn.cli.embedded import _recipe

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "own-configs.md").read_text()
HERE = r"cat > (?P<file>\S+) <<'END'\n(?P<text>.*?)END\n"
SMALL = {
    "dgn-train": [
        "data.train_images=32", "data.val_images=16", "data.batch_size=8", "data.num_workers=0", "trainer.max_steps=2",
        "statistics.images=16", "generator.width=0.05", "discriminator.channels=8", "trainer.accelerator=cpu",
        "trainer.precision=32-true",
    ],
    "dgn-visualize": ["steps=2", "reference_images=0", "seeds=1"],
}  # fmt: skip


def write(folder: Path, name: str, text: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


def saved_command(run: Path) -> list[str]:
    return shlex.split((run / "config.yaml").read_text().splitlines()[0].removeprefix("# "))


@pytest.fixture
def own(user):
    """A user with a loss of the package's own name, a method, a trainer and an experiment."""
    configs = user.folder / "configs"
    write(configs, "loss/shares.yaml", "defaults: [paper, _self_]\nimage: 0.125\n")
    write(configs, "method/shorter.yaml", "defaults: [pixels, _self_]\nname: shorter\nsteps: 3\n")
    write(configs, "trainer/short.yaml", "defaults: [auto, _self_]\nmax_steps: 2\n")
    write(configs, "hydra/sweeper/random.yaml", "defaults: [basic]\n")
    return user


def test_the_page_makes_a_method_and_an_encoder(user, monkeypatch):
    monkeypatch.chdir(user.folder)
    printed = []
    for block in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL):
        for part in re.finditer(HERE, block, re.DOTALL):
            write(user.folder, part["file"], part["text"])
        for line in re.sub(HERE, "", block, flags=re.DOTALL).splitlines():
            program, *arguments = shlex.split(line)
            if program != "mkdir":
                printed.append(user.run(program, *arguments, *SMALL[program])[0].strip().splitlines()[-1])
    prior, page = printed
    run = user.folder / "outputs" / "mynet"
    assert prior.endswith("mynet/prior.safetensors")
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert (config["encoder"]["model"], config["encoder"]["args"]) == ("mynet:make", {"width": 24})
    assert saved_command(run)[:2] == ["dgn-train", "--config-dir=configs"]
    results = json.loads(Path(page).with_name("results.json").read_text())
    assert "parts.Grey" in json.dumps(results)
    assert "--config-dir=configs" in Path(page).read_text()


def test_a_users_file_is_read_instead_of_ours_of_that_name(own, monkeypatch):
    monkeypatch.chdir(own.folder)
    ours = compose("train", []).loss
    with monkeypatch.context() as patched:
        patched.setenv("DGN_CONFIG_DIR", "configs")
        use_own_configs(None)
        loss = compose("train", []).loss
        assert loss.image == 0.125 != ours.image
        assert loss._target_ == compose("train", ["loss=paper"]).loss._target_  # which the file builds on
        assert compose("visualize", ["method=shorter"]).method.steps == 3
    assert compose("train", []).loss == ours


def test_the_embedded_networks_do_not_depend_on_a_users_files(own, monkeypatch):
    """Their weights are kept for all runs, under a name made of their settings."""
    usual = _recipe.__wrapped__("encoder")
    monkeypatch.setenv("DGN_CONFIG_DIR", str(own.folder / "configs"))
    assert _recipe.__wrapped__("encoder") == usual


def test_a_run_and_its_resumption_read_the_users_files(own):
    settings = [*own.tiny, "trainer.precision=32-true", "trainer.max_steps=1", "hydra.run.dir=run"]
    own.run("train.py", *settings, "--config-dir", "configs")
    run = own.folder / "run"
    assert yaml.safe_load((run / "config.yaml").read_text())["loss"]["image"] == 0.125
    command = saved_command(run)
    assert command[:3] == ["python", str(ROOT / "train.py"), "--config-dir=configs"]

    own.run("train.py", "--config-dir=configs", "resume=run", "trainer=short", "trainer.accelerator=cpu")
    assert json.loads((run / "metrics.json").read_text())["steps"] == 2
    assert saved_command(run).count("--config-dir=configs") == 1

    # The same command again is the same run; without the folder it is another.
    assert "finished" in own.run("train.py", *settings, "-cd", "configs")[0]
    _, err = own.run("train.py", *settings, status=2)
    assert "loss.image" in err


@pytest.mark.slow
def test_jobs_of_a_launcher_read_the_users_files(own):
    """Each job composes the config of every method anew, in a process of joblib's."""
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    shown = ["target=mini_caffenet", "target.weights=null", "target.classes=3", "units=fc8:0", "seeds=1", "judge=none"]
    shown += ["reference_images=0", "canvas_size=32", "steps=2", "method=[pixels,shorter]", "comparison.enabled=false"]
    several = ["-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "seed=0,1", "hydra.sweep.dir=two"]
    own.run("visualize.py", "--config-dir=configs", *several, *shown)
    for job in ("0", "1"):
        assert "shorter" in (own.folder / "two" / job / "results.csv").read_text()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--config-dir=nowhere"], "--config-dir=nowhere: no such folder"),
        (["--config-dir"], "--config-dir=: no such folder"),
        (["--config-dir=configs", "loss=dipsim"], "paper, shares, short"),
        (["--config-dir=configs", "trainer=shirt"], "did you mean short?"),
    ],
)
def test_a_folder_or_a_file_that_does_not_exist_is_reported(own, arguments, says):
    _, err = own.run("train.py", *arguments, status=2)
    assert says in err
    assert len(err.strip().splitlines()) == 1


def test_help_lists_the_users_files(own):
    out, _ = own.run("dgn-visualize", "--config-dir=configs", "--help")
    (methods,) = (line for line in out.splitlines() if line.startswith("method: "))
    assert {"shorter", "dgn_am"} <= set(methods.removeprefix("method: ").split(", "))
    assert "dgn-visualize prior=" in out
