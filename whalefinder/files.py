"""Writing files so that nobody ever reads half of one, and a full disk is said in one line."""

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
    """Turn a full disk or a missing permission into one clear line."""
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
    """A place beside `path` to write to, which takes its name only when it is whole and on the disk.

    Raises:
        OutputError: it cannot be written; `path` is as it was.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # Not the process' number alone: runs in containers, or on several machines, have the same ones.
        beside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.part")
        try:
            yield beside
            with beside.open("rb") as file:
                os.fsync(file.fileno())
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
