"""What is handed out: the wheel and the source archive, the image, the citation."""

import ast
import importlib.util
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

from whalefinder.version import __version__

ROOT = Path(__file__).parent.parent
SPECIFICATION = importlib.util.spec_from_file_location("dockerfile_steps", ROOT / ".ci" / "dockerfile_steps.py")
dockerfile_steps = importlib.util.module_from_spec(SPECIFICATION)
SPECIFICATION.loader.exec_module(dockerfile_steps)
INSTRUCTIONS = dockerfile_steps.instructions((ROOT / "Dockerfile").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The source archive, and the wheel that is built from it."""
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return out


def files_below(*folders):
    files = (path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file())
    return {path.relative_to(ROOT).as_posix() for path in files if "__pycache__" not in path.parts}


def test_the_wheel_holds_every_file_of_the_package_and_nothing_else(built):
    names = zipfile.ZipFile(built / f"whalefinder-{__version__}-py3-none-any.whl").namelist()
    package = {name for name in names if ".dist-info/" not in name}
    assert package == files_below("whalefinder")
    assert {Path(name).suffix for name in package} >= {".py", ".safetensors", ".json", ".toml", ".html", ".typed"}


def said(path):
    """The texts of a module that are no docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    documented = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    texts = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in documented)
    return [node.value for node in texts if isinstance(node.value, str)]


def test_no_message_names_a_document_that_the_wheel_does_not_hold():
    texts = [text for path in (ROOT / "whalefinder").rglob("*.py") for text in said(path)]
    assert len(texts) > 1000 and [text for text in texts if re.search(r"\b(docs|examples|bench)/|\w\.md\b", text)] == []


def test_the_source_archive_holds_what_the_tests_need(built):
    with tarfile.open(built / f"whalefinder-{__version__}.tar.gz") as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    assert names >= files_below("whalefinder", "tests", "docs", "bench", "examples", ".ci")
    assert names >= {
        "README.md",
        "LICENSE",
        "CHANGELOG.md",
        "CITATION.cff",
        "Makefile",
        "constraints.txt",
        "Dockerfile",
    }


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation.keys() >= {"cff-version", "message", "title", "authors", "version", "date-released", "license"}
    assert citation["cff-version"] == "1.2.0" and citation["type"] == "software"
    assert citation["authors"] and all(
        author.get("name") or author.get("family-names") for author in citation["authors"]
    )
    assert citation["version"] == __version__
    assert citation["license"] == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["license"]


def test_the_changelog_dates_this_version_as_the_citation_does():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    headings = re.findall(r"^## \[(.+?)\](?: - (\S+))?$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
    assert headings[:2] == [("Unreleased", ""), (__version__, str(citation["date-released"]))]


def test_the_image_is_not_run_by_root_and_has_its_data_in_a_volume():
    last = dict(INSTRUCTIONS)
    assert int(last["USER"].split(":")[0]) > 0
    assert (last["VOLUME"], last["WORKDIR"], last["ENTRYPOINT"]) == ("/data", "/data", '["whalefinder"]')


def test_the_builder_of_the_image_gets_what_is_copied_and_no_more():
    rules = [r for r in (ROOT / ".dockerignore").read_text().splitlines() if r and not r.startswith("#")]
    sent = dockerfile_steps.sent(ROOT, rules)
    sources = [source for name, rest in INSTRUCTIONS if name == "COPY" for source in rest.split()[:-1]]
    assert [s for s in sources if not any(f == s or f.startswith(f"{s}/") for f in sent)] == []
    assert [f for f in sent if not any(f == s or f.startswith(f"{s}/") for s in sources)] == []
    assert set(sent) >= files_below("whalefinder") and not [f for f in sent if f.endswith(".pyc")]


@pytest.mark.parametrize(
    ("path", "out"),
    [("whalefinder/a.py", False), ("whalefinder/x/__pycache__/a.pyc", True), ("tests/a.py", True), (".git/HEAD", True)],
)
def test_ignored_as_an_engine_would(path, out):
    rules = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()[1:]
    assert dockerfile_steps.ignored(path, rules) is out
