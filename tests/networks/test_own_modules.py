"""Two files of one's own, each with modules beside it that have the same names."""

import importlib
import sys

import pytest
import torch

from dgn.networks.custom import custom

FORMS = {
    "a module": ("from utils import WIDTH", {"utils.py": "WIDTH = {n}"}),
    "imported whole": ("import utils\nWIDTH = utils.WIDTH", {"utils.py": "WIDTH = {n}"}),
    "a package": ("from parts import WIDTH", {"parts/__init__.py": "WIDTH = {n}"}),
    "a submodule": ("import parts.deep.er\nWIDTH = parts.deep.er.WIDTH", {
        "parts/__init__.py": "", "parts/deep/__init__.py": "", "parts/deep/er.py": "from .more import WIDTH",
        "parts/deep/more.py": "WIDTH = {n}",
    }),
    "a folder": ("from loose.net import WIDTH", {"loose/net.py": "WIDTH = {n}"}),
    "at second hand": ("from first import WIDTH", {
        "first.py": "import second\nWIDTH = second.WIDTH", "second.py": "WIDTH = {n}",
    }),
    "from a path of its own": (
        "import os, sys\nsys.path.insert(0, os.path.join(os.path.dirname(__file__), 'lib'))\nfrom inner import WIDTH",
        {"lib/inner.py": "WIDTH = {n}"},
    ),
    "when it is called": ("def width():\n    from utils import WIDTH\n    return WIDTH\nWIDTH = None", {
        "utils.py": "WIDTH = {n}",
    }),
}  # fmt: skip
NET = """
import importlib
import torch
from torch import nn
{line}


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, WIDTH or width(), 1)

    def forward(self, x):
        {lazy}
        return self.conv(x) * 0 + LATE


def make():
    return Net()
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    modules = dict(sys.modules)
    yield tmp_path
    assert not [entry for entry in sys.path if entry.startswith((f"{tmp_path}/a", f"{tmp_path}/b"))]
    ours = {n for n, m in sys.modules.items() if str(getattr(m, "__file__", "")).startswith(str(tmp_path))}
    assert {n for n in ours if not n.startswith("dgn_custom_")} == set()
    for name in set(sys.modules) - set(modules):
        if name in ours:
            del sys.modules[name]


def write(root, line, files, n, lazy="LATE = 1"):
    for name, text in {**files, "nets.py": NET.format(line=line, lazy=lazy)}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("{n}", str(n)))
    return f"{root}/nets.py:make"


@pytest.mark.parametrize("form", FORMS)
def test_each_file_has_the_modules_of_its_own_folder(folder, form):
    line, files = FORMS[form]
    first = custom(write(folder / "a", line, files, 2))
    second = custom(write(folder / "b", line, files, 5))
    again = custom(f"{folder}/a/nets.py:make")
    assert [net.network.conv.out_channels for net in (first, second, again)] == [2, 5, 2]
    assert type(first.network).__module__ != type(second.network).__module__


LAZY = {
    "from": "from late import LATE",
    "import": "import late; LATE = late.LATE",
    "importlib": "LATE = importlib.import_module('late').LATE",
    "submodule": "from pack.late import LATE",
}


@pytest.mark.parametrize("form", LAZY)
def test_modules_imported_inside_forward_are_those_of_the_networks_own_folder(folder, form):
    nets = []
    for n, name in ((3, "a"), (7, "b")):
        files = {"late.py": "LATE = {n}", "pack/__init__.py": "", "pack/late.py": "LATE = {n}"}
        nets.append(custom(write(folder / name, "WIDTH = 1", files, n, LAZY[form]), input_size=4))
    images = torch.rand(1, 3, 4, 4)
    for _ in range(2):
        assert [float(net(images, ["output"])["output"].mean()) for net in nets] == [3, 7]


def test_modules_loaded_by_others_under_the_same_name_are_kept(folder, monkeypatch):
    (folder / "program").mkdir()
    (folder / "program" / "utils.py").write_text("WIDTH = 9")
    monkeypatch.syspath_prepend(str(folder / "program"))
    theirs = importlib.import_module("utils")
    net = custom(write(folder / "a", *FORMS["a module"], 2))
    assert net.network.conv.out_channels == 2
    assert sys.modules["utils"] is theirs
    assert importlib.import_module("utils").WIDTH == 9
    del sys.modules["utils"]


def test_a_failed_import_leaves_nothing_behind(folder):
    write(folder / "a", "from utils import WIDTH\nraise ValueError", {"utils.py": "WIDTH = {n}"}, 2)
    for _ in range(2):
        with pytest.raises(Exception, match="ValueError"):
            custom(f"{folder}/a/nets.py:make")
    assert "utils" not in sys.modules


def test_libraries_are_imported_once(folder):
    (folder / "json.py").write_text("raise SystemExit")  # the standard library is not hidden
    net = custom(write(folder, "import json, torch.nn.utils.prune as prune\nWIDTH = 2", {}, 2))
    assert net.network.conv.out_channels == 2
    assert sys.modules["torch"] is torch
    assert "torch.nn.utils.prune" in sys.modules
