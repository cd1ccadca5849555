"""Label files as people have them."""

import json

import pytest

from dgn.errors import UserError
from dgn.networks.network_settings import NetworkSettings
from dgn.runs.loggers import artifact_name

FILES = {
    "lines.txt": "cat\ndog\n\nGürteltier\n".encode(),
    "marked.txt": "\ufeffcat\r\ndog\r\nGürteltier".encode(),
    "list.json": json.dumps(["cat", "dog", "Gürteltier"]).encode(),
    "numbered.json": json.dumps({"2": "Gürteltier", "0": "cat", "1": "dog"}).encode(),
    "torchvision.json": json.dumps({"0": ["n01", "cat"], "1": ["n02", "dog"], "2": ["n3", "Gürteltier"]}).encode(),
    "named.json": ("\ufeff" + json.dumps({"dog": 1, "cat": 0, "Gürteltier": 2})).encode(),
}


@pytest.mark.parametrize("name", FILES)
def test_labels_come_from_files_of_any_usual_kind(name, tmp_path):
    (tmp_path / name).write_bytes(FILES[name])
    assert NetworkSettings(labels=str(tmp_path / name)).given_labels() == ("cat", "dog", "Gürteltier")


def test_eleven_numbered_classes_are_in_the_order_of_their_numbers(tmp_path):
    (tmp_path / "l.json").write_text(json.dumps({str(i): f"c{i}" for i in range(11)}))
    assert NetworkSettings(labels=str(tmp_path / "l.json")).given_labels() == tuple(f"c{i}" for i in range(11))


@pytest.mark.parametrize("text", ['{"0": "cat", "2": "dog"}', "{", '[["a"], {}]', "[null]"])
def test_other_json_is_refused_in_one_line(text, tmp_path):
    (tmp_path / "l.json").write_text(text)
    with pytest.raises(UserError, match=r"l\.json cannot be read as names .*one a line, or JSON") as error:
        NetworkSettings(labels=str(tmp_path / "l.json")).given_labels()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("layer", ["relu@0", "fc:input", "a/b", "größe", "a b", "x" * 200, "layer1.0-conv_1"])
def test_artifacts_have_names_that_wandb_takes(layer):
    wandb = pytest.importorskip("wandb")
    assert wandb.Artifact(artifact_name("net", layer), type="prior").name.startswith("net-")
