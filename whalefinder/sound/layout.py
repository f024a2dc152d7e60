"""Where the sound of an uncompressed file lies and how much of it there is, whatever the header says.

Recorders that lose power leave sizes of 0, programs that write into a pipe leave the largest number there is, 32 bits
wrap at 4 GB, copies break off. The size of the file and what stands behind the sound tell the truth.
"""

from __future__ import annotations

import io
import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

import numpy as np
import soundfile
from numpy.typing import NDArray

from whalefinder.sound.chunks import Chunk, chunks, walk, walk_w64
from whalefinder.sound.spliced import Spliced

PCM, FLOAT, ALAW, ULAW, EXTENSIBLE = 1, 3, 6, 7, 0xFFFE  # format tags of WAV
WAV_SUBTYPES = {
    (PCM, 1): "PCM_U8", (PCM, 2): "PCM_16", (PCM, 3): "PCM_24", (PCM, 4): "PCM_32",
    (FLOAT, 4): "FLOAT", (FLOAT, 8): "DOUBLE", (ALAW, 1): "ALAW", (ULAW, 1): "ULAW",
}  # fmt: skip
AIFF_INTEGERS = {1: "PCM_S8", 2: "PCM_16", 3: "PCM_24", 4: "PCM_32"}
AIFF_OTHERS = {
    b"fl32": "FLOAT",
    b"FL32": "FLOAT",
    b"fl64": "DOUBLE",
    b"FL64": "DOUBLE",
    b"ulaw": "ULAW",
    b"alaw": "ALAW",
}
AIFF_LITTLE = (b"sowt", b"42ni", b"23ni")
WIDTHS = {"FLOAT": 4, "DOUBLE": 8, "ULAW": 1, "ALAW": 1}
UNCLOSED = (2**31 - 2**16, 2**31 + 2**16, 2**32 - 2**16, 2**32)
"""Sizes in these two ranges are what programs write before they know better, not the size of a sound."""
W64_BEHIND = (b"levl", b"fact", b"LIST", b"list", b"bext", b"junk", b"mark", b"summ")
KNOWN_BEHIND = {
    b"LIST",
    b"bext",
    b"id3 ",
    b"ID3 ",
    b"iXML",
    b"_PMX",
    b"cue ",
    b"smpl",
    b"guan",
    b"wamd",
    b"fact",
    b"PEAK",
    b"harp",
}
"""Chunks that are written behind the sound."""
MAX_CHANNELS = 1024  # libsndfile's limit
SHORT_S = 0.1  # a shortage below this loses nothing that matters: headers that count themselves, rounded clusters
EMPTY = 64  # bytes; so little sound is a size that was never filled in, and nothing else but sound can follow it
TAIL_BYTES, LOOK_BYTES = 1 << 16, 1 << 18
LOOK_S = 0.5  # seconds of sound on both sides of a stated end that are compared
ALIKE = 10.0  # factor in level, and in level of the differences, between sound and its continuation
LARGEST = 1e12
NOISE_LEVEL = 0.4  # bytes that are no sound have a higher r.m.s. than this when read as such; white noise has 0.58


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The sound of an uncompressed file.

    Args:
        container: WAV, RF64, BW64, W64 or AIFF.
        subtype: libsndfile's name of how a sample is written, such as PCM_24.
        endian: LITTLE or BIG.
        channels, rate_hz: as the header says.
        begin: byte at which the sound begins.
        width: bytes of a sample.
        valid_bits: bits of them that hold the value.
        promised: samples per channel that the header states.
        frames: samples per channel that are there.
        gain: factor for all samples, for samples that stand in the lower bits of wider ones.
        remarks: what is said of the file although nothing is lost, one line each.
        lost: one line if sound is lost, or "".
    """

    container: str
    subtype: str
    endian: str
    channels: int
    rate_hz: int
    begin: int
    width: int
    valid_bits: int
    promised: int
    frames: int = 0
    gain: float = 1.0
    remarks: tuple[str, ...] = ()
    lost: str = ""

    @property
    def block(self) -> int:
        """Bytes of one sample of every channel."""
        return self.width * self.channels

    @property
    def is_big(self) -> bool:
        """Whether sizes and samples have their highest byte first."""
        return self.container == "AIFF" or self.endian == "BIG"

    @property
    def is_honest(self) -> bool:
        """Whether the header says how the sound is, so that any program can read it."""
        return self.promised == self.frames and self.gain == 1.0


def layout_of(file: BinaryIO) -> Layout | None:
    """The layout of a file's sound. None if it is compressed, or no WAV, RF64, BW64, W64 or AIFF file.

    Args:
        file: opened for reading; its position is changed.
    """
    file.seek(0)
    head = file.read(12)
    found: dict[bytes, Chunk] = {}
    for chunk in chunks(file):
        found.setdefault(chunk.id, chunk)
        if found.keys() & {b"data", b"SSND"} and found.keys() & {b"fmt ", b"COMM"}:
            break
    if head[:4] == b"FORM":
        stated, size = _of_aiff(file, found)
    else:
        stated, size = _of_wav(file, found, head)
    if stated is None or not (0 < stated.channels <= MAX_CHANNELS and 0 < stated.rate_hz < 2**31):
        return None
    return _justified(file, _measured(file, stated, size))


def _of_wav(file: BinaryIO, found: dict[bytes, Chunk], head: bytes) -> tuple[Layout | None, int]:
    """The layout as the header states it, and the size of the sound in bytes. `frames` is not known yet."""
    if b"fmt " not in found or b"data" not in found:
        return None, 0
    order = ">" if head[:4] == b"RIFX" else "<"
    body, data = found[b"fmt "].read(file, 64), found[b"data"]
    if len(body) < 16:
        return None, 0
    tag, channels, rate, _, block, bits = struct.unpack(order + "HHIIHH", body[:16])
    valid = bits
    if tag == EXTENSIBLE and len(body) < 26:
        tag = PCM  # what is usual; the header breaks off before it says so
    elif tag == EXTENSIBLE:
        valid, tag = struct.unpack(order + "H", body[18:20])[0], struct.unpack(order + "H", body[24:26])[0]
    width = (bits + 7) // 8
    if channels and block % channels == 0 and 8 * (block // channels) >= bits:
        width = block // channels
    subtype = WAV_SUBTYPES.get((tag, width))
    if subtype is None:
        return None, 0
    container = {b"RF64": "RF64", b"BW64": "BW64", b"riff": "W64"}.get(head[:4], "WAV")
    layout = Layout(
        container=container, subtype=subtype, endian="BIG" if order == ">" else "LITTLE", channels=channels,
        rate_hz=rate, begin=data.begin, width=width, valid_bits=valid, promised=data.size // max(1, width * channels),
    )  # fmt: skip
    return layout, data.size


def _of_aiff(file: BinaryIO, found: dict[bytes, Chunk]) -> tuple[Layout | None, int]:
    if b"COMM" not in found or b"SSND" not in found:
        return None, 0
    comm, sound = found[b"COMM"].read(file, 22), found[b"SSND"]
    file.seek(sound.begin)
    offset = file.read(4)
    if len(comm) < 18 or len(offset) < 4:
        return None, 0
    channels, frames, bits = struct.unpack(">hIh", comm[:8])
    kind = comm[18:22] or b"NONE"
    subtype = AIFF_OTHERS.get(kind) or AIFF_INTEGERS.get((bits + 7) // 8)
    if subtype is None or kind not in (b"NONE", b"twos", b"in24", b"in32", *AIFF_LITTLE, *AIFF_OTHERS):
        return None, 0
    skipped = int.from_bytes(offset, "big")
    width = WIDTHS.get(subtype, (bits + 7) // 8)
    size = max(0, sound.size - 8 - skipped)
    if 0 < frames * width * channels < size:
        size = frames * width * channels
    layout = Layout(
        container="AIFF", subtype=subtype, endian="LITTLE" if kind in AIFF_LITTLE else "BIG", channels=channels,
        rate_hz=_extended(comm[8:18]), begin=sound.begin + 8 + skipped, width=width, valid_bits=bits,
        promised=size // max(1, width * channels),
    )  # fmt: skip
    return layout, size


def _extended(ten: bytes) -> int:
    """A sample rate in AIFF's floating point of 80 bits: 15 bits of exponent, 64 of mantissa. 0 if it is none."""
    exponent, mantissa = struct.unpack(">HQ", ten)
    power = exponent - 16383 - 63
    return round(mantissa * 2.0**power) if -64 < power < 0 else 0


