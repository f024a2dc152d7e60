"""Finding and opening recordings in folders on this machine or at fsspec addresses such as s3://bucket/prefix."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from whalefinder.archive.units import File
from whalefinder.array.geometry import HydrophoneArray
from whalefinder.errors import OptionError, RecordingError
from whalefinder.optional import needs
from whalefinder.sound.recorders import Times
from whalefinder.sound.recording import Recording, open_recording
from whalefinder.sound.source import open_source
from whalefinder.words import printable

SUFFIXES = (".wav", ".wave", ".w64", ".rf64", ".bw64", ".flac", ".aif", ".aiff", ".aifc")
TEMPORARY = re.compile(r"^[.~]|~$|^(@eaDir|lost\+found|\$RECYCLE\.BIN|System Volume Information)$")
STAMPS = ("ETag", "etag", "md5Hash", "LastModified", "last_modified", "mtime")  # names of a file's version on servers
HEAD_BYTES = (1 << 18, 1 << 23)  # enough for a header; the second for recorders that write much before the sound
TAIL_BYTES = 1 << 18  # the last frames of FLAC, which tell its length

MARK_BYTES = 1 << 16  # about as much as the disk reads for the header anyway


def is_remote(place: str) -> bool:
    """Whether a place is an address for fsspec, and not a path on this machine."""
    return "://" in place


def find_files(folder: str, leave_out: Path | None = None) -> list[File]:
    """Sound files below a folder in the order of their paths, without hidden and temporary ones and `leave_out`.

    Raises:
        RecordingError: the folder does not exist, or it cannot be listed.
        OptionError: the library for the address is not installed.
    """
    if folder.startswith("file://"):
        folder = folder.removeprefix("file://")
    found = _find_remote(folder) if is_remote(folder) else _find_local(Path(folder), leave_out)
    return sorted(found, key=lambda file: file.name)


def _is_sound(name: str) -> bool:
    return name.lower().endswith(SUFFIXES) and not any(map(TEMPORARY.search, name.split("/")))


def _find_local(folder: Path, leave_out: Path | None) -> Iterator[File]:
    folder = Path(os.path.abspath(folder))  # noqa: PTH100 (resolve() would follow links, and names would change)
    if folder.is_file():
        status = folder.stat()
        yield File(str(folder), folder.name, status.st_size, str(status.st_mtime_ns))
        return
    if not folder.is_dir():
        raise RecordingError(f"{folder}: no such folder; check the path, is the disk mounted?")
    closed: list[Path] = []
    visited = set()  # folders that were listed: a link may lead back to a folder above it

    def unlistable(reason: OSError) -> None:
        if Path(reason.filename) == folder:
            raise RecordingError(f"{folder}: cannot be listed ({reason.strerror}); check its permissions") from reason
        closed.append(Path(reason.filename))

    for root, folders, names in os.walk(folder, onerror=unlistable, followlinks=True):
        here = Path(root).stat()
        if (here.st_dev, here.st_ino) in visited:
            folders.clear()
            continue
        visited.add((here.st_dev, here.st_ino))
        # In order, so that a folder with several links to it is always found by the same link.
        folders[:] = [f for f in sorted(folders) if not TEMPORARY.search(f) and Path(root, f) != leave_out]
        yield from (_local_file(Path(root, name), folder) for name in names if _is_sound(name))
    yield from (_local_file(path, folder) for path in closed)


def _local_file(path: Path, folder: Path) -> File:
    name = printable(path.relative_to(folder).as_posix())
    try:
        status = path.stat()
    except OSError:  # a link to nowhere, or no permission: listed as unreadable when it is opened
        return File(str(path), name, 0, "")
    return File(str(path), name, status.st_size, str(status.st_mtime_ns))


def _find_remote(address: str) -> Iterator[File]:
    system, root = _system(address)
    try:
        found = system.find(root, detail=True)
    except Exception as reason:  # every back end has errors of its own
        raise RecordingError(
            f"{address}: cannot be listed ({_said(reason)}); check address and credentials"
        ) from reason
    if not found:
        raise RecordingError(f"{address}: nothing there; check the address")
    for path, about in found.items():
        name = path.removeprefix(root).strip("/") or path.rsplit("/", 1)[-1]
        if _is_sound(name):
            about = about if about.get("size") is not None else system.info(path)
            yield File(system.unstrip_protocol(path), name, int(about.get("size") or 0), _stamp(about))


def _system(address: str) -> tuple[Any, str]:
    needs("fsspec", what=address)
    import fsspec

    try:
        system, path = fsspec.core.url_to_fs(address)
    except Exception as reason:  # every back end has errors of its own
        raise OptionError(f"{address}: {_said(reason)}; s3:// needs pip install 'whalefinder[archive]'") from reason
    return system, path


def _stamp(about: dict[str, Any]) -> str:
    return next((str(about[name]) for name in STAMPS if about.get(name)), "")


def _said(reason: Exception) -> str:
    return " ".join(str(reason).split()) or type(reason).__name__


def check_unchanged(file: File) -> None:
    """Check that a file is still the same as in the plan.

    Raises:
        RecordingError: the file is gone, or its size or its time of change is different.
    """
    size, stamp = _now(file)
    if (size, stamp) != (file.size, file.stamp):
        what = f"{file.size} bytes, now {size}" if size != file.size else "written to since the plan was made"
        raise RecordingError(f"{file.url}: changed ({what}); its results are not kept; run again when it is complete")


def _now(file: File) -> tuple[int, str]:
    try:
        if not is_remote(file.url):
            status = Path(file.url).stat()
            return status.st_size, str(status.st_mtime_ns)
        system, path = _system(file.url)
        system.invalidate_cache()
        about = system.info(path)
        return int(about.get("size") or 0), _stamp(about)
    except OptionError:
        raise
    except FileNotFoundError as reason:
        raise RecordingError(f"{file.url}: has disappeared; run again when it is back") from reason
    except Exception as reason:  # every back end has errors of its own
        raise RecordingError(f"{file.url}: cannot be reached ({_said(reason)}); run again when it can") from reason


def open_files(files: list[File], array: HydrophoneArray | None, times: Times) -> tuple[Recording, tuple[str, ...]]:
    """Open a recording by the headers of its files, and compute a hash of the first bytes of each file.

    Of files at an address only the first and the last bytes are fetched, unless their header is wrong. The paths of such
    a recording do not exist any more when this function returns.

    Raises:
        RecordingError: as `open_recording`, or a file cannot be fetched.
    """
    if not is_remote(files[0].url):
        recording = open_recording(Path(files[0].url), array, times=times)
        return recording, tuple(map(_mark, recording.paths))
    for head in (*HEAD_BYTES, None):
        with tempfile.TemporaryDirectory(prefix="whalefinder-") as folder:
            try:
                stand_ins = [_stand_in(file, Path(folder), head) for file in files]
                # Where a header is wrong, the sound itself must tell how much there is.
                if head is None or not any(open_source(path).lies for path in stand_ins):
                    recording = open_recording(stand_ins[0], array, times=times, place=files[0].url)
                    return recording, tuple(map(_mark, recording.paths))
            except RecordingError as reason:
                message = str(reason).replace(f"{folder}{os.sep}", files[0].url.rpartition("/")[0] + "/")
                if "unreadable header" not in message or head is None or files[0].size <= head:
                    raise RecordingError(message) from reason
    raise AssertionError("the whole files return or raise")


def _mark(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.sha256(file.read(MARK_BYTES)).hexdigest()[:16]


def _stand_in(file: File, folder: Path, head: int | None) -> Path:
    """A local file with the size, the first and the last bytes of a distant one, or a copy of it if `head` is None."""
    path = folder / file.url.rsplit("/", 1)[-1]
    system, distant = _system(file.url)
    try:
        if head is None or file.size <= head + TAIL_BYTES:
            system.get_file(distant, str(path))
            return path
        path.write_bytes(system.cat_file(distant, start=0, end=head))
        os.truncate(path, file.size)
        with path.open("r+b") as local:
            local.seek(file.size - TAIL_BYTES)
            local.write(system.cat_file(distant, start=file.size - TAIL_BYTES, end=file.size))
    except Exception as reason:  # every back end has errors of its own
        raise RecordingError(f"{file.url}: cannot be fetched ({_said(reason)}); run again when it can") from reason
    return path


KEPT = 3
"""Number of distant recordings that are kept on this disk. Units overlap, so up to three units need a recording."""


class Cache:
    """Copies of distant files on this disk, of the last `KEPT` recordings. They are deleted when the process ends."""

    def __init__(self) -> None:
        self._folders: dict[tuple[File, ...], tempfile.TemporaryDirectory[str]] = {}

    @contextmanager
    def local(self, files: tuple[File, ...]) -> Iterator[tuple[Path, ...]]:
        """Give local paths to read. Before and after, it checks that the files are the same as in the plan.

        Raises:
            RecordingError: a file is gone, has changed, or cannot be fetched.
        """
        for file in files:
            check_unchanged(file)
        if is_remote(files[0].url):
            yield self._fetched(files)
            return  # a complete copy does not change any more
        yield tuple(Path(file.url) for file in files)
        for file in files:
            check_unchanged(file)

    def _fetched(self, files: tuple[File, ...]) -> tuple[Path, ...]:
        folder = self._folders.pop(files, None)
        if folder is None:
            while len(self._folders) >= KEPT:
                self._folders.pop(next(iter(self._folders))).cleanup()
            folder = tempfile.TemporaryDirectory(prefix=f"{_here()}{os.getpid()}-", ignore_cleanup_errors=True)
            try:
                for file in files:
                    _fetch(file, Path(folder.name))
            except BaseException:
                folder.cleanup()
                raise
        self._folders[files] = folder  # the latest is last
        return tuple(Path(folder.name) / file.url.rsplit("/", 1)[-1] for file in files)

    def clear(self) -> None:
        """Delete all copies."""
        for folder in self._folders.values():
            folder.cleanup()
        self._folders.clear()


def _here() -> str:
    # With the name of the machine: machines may share a temporary folder and use the same process numbers.
    return f"whalefinder-{socket.gethostname()}-"


def _fetch(file: File, folder: Path) -> None:
    """Copy a distant file to this disk. It gets its name when it is complete."""
    system, distant = _system(file.url)
    path = folder / file.url.rsplit("/", 1)[-1]
    part = path.with_name(path.name + ".part")
    try:
        system.get_file(distant, str(part))
    except Exception as reason:  # every back end has errors of its own
        raise RecordingError(f"{file.url}: cannot be fetched ({_said(reason)}); run again when it can") from reason
    check_unchanged(file)
    if part.stat().st_size != file.size:
        raise RecordingError(f"{file.url}: {part.stat().st_size} of {file.size} bytes came; run again")
    part.rename(path)


def sweep_caches() -> None:
    """Delete copies that were left by killed processes on this machine."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_here()}*-*"):
        owner = folder.name.removeprefix(_here()).split("-")[0]
        if owner.isdigit() and not _lives(int(owner)):
            shutil.rmtree(folder, ignore_errors=True)


def _lives(process: int) -> bool:
    if os.name != "posix":  # on other systems signal 0 does not ask, it acts
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
