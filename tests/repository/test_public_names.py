"""The notebooks, the examples and the documentation use only public names of the library."""

import ast
import importlib
import json
import re
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/*.md", "notebooks/*.ipynb", "examples/*.ipynb", "examples/*.py")
    for path in ROOT.glob(pattern)
)
NOT_PYTHON = re.compile(r"^\s*[%!].*$", re.MULTILINE)  # a notebook's commands for the shell


def blocks(path: Path) -> list[str]:
    """The Python code of a page."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        return [text]
    if path.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        return [NOT_PYTHON.sub("", "".join(cell["source"])) for cell in cells if cell["cell_type"] == "code"]
    fenced = re.findall(r"^( *)```(?:python|py)\n(.*?)^ *```$", text, re.DOTALL | re.MULTILINE)
    return [textwrap.dedent(indent + code if indent else code) for indent, code in fenced]


def names_used(code: str) -> set[tuple[str, str]]:
    """(module, name) of everything of dgn that the code imports; the name is "" for a whole module."""
    used = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            used |= {(alias.name, "") for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            used |= {(node.module or "", alias.name) for alias in node.names}
    return {(module, name) for module, name in used if module.split(".")[0] == "dgn"}


def private_attributes(code: str) -> set[str]:
    attributes = {node.attr for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Attribute)}
    return {name for name in attributes if name.startswith("_") and not name.startswith("__")}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_page_imports_public_names_that_exist(path):
    for code in blocks(path):
        assert not private_attributes(code)
        for module, name in sorted(names_used(code)):
            parts = [*module.split("."), name]
            assert "cli" not in parts, f"{module}: the commands are no part of the library"
            assert not any(part.startswith("_") for part in parts), f"{module}.{name} is private"
            imported = importlib.import_module(module)
            assert not name or hasattr(imported, name) or importlib.import_module(f"{module}.{name}")


def test_the_pages_are_read():
    read = {(path.name, *used) for path in PAGES for code in blocks(path) for used in names_used(code)}
    assert {("README.md", "dgn", "dgn_am"), ("tutorial.ipynb", "dgn", "Prior"), ("example.py", "dgn", "unit")} <= read


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("import dgn.cli.config", {("dgn.cli.config", "")}),
        ("from dgn.am import _x\nimport torch", {("dgn.am", "_x")}),
        ("def f():\n    from dgn import a, b", {("dgn", "a"), ("dgn", "b")}),
    ],
)
def test_imports_are_found(code, names):
    assert names_used(code) == names
