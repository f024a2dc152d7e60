"""Safe writing of files. A file gets its name only when it is complete, and a full disk gives a one-line error.

Nothing is written over unasked (`untouched`), and only one run writes into a folder at a time (`locked`).
"""

from __future__ import annotations

import contextlib
import os
import socket
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import soundfile

from whalefinder.errors import OutputError
from whalefinder.words import REPLACED, printable

LOCK_WORD = "process "
"""So the files `lock` of this program begin."""


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


def untouched(paths: Iterable[Path], *, overwrite: bool = False) -> None:
    """Check that none of the files to be written exists.

    Args:
        paths: the files.
        overwrite: the user has said that they may be replaced.

    Raises:
        OutputError: one of them exists and may not be replaced.
    """
    there = None if overwrite else next((path for path in paths if os.path.lexists(path)), None)
    if there is not None:
        raise OutputError(
            f"{there}: exists already and is kept; write to another place, or replace it with `overwrite`"
        )


def sound_path(path: Path) -> Path | bytes:
    """The path of a sound file for libsndfile. Where names are bytes, any bytes will do."""
    return os.fsencode(path) if os.name == "posix" else path


def path_shown_as(shown: str) -> Path:
    """The path that a table shows, where bytes of a name that are not UTF-8 were replaced (`words.printable`)."""
    path = Path(shown)
    if REPLACED not in shown or path.exists():
        return path
    folder = path_shown_as(str(path.parent))
    alike = [each for each in folder.iterdir() if printable(each.name) == path.name] if folder.is_dir() else []
    return alike[0] if len(alike) == 1 else path


@contextmanager
def locked(out: Path, shard: str | None = None) -> Iterator[None]:
    """Lock a folder for one run, or for one run of each shard. The folder is made if it does not exist.

    The operating system ends a lock when its process ends, however it ends. So a file `lock` that a killed process left
    behind locks nothing.

    Raises:
        OutputError: another run works in the folder, or it cannot be made.
    """
    there = out.exists()
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        if not there:
            stack.callback(_removed_if_empty, out)
        try:
            _lock(stack, out / "lock", shared=shard is not None)
            if shard is not None:
                _lock(stack, out / f"lock.{shard.replace('/', '-')}", shared=False)
        except BlockingIOError as reason:
            raise OutputError(
                f"{out}: another run works here ({_holder(out)}); wait for it, or choose another `out`"
            ) from reason
        yield


def _lock(stack: contextlib.ExitStack, path: Path, *, shared: bool) -> None:
    try:
        import fcntl
    except ImportError:  # Windows has no such locks
        return
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)  # a run that wrote nothing may have removed it just now
        file = path.open("a+", encoding="utf-8", errors="replace")
    stack.callback(_closed, file)
    file.seek(0)
    if not (file.read(len(LOCK_WORD)) or LOCK_WORD).startswith(LOCK_WORD):
        raise OutputError(f"{path}: is a file of yours and no lock; move it, or choose another `out`")
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:  # some network disks have no locks
        return
    if not _same(file.fileno(), path):  # the run before deleted it between our two steps
        return _lock(stack, path, shared=shared)
    if not shared:
        stack.callback(_forget, path)
        with writing(path):
            file.truncate(0)
            file.write(
                f"{LOCK_WORD}{os.getpid()} on {socket.gethostname()} since {datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
            )
            file.flush()


def _closed(file: IO[str]) -> None:
    with contextlib.suppress(OSError):  # a full disk was said already
        file.close()


def _same(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _forget(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def _removed_if_empty(folder: Path) -> None:
    """Remove the folder of a run that wrote nothing."""
    with contextlib.suppress(OSError):
        folder.rmdir()


def _holder(out: Path) -> str:
    told = [path.read_text(encoding="utf-8", errors="replace").strip() for path in sorted(out.glob("lock*"))]
    return ", ".join(line for line in told if line) or "its process is unknown"
