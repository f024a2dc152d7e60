"""Follow the Dockerfile where there is no container engine: its steps in an empty folder and an empty environment.

An instruction that this script does not know ends it, so the Dockerfile cannot get ahead of the check. What is not
checked: the image that it starts from, and what the system in that image lacks.
"""

from __future__ import annotations

import fnmatch
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def instructions(dockerfile: str) -> list[tuple[str, str]]:
    """Each instruction with its arguments, comments and line ends inside taken out."""
    lines = [line for line in dockerfile.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ").splitlines()
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in joined]


def ignored(path: str, rules: list[str]) -> bool:
    """Whether `.dockerignore` keeps a path out: the last rule that fits it, or a folder above it, decides."""
    above = ["/".join(path.split("/")[: n + 1]) for n in range(path.count("/") + 1)]
    out = False
    for rule in rules:
        pattern = rule.removeprefix("!")
        names = path.split("/") if pattern.startswith("**/") else above
        if any(fnmatch.fnmatchcase(name, pattern.removeprefix("**/")) for name in names):
            out = not rule.startswith("!")
    return out


def sent(root: Path, rules: list[str]) -> list[str]:
    """Paths of the files that an engine would send to its builder."""
    files = (path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    return sorted(file for file in files if not ignored(file, rules))


class Build:
    """A folder that stands for the image, and an environment that stands for its Python."""

    def __init__(self, place: Path) -> None:
        self.image, self.where = place / "image", place / "image"
        self.image.mkdir()
        venv.create(place / "venv", with_pip=True)
        self.environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
        self.environment["PATH"] = f"{place / 'venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
        rules = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        self.files = sent(ROOT, [rule for rule in rules if rule and not rule.startswith("#")])
        self.user: dict[str, Any] = {}
        self.entrypoint: list[str] = []

    def step(self, name: str, rest: str) -> None:
        """Do one instruction."""
        if name == "WORKDIR":
            self.where = self.image / rest.lstrip("/")
            self.where.mkdir(parents=True, exist_ok=True)
        elif name == "COPY":
            self.copy(*shlex.split(rest))
        elif name == "RUN":
            subprocess.run(["/bin/sh", "-ec", rest], cwd=self.where, env=self.environment, check=True)
        elif name == "ENV":
            self.environment.update(pair.split("=", 1) for pair in shlex.split(rest))
        elif name == "USER":
            user, group = map(int, rest.split(":"))
            assert user != 0, "the image must not run as root"
            self.user = {"user": user, "group": group, "extra_groups": []} if os.geteuid() == 0 else {}
        elif name == "ENTRYPOINT":
            self.entrypoint = json.loads(rest)
        elif name not in ("FROM", "ARG", "VOLUME", "CMD"):
            raise SystemExit(f"Dockerfile: {name} is not known to {Path(__file__).name}")

    def copy(self, *paths: str) -> None:
        """Files and the contents of folders, as COPY does."""
        *sources, target = paths
        for source in sources:
            files = [file for file in self.files if file == source or file.startswith(f"{source}/")]
            assert files, f"COPY {source}: nothing of it is sent to the builder"
            for file in files:
                inside = file.removeprefix(source).lstrip("/") or Path(source).name
                to = self.where / target / inside
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / file, to)

    def run(self, *arguments: str) -> None:
        """The entry point with arguments, as the image's user."""
        command = [*self.entrypoint, *arguments]
        subprocess.run(command, cwd=self.where, env=self.environment, check=True, **self.user)


def main() -> None:
    """Follow the Dockerfile, then run its entry point with the arguments of this script."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        build = Build(Path(folder))
        for name, rest in instructions((ROOT / "Dockerfile").read_text(encoding="utf-8")):
            print(f"{name} {rest}", flush=True)
            build.step(name, rest)
        build.run(*sys.argv[1:])


if __name__ == "__main__":
    main()
