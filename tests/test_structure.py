"""The house: rooms in order, no cycles, files of a readable size, a package that stays small."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "dnastudy"
ROOMS = ("genes", "tokens", "models", "tasks", "study", "chapters")
CEILING = 17_450  # lines of the package, docstrings included; on its way to 13,000: lower it with what you take out


def modules() -> dict[str, Path]:
    """Each module of the package by its dotted name."""
    paths = {path: path.relative_to(PACKAGE.parent).with_suffix("").parts for path in PACKAGE.rglob("*.py")}
    return {".".join(parts).removesuffix(".__init__"): path for path, parts in paths.items()}


def imports(path: Path, names: dict[str, Path]) -> set[str]:
    """Modules of the package that a file imports, at its top, inside functions or for types alone."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("dnastudy"):
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in names else home_of(node.module, alias.name, names))
    return found


def home_of(module: str, name: str, names: dict[str, Path]) -> str:
    """The module that defines a name which a room's face passes on."""
    face = ast.parse(names[module].read_text()) if names[module].name == "__init__.py" else ast.Module([], [])
    for node in ast.walk(face):
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and isinstance(value, ast.Constant) and key.value == name:
                    return f"{module}.{value.value}"
    return module


@pytest.fixture(scope="module")
def graph() -> dict[str, set[str]]:
    names = modules()
    return {name: imports(path, names) - {name} for name, path in names.items()}


def test_imports_point_down(graph):
    order = {f"dnastudy.{room}": number for number, room in enumerate(ROOMS)}
    rank = {name: order.get(".".join(name.split(".")[:2])) for name in graph}
    upward = [
        f"{name} -> {other}"
        for name, others in graph.items()
        for other in others
        if rank[name] is not None and rank[other] is not None and rank[other] > rank[name]
    ]
    assert not upward


def test_no_import_cycle(graph):
    left = {name: set(others) for name, others in graph.items()}
    while free := [name for name, others in left.items() if not others & left.keys()]:
        for name in free:
            del left[name]
    assert not left, f"in or behind a cycle: {sorted(left)}"


def test_files_are_of_a_readable_size():
    lines = {name: len(path.read_text().splitlines()) for name, path in modules().items() if "__" not in path.name}
    assert not {name: count for name, count in lines.items() if not 45 <= count <= 400}


def test_the_package_stays_small():
    assert sum(len(path.read_text().splitlines()) for path in modules().values()) <= CEILING