def _measured(file: BinaryIO, stated: Layout, size: int) -> Layout:
    """The layout with the number of samples that are there, and with what is to be said about the header."""
    left = file.seek(0, os.SEEK_END) - stated.begin
    if left <= 0:
        return stated
    there, lost, remark = _extent(file, stated, size, left)
    return replace(
        stated,
        frames=there // stated.block,
        lost=lost,
        remarks=(*stated.remarks, remark) if remark else stated.remarks,
    )


def _extent(file: BinaryIO, stated: Layout, size: int, left: int) -> tuple[int, str, str]:
    """Bytes of sound, a line about what is lost, and a line about a wrong header. `left` bytes follow the header."""
    second = stated.block * stated.rate_hz
    left = _sound_end(file, stated, left) if size != left else left
    if size >= left:
        if size == left or size - left < stated.block:
            return left, "", ""
        if _is_unclosed(size):
            return left, "", f"was never closed; all {left / second:.1f} s of sound behind its header are read"
        if (size - left) / second < SHORT_S or size - left <= stated.begin:
            missing = size - left
            return (
                left,
                "",
                f"its header promises {missing} bytes more than there are; all {left / second:.1f} s are read",
            )
        lost = f"truncated, {left / second:.1f} s of the {size / second:.1f} s that its header promises"
        return left, lost, ""
    if _ends_well(file, stated, stated.begin + size):
        return size, "", ""
    if size <= EMPTY:
        return left, "", _more(size, left, second)
    wrapped = size + (left - size) // 2**32 * 2**32
    if wrapped > size and _ends_well(file, stated, stated.begin + wrapped):
        return wrapped, "", _more(size, wrapped, second)
    return _behind(file, stated, size, left)


