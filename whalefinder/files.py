"""Safe writing of files. A file gets its name only when it is complete, and a full disk gives a one-line error."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import soundfile

from whalefinder.errors import OutputError


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn a full disk or a missing permission within the `with` block into an error of one line.

    Raises:
        OutputError: the block could not write to `path`.
    """
    try:
        yield
    except (OSError, soundfile.SoundFileError) as reason:
        what = getattr(reason, "strerror", None) or reason
        raise OutputError(
            f"{path}: cannot write ({what}); free space or choose another place (`out`), "
            "files that are already written are kept"
        ) from reason


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path` to write to. At the end of the `with` block it is renamed to `path`.

    Raises:
        OutputError: the file cannot be written. `path` is then unchanged.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # A random name: process numbers are not unique, since containers and machines can use the same ones.
        beside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.part")
        try:
            yield beside
            with beside.open("rb") as file:
                os.fsync(file.fileno())
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
