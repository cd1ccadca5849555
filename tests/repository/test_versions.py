"""The versions that pyproject.toml allows, constraints.txt installs and the hosted workflow tests are the same."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
JOBS = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]
MATRIX = JOBS["suite"]["strategy"]["matrix"]


def number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2])


def lower_bound(library: str) -> tuple[int, ...]:
    (bound,) = (
        re.fullmatch(rf"{library}>=([\d.]+)", line)
        for line in PROJECT["dependencies"]
        if line.startswith(f"{library}>")
    )
    return number(bound[1])


def pinned(library: str) -> str:
    return re.search(rf"^{library}==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)[1]


def test_every_python_is_tested():
    first = number(PROJECT["requires-python"].removeprefix(">="))
    named = [line.rpartition(" ")[2] for line in PROJECT["classifiers"] if re.search(r"Python :: 3\.\d+$", line)]
    assert MATRIX["python"] == named
    assert number(named[0]) == first


def test_the_oldest_and_the_newest_torch_are_tested():
    vision = {pair["torch"]: pair["torchvision"] for pair in MATRIX["include"]}
    oldest, newest = MATRIX["torch"]
    assert (number(oldest), number(vision[oldest])) == (lower_bound("torch"), lower_bound("torchvision"))
    assert (newest, vision[newest]) == (pinned("torch"), pinned("torchvision"))


def test_the_workflow_calls_targets_of_the_makefile():
    makefile = (ROOT / "Makefile").read_text()
    called = [
        step["run"].split()[1]
        for job in JOBS.values()
        for step in job["steps"]
        if step.get("run", "").startswith("make ")
    ]
    assert called == ["lint", "suite", "oldest", "demo"]
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in called)


def test_the_citation_names_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"]
    assert {"https://arxiv.org/abs/1602.02644", "https://arxiv.org/abs/1605.09304"} == {
        reference["url"] for reference in citation["references"]
    }
