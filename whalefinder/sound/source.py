"""Opening one sound file, and reading its samples in blocks, whatever its header says.

Whole files with right headers are read by libsndfile as they are. Where a header is wrong, `layout` and `flac` say where
the sound lies, and libsndfile decodes it there.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
from numpy.typing import NDArray

from whalefinder.errors import RecordingError
from whalefinder.files import sound_path
from whalefinder.sound.flac import FlacReader, StreamInfo, begins_whole, frames_there, opened, stream_info
from whalefinder.sound.layout import Layout, layout_of, raw_sound
from whalefinder.sound.spliced import Spliced

Samples = NDArray[np.float32]
READABLE = "WAV, W64, RF64, BW64, AIFF and FLAC can be read"
MAX_FRAMES = 1 << 48
"""More samples than a file can hold. libsndfile gives a larger number where it does not know."""
OTHERS = (
    (b"PK\x03\x04", "a ZIP archive"), (b"\x1f\x8b", "a gzip archive"), (b"7z\xbc\xaf", "a 7-Zip archive"),
    (b"%PDF", "a PDF document"), (b"\x89PNG", "a picture"), (b"\xff\xd8\xff", "a picture"), (b"<", "a web page or XML"),
    (b"{", "a JSON document"), (b"SQLite format 3", "a database"), (b"\x89HDF", "an HDF5 file"),
    (b"version https://git-lfs", "a Git LFS pointer to a sound, not the sound"), (b"CDF", "a netCDF file"),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Source:
    """One sound file.

    Args:
        path: the file.
        channels, rate_hz: as its header says.
        frames: samples per channel that are there, whatever the header says.
        layout: where the sound lies, for uncompressed files with a wrong header.
        info: the header of a FLAC file.
        lies: whether the header is wrong.
        remarks: lines about the header, if nothing is lost.
        problems: lines about what is lost.
        damage: samples [begin, end) that cannot be decoded; zeros stand in their place. Reading adds to it.
    """

    path: Path
    channels: int
    rate_hz: int
    frames: int
    layout: Layout | None = None
    info: StreamInfo | None = None
    lies: bool = False
    remarks: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    damage: list[tuple[int, int]] = field(default_factory=list)

    def blocks(self, begin: int, end: int, size: int) -> Iterator[Samples]:
        """Blocks `[time, channel]` of the samples [begin, end): all but the last have `size` samples.

        Raises:
            OSError, soundfile.SoundFileError: the file cannot be read any further.
        """
        with self.path.open("rb") as file:
            yield from _even(self._pieces(file, begin, min(end, self.frames), size), size)

    def _pieces(self, file: BinaryIO, begin: int, end: int, size: int) -> Iterator[Samples]:
        at, empty = begin, False
        try:
            if self.info is not None and not begins_whole(file, self.info):
                raise soundfile.SoundFileError("the first frame is missing")  # libsndfile would begin with the second
            with self._opened(file) as sound:
                if begin:
                    sound.seek(begin)
                while at < end:
                    part = sound.read(min(size, end - at), dtype="float32", always_2d=True)
                    if not len(part):
                        break
                    yield part if self.layout is None or self.layout.gain == 1 else part * np.float32(self.layout.gain)
                    at += len(part)
                    empty = empty or (self.info is not None and _holds_zeros(part, self.info.longest_block))
        except soundfile.SoundFileError:
            if self.info is None:
                raise
        if at < end and self.info is not None:
            yield from FlacReader(file, self.info, self.frames, self.damage).blocks(at, end, size)
        elif empty and self.info is not None:  # silence, or frames that are missing: libsndfile gives zeros for both
            self.damage.extend(FlacReader(file, self.info, self.frames).missing(begin, at))

    @contextmanager
    def _opened(self, file: BinaryIO) -> Iterator[soundfile.SoundFile]:
        if self.layout is not None:
            with raw_sound(
                Spliced(b"", file, self.layout.begin, self.layout.begin + self.frames * self.layout.block), self.layout
            ) as sound:
                yield sound
        elif self.lies and self.info is not None:
            with opened(file, self.info, self.info.begin, self.frames) as sound:
                yield sound
        else:
            with soundfile.SoundFile(sound_path(self.path)) as sound:
                yield sound


def open_source(path: Path) -> Source:
    """Find out what a sound file holds, by its header, by its size and by its last bytes.

    Raises:
        RecordingError: there is no such file, or it holds no sound that can be read.
    """
    if path.is_dir():
        raise RecordingError(f"{path}: is a folder; give the recordings in it, for example {path}/*.wav")
    try:
        if path.stat().st_size == 0:
            raise RecordingError(f"{path}: is empty (0 bytes); leave it out or copy it again")
        with path.open("rb") as file:
            layout, info = layout_of(file), stream_info(file)
            if info is not None:
                return _of_flac(path, file, info)
    except FileNotFoundError as reason:
        raise RecordingError(f"{path}: no such file; check the path") from reason
    except OSError as reason:
        raise RecordingError(f"{path}: cannot be read ({reason.strerror or reason}); check the disk") from reason
    if layout is None:
        return _of_libsndfile(path)
    lies = not layout.is_honest or _frames_by_libsndfile(path) != layout.frames
    return Source(
        path=path, channels=layout.channels, rate_hz=layout.rate_hz, frames=layout.frames,
        layout=layout if lies else None, lies=not layout.is_honest, remarks=layout.remarks,
        problems=(layout.lost,) if layout.lost else (),
    )  # fmt: skip


def _of_flac(path: Path, file: BinaryIO, info: StreamInfo) -> Source:
    there, whole = frames_there(file, info)
    if not there or not info.rate_hz:
        raise RecordingError(f"{path}: a FLAC header without a whole frame of sound behind it; copy it again")
    another = _another_begins(file, info) if there != info.frames else 0
    if another and info.frames:
        there = info.frames  # the last frame is not of this file
    seconds, stated = there / info.rate_hz, info.frames / info.rate_hz
    what = f"promises {stated:.1f} s of sound" if info.frames else "does not say how long the sound is"
    cut = info.frames > there and info.frames != 2 * there  # some programs count the samples of both channels
    broken = "" if whole else ", and the sound breaks off"
    problems = (f"truncated, {seconds:.1f} s of the {stated:.1f} s that its header promises",) if cut else ()
    if another:
        problems = (*problems, f"another FLAC file begins inside it, at byte {another}, and is not read; cut it there")
    lies = there != info.frames
    return Source(
        path=path, channels=info.channels, rate_hz=info.rate_hz, frames=there, info=info, lies=lies,
        remarks=(f"its header {what}{broken}; all {seconds:.1f} s are read",) if lies and not cut else (),
        problems=problems,
    )  # fmt: skip


def _another_begins(file: BinaryIO, info: StreamInfo) -> int:
    """The byte at which another FLAC file begins behind the first frame, or 0."""
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return max(0, data.find(b"fLaC\0\0\0\x22", info.begin))


def _holds_zeros(part: Samples, length: int) -> bool:
    """Whether samples hold zeros for so long, by a look at few of them."""
    silent = np.logical_not(part[:: max(1, length // 3)].any(axis=1, keepdims=True)).ravel()
    return bool((silent[1:] & silent[:-1]).any())


def _of_libsndfile(path: Path) -> Source:
    """A file of another kind that libsndfile reads: compressed WAV, CAF, AU or Ogg."""
    try:
        sound = soundfile.info(sound_path(path))
        frames = sound.frames if 0 <= sound.frames < MAX_FRAMES else _counted(path)
    except (soundfile.SoundFileError, OSError, TypeError) as reason:
        with path.open("rb") as file:
            head = file.read(32)
        kind = next((words for magic, words in OTHERS if head.lstrip().startswith(magic)), None)
        said = str(reason).rpartition(":")[2].strip(" .") or "it makes no sense"
        what = f"is {kind}" if kind else f"unreadable header ({said}; the file begins with {head[:8].hex(' ')})"
        raise RecordingError(f"{path}: {what}; {READABLE}") from reason
    return Source(path=path, channels=sound.channels, rate_hz=sound.samplerate, frames=frames)


def _frames_by_libsndfile(path: Path) -> int | None:
    try:
        return int(soundfile.info(sound_path(path)).frames)
    except (soundfile.SoundFileError, OSError, TypeError):
        return None


def _counted(path: Path) -> int:
    frames = 0
    with soundfile.SoundFile(sound_path(path)) as sound:
        while part := len(sound.read(1 << 16, dtype="float32", always_2d=True)):
            frames += part
    return frames


def _even(pieces: Iterator[Samples], size: int) -> Iterator[Samples]:
    """The same samples in blocks of `size`; the last one is shorter."""
    waiting: list[Samples] = []
    count = 0
    for piece in pieces:
        if not waiting and len(piece) == size:
            yield piece
            continue
        waiting.append(piece)
        count += len(piece)
        while count >= size:
            joined = np.concatenate(waiting)
            yield joined[:size]
            waiting, count = ([joined[size:]] if count > size else []), count - size
    if waiting:
        yield np.concatenate(waiting)
