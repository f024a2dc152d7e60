"""FLAC as recorders leave it: lengths that are unknown or wrong, files that break off, frames that are damaged.

The frames of FLAC (RFC 9639) carry their place in the sound. So the last frame tells the length, and sound behind a
damaged frame can be read in its place. libsndfile decodes; this module finds the frames.
"""

from __future__ import annotations

import io
import mmap
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import BinaryIO, Protocol

import numpy as np
import soundfile
from numpy.typing import NDArray

from whalefinder.sound.chunks import chunks
from whalefinder.sound.spliced import Spliced

Samples = NDArray[np.float32]
INFO_BYTES = 34
SYNC = re.compile(rb"\xff[\xf8\xf9]")  # 14 bits of ones and a zero, a reserved zero, and the kind of numbering
TAIL_BYTES = (1 << 16, 1 << 20, 1 << 24)  # one after the other, until a frame begins in them


class Bytes(Protocol):
    """Bytes, or a file in memory that is read like them."""

    def __len__(self) -> int: ...
    def __getitem__(self, part: slice, /) -> bytes: ...


@dataclass(frozen=True, kw_only=True)
class StreamInfo:
    """What the header of a FLAC file states. `frames`: samples per channel, 0 if not known; `begin`: of the sound."""

    channels: int
    rate_hz: int
    bits: int
    frames: int
    longest_block: int
    fixed: bool
    body: bytes
    begin: int


@dataclass(frozen=True)
class Frame:
    """A frame of FLAC: the byte at which it begins, its first sample and its number of samples."""

    at: int
    first: int
    length: int


def stream_info(file: BinaryIO) -> StreamInfo | None:
    """Read the header of a FLAC file, or None if it has none."""
    body, begin = b"", 0
    for block in chunks(file):
        if block.id == b"STRE" and not body:
            body = block.read(file, INFO_BYTES)
        begin = block.begin + block.size
    if len(body) < INFO_BYTES:
        return None
    file.seek(begin)
    if file.read(4) == b"fLaC":  # the header stands there twice
        begin += 4 + _header_bytes(file, begin)
    packed = int.from_bytes(body[10:18], "big")  # 20 bits rate, 3 channels - 1, 5 bits - 1, 36 samples
    shortest, longest = int.from_bytes(body[:2], "big"), int.from_bytes(body[2:4], "big")
    return StreamInfo(
        channels=(packed >> 41 & 7) + 1, rate_hz=packed >> 44, bits=(packed >> 36 & 31) + 1,
        frames=packed & ((1 << 36) - 1), longest_block=longest, fixed=shortest == longest, body=body, begin=begin,
    )  # fmt: skip


def _header_bytes(file: BinaryIO, at: int) -> int:
    """Bytes of the metadata blocks behind the letters fLaC at byte `at`."""
    passed = 0
    while True:
        file.seek(at + 4 + passed)
        head = file.read(4)
        if len(head) < 4:
            return passed
        passed += 4 + int.from_bytes(head[1:], "big")
        if head[0] & 128:
            return passed


def frames_in(data: Bytes, info: StreamInfo, begin: int = 0, end: int | None = None) -> Iterator[Frame]:
    """The frames whose headers stand in `data[begin:end]`. A header has a checksum of 8 bits and must fit the stream."""
    for found in SYNC.finditer(data, begin, len(data) if end is None else end):  # type: ignore[call-overload]
        frame = _frame(data[found.start() : found.start() + 16], found.start(), info)
        if frame is not None:
            yield frame


