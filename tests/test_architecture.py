"""The rooms of dgn/ and which of them may import which: arrows point down only, read from the source."""

import ast
import graphlib
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FLOORS = (
    {"errors"},
    {"files", "records", "devices"},
    {"runs"},
    {"data"},
    {"networks"},
    {"prior"},
    {"am", "training"},
    {"metrics", "report", "attribution"},
    {"inspection"},
    {"visualization"},
    {"studies", "toolbox"},
    {"cli"},
    {"methods"},
)
"""Rooms from the lowest floor to the highest. A room imports only from lower floors: not from its neighbours either."""
SLOW = {
    "pytorch_lightning",
    "lightning_fabric",
    "torchmetrics",
    "torchvision",
    "scipy",
    "sklearn",
    "matplotlib",
    "wandb",
}
"""Libraries that take seconds to import: programs that may not need them import them in functions."""
POINTERS = ("published", "sharing")  # modules that only name where they have moved to


@cache
def imports() -> dict[str, set[str]]:
    """{module: the modules of dgn that it imports, anywhere in it}. `dgn` itself hands on and is left out."""
    paths = {_name(path): path for path in sorted((ROOT / "dgn").rglob("*.py"))}
    del paths["dgn"]
    return {module: _imported(path, set(paths)) - {module} for module, path in paths.items()}


def _name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def _imported(path: Path, modules: set[str]) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import"
            of_it = {f"{node.module}.{alias.name}" for alias in node.names}
            submodules = of_it & modules
            names |= submodules if submodules == of_it else {str(node.module)} | submodules
    return names & modules


@cache
def _imported_at_once(module: str) -> frozenset[str]:
    """The modules, of dgn and of libraries, that importing a module of dgn imports; not those of type checkers."""
    names: set[str] = set()
    path = ROOT / module.replace(".", "/")
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    nodes: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {str(node.module)} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            nodes += node.orelse
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            nodes += ast.iter_child_nodes(node)
    return frozenset(names | {name.rpartition(".")[0] for name in {*names, module} if name.startswith("dgn.")})


def _libraries(module: str) -> set[str]:
    """The libraries that importing a module of dgn imports, by itself or by other modules of dgn."""
    names: set[str] = set()
    ahead = [module]
    while ahead:
        new = _imported_at_once(ahead.pop()) - names
        names |= new
        ahead += new & set(imports())
    return {name.partition(".")[0] for name in names}


def _room(module: str) -> str:
    return module.split(".")[1]


def _floor(module: str) -> int:
    return next(floor for floor, rooms in enumerate(FLOORS) if _room(module) in rooms)


def _reached(module: str) -> set[str]:
    """What a module imports, and what that imports, and so on."""
    reached: set[str] = set()
    ahead = [module]
    while ahead:
        new = imports()[ahead.pop()] - reached
        reached |= new
        ahead += new
    return reached


def _modules(room: str) -> list[str]:
    return [module for module in imports() if _room(module) == room]


def test_every_module_is_in_a_layer() -> None:
    known = set().union(*FLOORS) | set(POINTERS)
    assert {_room(module) for module in imports()} == known


def test_packages_import_only_from_lower_layers() -> None:
    upward = [
        f"{module} imports {other}"
        for module, others in imports().items()
        if _room(module) not in POINTERS
        for other in sorted(others)
        if _room(other) != _room(module) and _floor(other) >= _floor(module)
    ]
    assert not upward


def test_there_is_no_import_circle() -> None:
    try:
        graphlib.TopologicalSorter(imports()).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_no_file_of_the_library_imports_the_commands() -> None:
    """Except `dgn.methods`, which reads the commands' config files and is imported by no other."""
    library = [module for module in imports() if _room(module) not in ("cli", "methods")]
    assert not [module for module in library if _reached(module) & set(_modules("cli"))]


def test_only_the_commands_and_the_methods_file_read_config() -> None:
    readers = []
    for path in (ROOT / "dgn").rglob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        names = [str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)]
        names += [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
        if {"hydra", "omegaconf"} & {name.split(".")[0] for name in names}:
            readers.append(_name(path))
    assert {_room(module) for module in readers} <= {"cli", "methods"}


def test_training_imports_no_report() -> None:
    of_report = set(_modules("report"))
    assert not [module for module in _modules("training") if _reached(module) & of_report]


def test_visualization_reaches_nothing_of_training() -> None:
    of_training = set(_modules("training"))
    assert not [module for module in _modules("visualization") if _reached(module) & of_training]


@pytest.mark.parametrize(
    "program", ["dgn.cli.networks", "dgn.cli.visualize", "dgn.cli.compare", "dgn.cli.toolbox", "dgn.am.maximize"]
)
def test_what_trains_nothing_imports_no_slow_library_before_it_uses_it(program: str) -> None:
    at_once = _libraries(program)
    assert "torch" in at_once
    assert not at_once & SLOW


def test_the_commands_explain_themselves_without_torch() -> None:
    at_once = _libraries("dgn.cli.commands")
    assert "hydra" in at_once
    assert not at_once & (SLOW | {"torch", "numpy"})


def test_no_file_repeats_the_name_of_its_folder() -> None:
    assert not [module for module in imports() if module.split(".")[-1] == module.split(".")[-2]]
