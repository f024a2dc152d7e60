"""The library speaks of arguments, the command line of flags; one place translates."""

import ast
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

import whalefinder
from tests.helpers import noise, write
from whalefinder.cli import app
from whalefinder.cli.common import in_flags

PACKAGE = Path(whalefinder.__file__).parent
FLAG = re.compile(r"(?<![\w-])--[a-z]")


def texts(tree: ast.AST):
    """(line, string) of every string that is no docstring, those within f-strings too."""
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.lineno, node.value


def test_no_string_of_the_library_names_a_flag():
    assert list(texts(ast.parse("raise E(f'{x}: give --out')"))) == [(1, ": give --out")]  # it can be found
    found = [
        f"{path.relative_to(PACKAGE)}:{line}: {text}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if "cli" not in path.relative_to(PACKAGE).parts
        for line, text in texts(ast.parse(path.read_text(encoding="utf-8")))
        if FLAG.search(text)
    ]
    assert not found, found


def test_the_command_line_says_flags(tmp_path):
    path = write(tmp_path / "a.wav", noise(1, 1.0))
    arguments = ["locate", str(path), "-o", str(tmp_path / "out"), "--method", "regressor"]
    said = " ".join(CliRunner().invoke(app, arguments).output.split())
    assert "--array" in said and "`" not in said


def test_what_is_no_option_stays():
    assert in_flags("use `method` steering") == "use `method` steering"  # outside a command


@pytest.mark.parametrize("name", ["time_format", "calls_from", "split", "minutes", "workers", "shard", "recordings"])
def test_every_argument_that_messages_name_is_an_option_of_that_name(name):
    import typer

    def commands(group):
        for command in group.commands.values():
            yield from commands(command) if hasattr(command, "commands") else [command]

    options = {
        p.name: p.opts for c in commands(typer.main.get_command(app)) for p in c.params if p.param_type_name == "option"
    }
    assert "--" + name.replace("_", "-") in options[name]
