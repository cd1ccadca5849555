import hashlib
import http.server
import json
import threading
import time
from types import SimpleNamespace

import pytest
import torch

from dgn.data.hub import unreachable
from dgn.errors import UserError
from dgn.networks.generator import UpconvGenerator
from dgn.networks.zoo import mini_caffenet
from dgn.prior import Prior
from dgn.prior.card import write_card
from dgn.prior.location import find_prior
from dgn.prior.sharing import push
from dgn.prior.statistics import UnitStatistics


@pytest.fixture(scope="module")
def prior_file(tmp_path_factory):
    torch.manual_seed(0)
    encoder = mini_caffenet(classes=4)
    generator = UpconvGenerator((1024,), 64, width=0.03)
    ones = torch.ones(1024)
    about = {
        "layer": "fc6",
        "encoder": {"name": encoder.name, "spec": encoder.spec, "fingerprint": encoder.fingerprint()},
        "data": {"_target_": "dgn.data.sources.doodles", "classes": ["house", "tree"]},
        "training": {"steps": 70},
        "metrics": {"val/psnr": 17.25},
        "config": {"seed": 3},
        "command": "python train.py seed=3",
    }
    path = tmp_path_factory.mktemp("prior") / "prior.safetensors"
    Prior(generator, UnitStatistics(0.5 * ones, ones, 0 * ones, 4 * ones, 10), about).save(path)
    return path


