"""What took long and does not depend on the classifier is kept between runs, under a hash of all that it depends on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np

Arrays = dict[str, np.ndarray]


class Kept:
    """Arrays in files of a folder.

    Args:
        folder: made where it is missing.
        depends: what else the results depend on: weights, code.
    """

    def __init__(self, folder: Path, *depends: bytes) -> None:
        self.folder = folder
        self.depends = b"".join(hashlib.blake2b(part, digest_size=16).digest() for part in depends)
        folder.mkdir(parents=True, exist_ok=True)

    def get(self, make: Callable[[], Arrays], samples: np.ndarray, *of: object) -> Arrays:
        """What `make` gives for these samples and settings; made once."""
        name = hashlib.blake2b(self.depends + repr(of).encode() + repr(samples.shape).encode(), digest_size=20)
        name.update(np.ascontiguousarray(samples).data)
        path = self.folder / f"{name.hexdigest()}.npz"
        if path.is_file():
            with np.load(path) as arrays:
                return dict(arrays)
        arrays = make()
        part = path.with_suffix(".part")  # a run that was stopped leaves no half file
        with part.open("wb") as file:
            np.savez(file, **arrays)
        part.replace(path)
        return arrays


def code_of(*modules: ModuleType) -> bytes:
    """The text of modules, and of all files of a package: results of other code are others."""
    files: set[Path] = set()
    for module in modules:
        file = Path(str(module.__file__))
        files.update(file.parent.rglob("*.py") if file.name == "__init__.py" else [file])
    return b"".join(file.read_bytes() for file in sorted(files))
