"""Quick to start: nobody waits for PyTorch to read a help text."""

import json
import subprocess
import sys

import whalefinder

SLOW = {
    "torch",
    "scipy",
    "matplotlib",
    "pyarrow",
    "pandas",
    "numpy",
    "soundfile",
    "duckdb",
    "dask",
    "sklearn",
}
"""Each takes a tenth of a second or more, alone or with what it imports."""

EVERY_HELP = """
import json, sys
from typer.testing import CliRunner
from typer.main import get_command
from whalefinder.cli import app

def commands(command, path=()):
    yield path
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, (*path, name))

imported = {}
for path in commands(get_command(app)):
    done = CliRunner().invoke(app, [*path, "--help"])
    assert done.exit_code == 0 and "Usage" in done.output, path
    imported[" ".join(path)] = sorted({name.partition(".")[0] for name in sys.modules})
print(json.dumps(imported))
"""


def run(*arguments):
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True, timeout=120).stdout


def test_no_help_imports_a_slow_library():
    imported = json.loads(run("-c", EVERY_HELP))
    assert {"", "locate", "archive", "explain", "train", "train classifier"} <= set(imported)
    assert {command: SLOW & set(modules) for command, modules in imported.items() if SLOW & set(modules)} == {}


def test_the_version_is_said_at_once():
    modules = (
        "import sys; from whalefinder.cli import app; app(['--version'], standalone_mode=False); print(*sys.modules)"
    )
    said, *names = run("-c", modules).splitlines()
    assert said == f"whalefinder {whalefinder.__version__}"
    assert SLOW & set(" ".join(names).split()) == set()


def test_importing_whalefinder_imports_none_of_its_rooms():
    rooms = run("-c", "import sys, whalefinder; print(*(m for m in sys.modules if m.startswith('whalefinder')))")
    assert sorted(rooms.split()) == ["whalefinder", "whalefinder.version"]


def test_public_names_come_when_they_are_used():
    assert run("-c", "import whalefinder; print(whalefinder.locate.__module__)").strip() == "whalefinder.pipeline"
    assert run("-c", "from whalefinder import *; print(len(set(dir()) & {'locate', 'Track'}))").strip() == "2"
    assert run("-c", "import whalefinder; print(hasattr(whalefinder, 'lcoate'))").strip() == "False"