def _frame(head: bytes, at: int, info: StreamInfo) -> Frame | None:
    if len(head) < 6 or head[3] & 1:
        return None
    size_code, rate_code, channel_code, bits_code = head[2] >> 4, head[2] & 15, head[3] >> 4, head[3] >> 1 & 7
    channels = channel_code + 1 if channel_code < 8 else 2 if channel_code < 11 else 0
    bits = {0: info.bits, 1: 8, 2: 12, 4: 16, 5: 20, 6: 24, 7: 32}.get(bits_code)
    if size_code == 0 or rate_code == 15 or channels != info.channels or bits != info.bits:
        return None
    number, used = _coded_number(head[4:])
    at_end = 4 + used
    length, used = _block_length(size_code, head[at_end:])
    at_end += used + {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    if number is None or not length or at_end >= len(head) or _crc8(head[:at_end]) != head[at_end]:
        return None
    by_sample = bool(head[1] & 1)
    if not by_sample and not info.fixed:
        return None
    return Frame(at, number if by_sample else number * info.longest_block, length)


def _coded_number(text: bytes) -> tuple[int | None, int]:
    """A number in the code of UTF-8, stretched to 36 bits, and its bytes."""
    first = text[0]
    ones = 8 - (first ^ 0xFF).bit_length()
    if ones == 0:
        return first, 1
    if ones == 1 or ones > 7 or len(text) < ones or any(byte >> 6 != 2 for byte in text[1:ones]):
        return None, 0
    number = first & (0x7F >> ones)
    for byte in text[1:ones]:
        number = number << 6 | byte & 63
    return number, ones


def _block_length(code: int, behind: bytes) -> tuple[int, int]:
    """Samples of a block and the bytes that say so behind the number."""
    if code == 1:
        return 192, 0
    if code in (6, 7):
        return int.from_bytes(behind[: code - 5], "big") + 1, code - 5
    return (576 << code - 2, 0) if code < 6 else (256 << code - 8, 0)


def _crc8(text: bytes) -> int:
    """Checksum of a frame's header: polynomial x⁸ + x² + x + 1."""
    crc = 0
    for byte in text:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ 0x107) if crc & 128 else crc << 1
    return crc


def frames_there(file: BinaryIO, info: StreamInfo) -> tuple[int, bool]:
    """Samples per channel up to the end of the last whole frame (0 if there is none), and whether no part of one follows."""
    length = _end_of_bytes(file)
    for reach in TAIL_BYTES:
        at = max(info.begin, length - reach)
        file.seek(at)
        tail = file.read(max(0, length - at))
        found = list(frames_in(tail, info))
        ends = {frame.first + frame.length for frame in found}
        # Bytes of sound can look like a header. So the last one must follow another, or end where the header says, or decode.
        for last in reversed(found):
            whole = last.first + last.length == info.frames or _is_whole(tail[last.at :], info, last)
            if whole or last.first in ends:
                return last.first + (last.length if whole else 0), whole
        if at == info.begin:
            break
    return 0, False


def _end_of_bytes(file: BinaryIO) -> int:
    """Where the zeros begin that a file of a fixed size holds behind its sound; its length if there are none."""
    end, step = file.seek(0, os.SEEK_END), 1 << 16
    while end:
        begin = max(0, end - step)
        file.seek(begin)
        block = file.read(end - begin).rstrip(b"\0")
        if block:
            return begin + len(block) + 16  # a frame may end in zeros
        end, step = begin, min(2 * step, 1 << 24)
    return 0


def begins_whole(file: BinaryIO, info: StreamInfo) -> bool:
    """Whether the first frame of the sound stands directly behind the header."""
    file.seek(info.begin)
    frame = _frame(file.read(16), 0, info)
    return frame is not None and frame.first == 0


def _is_whole(data: bytes, info: StreamInfo, frame: Frame) -> bool:
    return decoded(data, info, frame.length) is not None


def decoded(data: bytes, info: StreamInfo, frames: int) -> Samples | None:
    """The samples `[time, channel]` of whole frames that follow each other, or None if one of them is damaged."""
    with suppress(soundfile.SoundFileError), opened(io.BytesIO(data), info, 0, frames) as sound:
        samples = sound.read(frames, dtype="float32", always_2d=True)
        return samples if len(samples) == frames else None
    return None