def _behind(file: BinaryIO, stated: Layout, size: int, left: int) -> tuple[int, str, str]:
    """The same for a file that goes on behind the stated end of its sound with something that is no chunk."""
    second, cut = stated.block * stated.rate_hz, size // stated.block * stated.block
    if _is_zero(file, stated.begin + size):
        return size, "", f"{left - size} bytes of zeros follow the sound that its header promises; they are not read"
    look = max(1, round(LOOK_S * stated.rate_hz)) * stated.block
    before = decoded(file, stated, stated.begin + max(0, cut - look), min(cut, look))
    for share in (0.0, 0.1, 0.5, 0.9):
        at = cut + int(share * (left - cut)) // stated.block * stated.block
        if _goes_on(before, decoded(file, stated, stated.begin + at, min(left - at, look))):
            return left, "", _more(size, left, second)
    remark = (
        f"{left - size} bytes follow the sound that its header promises and do not sound like it; they are not read"
    )
    return size, "", remark


def _more(size: int, there: int, second: int) -> str:
    return f"its header is wrong: it promises {size / second:.1f} s of sound; all {there / second:.1f} s are read"


def _is_unclosed(size: int) -> bool:
    first, last, second, third = UNCLOSED
    return first <= size <= last or second <= size <= third or size >= 2**62


def _sound_end(file: BinaryIO, stated: Layout, left: int) -> int:
    """How many bytes behind the header are sound, where its size is not known: chunks at the end of the file are none."""
    length = file.seek(0, os.SEEK_END)
    first = max(stated.begin, length - TAIL_BYTES)
    file.seek(first)
    tail = file.read()
    names = b"|".join(map(re.escape, (*KNOWN_BEHIND, *W64_BEHIND)))
    for found in re.finditer(names, tail):
        end = at = first + found.start()
        for chunk in _walked(file, stated, at):
            end = chunk.begin + chunk.size
        if at < end and 0 <= length - end <= 7:
            return at - stated.begin
    return left


def _walked(file: BinaryIO, stated: Layout, at: int) -> Iterator[Chunk]:
    """The chunks from byte `at` on."""
    return walk_w64(file, at) if stated.container == "W64" else walk(file, at, ">" if stated.is_big else "<")