class Hub(http.server.BaseHTTPRequestHandler):
    """The part of the hub's file interface that sharing uses: one repository, in memory."""

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self._file(with_body=False)

    def do_GET(self):
        if self.path.startswith("/api/models/"):
            return self._answer({"id": "ada/fc6", "sha": "1" * 40, "siblings": [], "private": False})
        return self._file(with_body=True)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/api/repos/create":
            return self._answer({"url": "https://huggingface.co/ada/" + json.loads(body)["name"]})
        if "/preupload/" in self.path:
            files = json.loads(body)["files"]
            known = [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in files]
            return self._answer({"files": known})
        if "/commit/" in self.path:
            import base64

            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    self.server.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            return self._answer(
                {
                    "commitUrl": "https://huggingface.co/ada/fc6/commit/" + "1" * 40,
                    "commitOid": "1" * 40,
                    "hookOutput": "",
                }
            )
        return self._answer({"repo_type": "model"}) if "validate-yaml" in self.path else self.send_error(404)

    def _file(self, with_body):
        repository, _, rest = self.path.lstrip("/").partition("/resolve/")
        content = self.server.files.get(rest.partition("/")[2])
        if repository != "ada/fc6" or content is None:
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound" if repository != "ada/fc6" else "EntryNotFound")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        self.send_response(200)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", "1" * 40)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if with_body:
            self.wfile.write(content)

    def _answer(self, content):
        data = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A stand-in of the hub on this machine."""
    constants = pytest.importorskip("huggingface_hub.constants")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.files = {}
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("HF_ENDPOINT", address)
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    yield server
    server.shutdown()


def test_a_prior_goes_to_the_hub_and_comes_back_as_prior(hub, prior_file):
    address = push(prior_file, "ada/fc6")
    assert address.endswith("/ada/fc6")
    assert {"prior.safetensors", "README.md", "samples.png"} <= set(hub.files)
    path = find_prior("hf:ada/fc6")
    assert path.read_bytes() == prior_file.read_bytes()
    assert Prior.load(path).layer == "fc6"


def test_a_missing_hub_file_is_reported_in_one_line(hub):
    for name in ("hf:ada/other", "hf:ada", "wandb:only/two"):
        with pytest.raises(UserError, match=name) as error:
            find_prior(name)
        assert "\n" not in str(error.value)


def test_the_card_says_what_the_prior_is(prior_file, tmp_path):
    write_card(prior_file, tmp_path, "ada/fc6")
    card = (tmp_path / "README.md").read_text()
    for part in ("`fc6` of `mini_caffenet`", "doodles (house, tree)", "70 steps", "| val/psnr | 17.25 |"):
        assert part in card
    assert "python train.py seed=3" in card
    assert "prior=hf:ada/fc6" in card
    assert "![" in card
    assert (tmp_path / "samples.png").is_file()


def test_the_card_contains_no_local_paths_and_valid_markup(prior_file, tmp_path):
    prior = Prior.load(prior_file)
    prior.about |= {
        "config": {"seed": 3, "logger": {"wandb": {"entity": "secret-team"}}},
        "command": "python train.py\n```\n<script>",
        "metrics": {"val/psnr": 17.25, "total_seconds": 12.0},
    }
    prior.save(tmp_path / "prior.safetensors")
    write_card(tmp_path / "prior.safetensors", tmp_path, "ada/fc6")
    card = (tmp_path / "README.md").read_text()
    assert "secret-team" not in card
    assert "total_seconds" not in card  # measures no image
    fenced = card.split("## How it was made")[1].strip().splitlines()
    assert fenced[0] == "````sh"  # more backquotes than there are in the command
    assert fenced[4] == "````"


def test_a_prior_of_the_hub_opens_by_its_name_and_is_called_by_it(hub, prior_file):
    push(prior_file, "ada/fc6")
    assert Prior.load("hf:ada/fc6").source == "hf:ada/fc6"


def test_a_hub_file_that_is_not_a_prior_is_reported_under_the_requested_name(hub):
    hub.files["prior.safetensors"] = b"<html>not what you think</html>"
    with pytest.raises(UserError, match="prior=hf:ada/fc6: the shared file cannot be read"):
        Prior.load("hf:ada/fc6")


def test_a_repository_without_a_prior_and_an_unreachable_hub_are_distinguished(hub, prior_file, monkeypatch):
    with pytest.raises(UserError, match=r"there is no prior\.safetensors in that repository"):
        find_prior("hf:ada/fc6")
    monkeypatch.setattr("huggingface_hub.HfApi.create_repo", fails := _raising(ConnectionError("nobody there")))
    with pytest.raises(UserError, match=r"did not take ada/fc6 \(nobody there"):
        push(prior_file, "ada/fc6")
    assert fails.called


def test_without_a_network_the_cache_is_searched_and_one_line_reported_at_once(hub, prior_file, monkeypatch):
    push(prior_file, "ada/fc6")
    kept = find_prior("hf:ada/fc6")
    hub.shutdown()
    hub.server_close()
    monkeypatch.setattr("urllib.request.getproxies", dict)
    assert find_prior("hf:ada/fc6") == kept
    began = time.monotonic()
    for ask in (lambda: find_prior("hf:ada/other"), lambda: push(prior_file, "ada/fc6")):
        with pytest.raises(UserError, match=r"no connection to 127\.0\.0\.1: .*check the network") as error:
            ask()
        assert "\n" not in str(error.value)
    assert time.monotonic() - began < 5  # the hub's own retries take over twenty


def test_behind_a_proxy_the_hub_is_asked_itself(monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.invalid")
    monkeypatch.setattr("urllib.request.getproxies", dict)
    assert unreachable().startswith("no connection to hub.invalid")
    monkeypatch.setattr("urllib.request.getproxies", lambda: {"http": "http://127.0.0.1:1"})
    assert unreachable() is None


def _raising(error):
    def call(*_, **__):
        call.called = True
        raise error

    return call


def test_a_prior_of_wandb_is_fetched_once(prior_file, monkeypatch, tmp_path):
    """Against a stand-in of W&B's public api: an artifact with a digest that can be downloaded."""
    asked, downloads = [], []

    def download(root):
        downloads.append(root)
        (tmp_path / "got").mkdir(parents=True, exist_ok=True)
        target = tmp_path / root
        target.mkdir(parents=True)
        (target / "prior.safetensors").write_bytes(prior_file.read_bytes())
        return str(target)

    def artifact(name, type):
        asked.append((name, type))
        if "missing" in name:
            raise ValueError("artifact not found\nand more")
        return SimpleNamespace(digest="abc123", download=download)

    monkeypatch.setattr("wandb.Api", lambda timeout: SimpleNamespace(artifact=artifact))
    monkeypatch.setenv("DGN_CACHE", str(tmp_path / "cache"))
    for _ in range(2):
        assert find_prior("wandb:team/dgn/mini_caffenet-fc6:v3").read_bytes() == prior_file.read_bytes()
    find_prior("wandb:team/dgn/mini_caffenet-fc6")
    assert [name for name, _ in asked] == ["team/dgn/mini_caffenet-fc6:v3"] * 2 + ["team/dgn/mini_caffenet-fc6:latest"]
    assert {kind for _, kind in asked} == {"prior"}
    assert len(downloads) == 2  # one for each alias
    with pytest.raises(UserError, match="artifact not found"):
        find_prior("wandb:team/dgn/missing")
