"""The tutorial runs from its first cell to its last, on a prior that it makes itself."""

import os
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

nbformat = pytest.importorskip("nbformat", reason="the notebook's test needs pip install -e '.[dev]'")
nbclient = pytest.importorskip("nbclient", reason="the notebook's test needs pip install -e '.[dev]'")
pytest.importorskip("ipykernel", reason="the notebook's test needs pip install -e '.[dev]'")
pytest.importorskip("matplotlib", reason="the notebook's test needs pip install -e '.[dev]'")

ROOT = Path(__file__).parents[2]
TUTORIAL = ROOT / "notebooks" / "tutorial.ipynb"


def test_the_tutorial_runs_and_draws_its_figures(tmp_path, monkeypatch):
    monkeypatch.setenv("PRIOR", "tiny")
    monkeypatch.setenv("DGN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))))
    notebook = nbformat.read(TUTORIAL, as_version=4)
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 7
    said = "".join(output.text for output in outputs if output.output_type == "stream" and output.name == "stdout")
    assert "(tiny)" in said
    assert "median percentile among real images" in said
    page = Path(said.partition("Open ")[2].partition(" in a browser")[0])
    assert page.is_file()
    assert len(list((page.parent / "units").iterdir())) == 4


def test_the_tutorial_is_kept_without_outputs():
    for cell in nbformat.read(TUTORIAL, as_version=4).cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None