def _ends_well(file: BinaryIO, stated: Layout, at: int) -> bool:
    """Whether the file ends at byte `at`, or has chunks there."""
    length = file.seek(0, os.SEEK_END)
    if length - at <= (7 if stated.container == "W64" else 1):  # bytes that fill up the last chunk
        return True
    starts = ((at + 7) // 8 * 8,) if stated.container == "W64" else (at, at + 1)
    for start in starts:  # chunks of WAV begin at even bytes, but not all programs know
        end = start
        for chunk in _walked(file, stated, start):
            if chunk.id in KNOWN_BEHIND or chunk.id in W64_BEHIND:
                return True
            end = chunk.begin + chunk.size
        if start < end and 0 <= length - end <= 1:
            return True
    return False


def _is_zero(file: BinaryIO, at: int) -> bool:
    length = file.seek(0, os.SEEK_END)
    for place in np.linspace(at, max(at, length - LOOK_BYTES), 64).astype(int).tolist():
        file.seek(place)
        block = file.read(LOOK_BYTES)
        if block.count(0) != len(block):
            return False
    return True


def _goes_on(before: NDArray[Any], behind: NDArray[Any]) -> bool:
    """Whether samples `[time, channel]` sound like what was before them, or at least like a sound."""
    if len(behind) < 2 or not _is_sound(behind):
        return False
    level = _levels(behind)
    if len(before) < 256 or not _is_sound(before):
        return bool(
            level[0] < NOISE_LEVEL or level[1] < level[0]
        )  # bytes that are no sound differ by more than they swing
    ratio = level / np.maximum(_levels(before), 1e-12)
    return bool(((ratio < ALIKE) & (ratio > 1 / ALIKE)).all())


def _is_sound(samples: NDArray[Any]) -> bool:
    """Whether all values are numbers of a size that sound can have, and not all the same."""
    return bool((np.abs(samples) < LARGEST).all() and np.ptp(samples))


def _levels(samples: NDArray[Any]) -> NDArray[np.float64]:
    """R.m.s. of the samples and of their differences."""
    values = samples.astype(np.float64)
    return np.sqrt([np.mean(values**2), np.mean(np.diff(values, axis=0) ** 2)])


def _justified(file: BinaryIO, layout: Layout) -> Layout:
    """The layout with the gain that integers need which stand in the lower bits of wider ones.

    The standard asks for the upper bits. Samples that use the bits below, and none of the highest, stand low.
    """
    valid, spare = layout.valid_bits, 8 * layout.width - layout.valid_bits
    if not layout.subtype.startswith("PCM") or layout.width == 1 or valid < 8 or spare < 8:
        return layout
    low, highest = False, 0
    left = file.seek(0, os.SEEK_END) - layout.begin
    for share in np.linspace(0, 1, 64, endpoint=False):
        at = layout.begin + int(share * left) // layout.block * layout.block
        values = decoded(file, layout, at, 4096 * layout.block, np.int32).astype(np.int64) >> (32 - 8 * layout.width)
        low |= bool((values & ((1 << spare) - 1)).any())
        highest = max(highest, int(np.abs(values).max(initial=0)))
    if not low or highest > 1 << (valid - 1):
        return layout
    remark = f"its samples of {valid} bits stand in the lower bits of {8 * layout.width}; they are read {spare * 6.02:.0f} dB louder"
    return replace(layout, gain=float(1 << spare), remarks=(*layout.remarks, remark))


def decoded(file: BinaryIO, layout: Layout, at: int, size: int, dtype: type = np.float32) -> NDArray[Any]:
    """Samples `[time, channel]` of `size` bytes from byte `at` on."""
    file.seek(at)
    raw = file.read(max(0, size))
    raw = raw[: len(raw) // layout.block * layout.block]
    if not raw:
        return np.zeros((0, layout.channels), dtype)
    with raw_sound(io.BytesIO(raw), layout) as sound:
        return sound.read(dtype=np.dtype(dtype).name, always_2d=True)


def raw_sound(file: BinaryIO | Spliced, layout: Layout) -> soundfile.SoundFile:
    """A file that holds nothing but samples, opened with libsndfile."""
    return soundfile.SoundFile(
        file, format="RAW", subtype=layout.subtype, endian=layout.endian, channels=layout.channels, samplerate=layout.rate_hz
    )  # fmt: skip