def opened(file: BinaryIO, info: StreamInfo, begin: int, frames: int) -> soundfile.SoundFile:
    """Open the frames from byte `begin` on as a FLAC file of `frames` samples per channel."""
    packed = int.from_bytes(info.body[10:18], "big") >> 36 << 36 | frames
    body = info.body[:4] + bytes(6) + packed.to_bytes(8, "big") + bytes(16)  # sizes of frames and the checksum unknown
    head = b"fLaC" + bytes([128]) + len(body).to_bytes(3, "big") + body
    return soundfile.SoundFile(Spliced(head, file, begin))


@dataclass
class FlacReader:
    """Reads a FLAC file in which frames are damaged or missing: zeros stand in their place, all others in theirs.

    Args:
        file: the file, opened for reading.
        info: its header.
        frames: samples per channel that are there (`frames_there`).
        damage: samples [begin, end) for which there are zeros. Reading adds to it.
    """

    file: BinaryIO
    info: StreamInfo
    frames: int
    damage: list[tuple[int, int]] = field(default_factory=list)

    @cached_property
    def _index(self) -> NDArray[np.int64]:
        """Byte, first sample and length of every frame, `[frame, 3]`, in their order."""
        with mmap.mmap(self.file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            flat = np.fromiter(
                (n for f in frames_in(data, self.info, self.info.begin) for n in (f.at, f.first, f.length)), np.int64
            )
        found = flat.reshape(-1, 3)
        # Bytes of sound can look like a header. Such a one leads on to no other and is reached from none.
        reached = np.isin(found[:, 1], found[:, 1:].sum(1)) | (found[:, 1] == 0)
        leads = np.isin(found[:, 1:].sum(1), found[:, 1]) | (found[:, 1:].sum(1) == self.frames)
        found = found[(reached | leads) & (found[:, 1:].sum(1) <= self.frames)]
        latest = np.maximum.accumulate(found[:, 1], axis=0) if len(found) else found[:, 1]
        return found[found[:, 1] == latest]

    def missing(self, begin: int, end: int) -> list[tuple[int, int]]:
        """Samples [first, last) of [begin, end) that belong to no frame of the file."""
        firsts, ends = self._index[:, 1], self._index[:, 1:].sum(1)
        gaps = zip([0, *ends.tolist()], [*firsts.tolist(), self.frames], strict=True)
        inside = ((max(begin, first), min(end, last)) for first, last in gaps)
        return [(first, last) for first, last in inside if first < last]

    def blocks(self, begin: int, end: int, size: int) -> Iterator[Samples]:
        """Blocks `[time, channel]` of the samples [begin, end), each of at most `size`."""
        end, at = min(end, self.frames), begin
        firsts, ends = self._index[:, 1], self._index[:, 1:].sum(1)
        k, most = int(np.searchsorted(ends, begin, "right")), max(1, size // max(1, self.info.longest_block))
        together = most
        while at < end:
            last = self._run(k, together)
            block = self._block(k, last) if k < last else None
            if block is None and last - k > 1:
                together = (last - k) // 2
                continue
            whole = block is not None
            first = max(at, min(end, int(firsts[k]))) if whole else min(end, int(ends[k]) if k < last else end)
            if at < first:
                self.damage.append((at, first))
                for zeros in range(at, first, size):
                    yield np.zeros((min(size, first - zeros), self.info.channels), np.float32)
            at = first
            if block is not None and at < end:
                part = block[at - int(firsts[k]) :][: end - at]
                yield part
                at += len(part)
            k, together = max(last, k + 1), min(most, 2 * together)

    def _run(self, k: int, together: int) -> int:
        """Index behind the last of up to `together` frames from `k` on that follow each other without a gap."""
        part = self._index[k : k + together]
        gaps = np.flatnonzero(part[1:, 1] != part[:-1, 1:].sum(1))
        return k + (int(gaps[0]) + 1 if len(gaps) else len(part))

    def _block(self, k: int, last: int) -> Samples | None:
        begin, end = int(self._index[k, 0]), int(self._index[last, 0]) if last < len(self._index) else None
        self.file.seek(begin)
        data = self.file.read(-1 if end is None else end - begin)
        return decoded(data, self.info, int(self._index[k:last, 2].sum()))
