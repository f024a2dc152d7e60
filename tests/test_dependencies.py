"""What the package imports is declared, what is declared is imported, and what is missing is said in one line."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import torch

from whalefinder.archive.crew import together
from whalefinder.archive.sources import find_files
from whalefinder.errors import OptionError
from whalefinder.evaluation.metrics import roc
from whalefinder.explain.occlusion import occlude
from whalefinder.export.shipped import export_models
from whalefinder.optional import EXTRA_OF
from whalefinder.pages.page import save_page
from whalefinder.results.pamguard import read_pamguard
from whalefinder.results.query import query

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
TOOLS = {"pytest-xdist", "ruff", "mypy", "import-linter", "build", "setuptools"}  # the Makefile runs them
PLUGINS = {"s3fs", "mkdocs-material", "mkdocstrings"}  # fsspec loads the first for s3://, mkdocs the others


def names(requirements):
    return {re.match(r"[\w-]+", line)[0].lower() for line in requirements} - {"whalefinder"}


CORE = names(PROJECT["dependencies"])
OWNERS = packages_distributions()
EXTRAS = {extra: names(lines) for extra, lines in PROJECT["optional-dependencies"].items()}


def imports(path):
    """The modules that a file imports and that are neither ours nor Python's own."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found = [node.module]
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "importorskip":
            found = [node.args[0].value]
        else:
            continue
        for module in (name.partition(".")[0] for name in found):
            if module not in sys.stdlib_module_names | {"whalefinder", "tests", "bench"}:
                yield module


def guarded(path):
    """The modules for which a file calls `needs`."""
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    return {arg.value for call in calls if getattr(call.func, "id", "") == "needs" for arg in call.args}


def distributions(module):
    return {name.lower() for name in OWNERS.get(module, [module])}


PACKAGE = sorted((ROOT / "whalefinder").rglob("*.py"))


@pytest.mark.parametrize("path", PACKAGE, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_import_is_declared(path):
    for module in imports(path):
        if module in EXTRA_OF:
            assert distributions(module) & EXTRAS[EXTRA_OF[module]], f"{module} is not in extra {EXTRA_OF[module]}"
            assert module in guarded(path), f"{path} imports {module} without needs({module!r})"
        else:
            assert distributions(module) & CORE, f"{path} imports {module}, which nobody declares"


def test_one_module_fills_templates():
    assert [path.name for path in PACKAGE if "jinja2" in imports(path)] == ["page.py"]


def test_every_declared_dependency_is_imported():
    files = [*PACKAGE, *ROOT.glob("tests/*.py"), *ROOT.glob("bench/*.py"), *ROOT.glob("sitehooks/*.py")]
    used = {name for path in files for module in imports(path) for name in distributions(module)}
    declared = CORE.union(*EXTRAS.values())
    assert len(files) > 150 and declared - used - TOOLS - PLUGINS == set()
    by_package = {module for path in PACKAGE for module in guarded(path) | set(imports(path))}
    by_package = {name for module in by_package for name in distributions(module)}
    for names_of in (CORE, EXTRAS["train"], EXTRAS["archive"], EXTRAS["export"]):
        assert names_of - by_package - PLUGINS - {"onnxruntime"} == set()  # which runs what `export` writes


@pytest.fixture
def ways(tmp_path):
    """A call of the library for each optional module."""
    pgdf = tmp_path / "a.pgdf"
    pgdf.write_bytes(b"")

    def crew():
        return list(together(None, [], 1, None))

    return {
        "captum": lambda: occlude(lambda planes: planes.mean((1, 2, 3)), torch.zeros(1, 8, 8)),
        "dask": crew,
        "distributed": crew,
        "duckdb": lambda: query("SELECT 1", tmp_path),
        "fsspec": lambda: find_files("s3://bucket/x"),
        "jinja2": lambda: save_page(tmp_path / "a.html", "a", []),
        "onnx": lambda: list(export_models(tmp_path, "segmenter")),
        "onnxscript": lambda: list(export_models(tmp_path, "segmenter")),
        "pypamguard": lambda: read_pamguard(pgdf),
        "sklearn": lambda: roc([0, 1], [0.1, 0.9]),
    }


@pytest.mark.parametrize("module", EXTRA_OF)
def test_a_missing_library_is_one_line_with_its_extra(ways, module, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(OptionError) as caught:
        ways[module]()
    said = str(caught.value)
    assert "\n" not in said and module in said and f"pip install 'whalefinder[{EXTRA_OF[module]}]'" in said
