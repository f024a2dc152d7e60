"""A reader meets a constant before the code that uses it."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def used_before_set(text):
    """Names that a module sets at its top level below a line that reads them, with that line."""
    module = ast.parse(text)
    first = {}
    for statement in module.body:
        targets = getattr(statement, "targets", [getattr(statement, "target", None)])
        if isinstance(statement, (ast.Assign, ast.AnnAssign)):
            for node in (node for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)):
                first.setdefault(node.id, node.lineno)
    return [
        (node.id, node.lineno)
        for node in ast.walk(module)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.lineno < first.get(node.id, 0)
    ]


def test_the_check_sees_a_constant_below_its_use():
    assert used_before_set("def f():\n    return A\n\n\nA: int = 1\nB = A\n") == [("A", 2)]
    assert used_before_set("A, B = 1, 2\n\n\ndef f():\n    return A + B\n") == []


@pytest.mark.parametrize("folder", ["whalefinder", "bench", "tests"])
def test_constants_stand_above_their_use(folder):
    paths = sorted((ROOT / folder).rglob("*.py"))
    below = [(path.name, *found) for path in paths for found in used_before_set(path.read_text("utf-8"))]
    assert len(paths) > 15 and below == []
