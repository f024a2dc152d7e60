"""The start time that recorders write into the header of a file.

XWAV's table of raw files (`harp`), broadcast WAV (`bext`), GUANO (`guan`), Wildlife Acoustics (`wamd`), AudioMoth's
comment and the date of creation (`LIST`), comments of FLAC, and the same behind `flac --keep-foreign-metadata`. Of every
chunk only the first bytes are read. Whatever the bytes are, nothing is raised.
"""

from __future__ import annotations

import re
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import accumulate, pairwise
from pathlib import Path
from typing import BinaryIO

from whalefinder.errors import OptionError
from whalefinder.sound.chunks import Chunk, chunks
from whalefinder.sound.zones import SEVERAL, WORDS, offset_hours, shift

CHUNK_BYTES = 1 << 16
"""Texts of recorders are shorter."""
HARP_HEAD, RAW_FILE, HARP_BYTES = 56, 32, 1 << 21  # a table of 65,535 raw files has 2 MB
UNDATED = "has no date for the first stretch of sound, so it is not used"
MISFIT = "does not fit the sound, so gaps inside the file are unknown"
SAME_CHUNKS = 4
"""Of more chunks of one kind the rest is not read."""
ISO = re.compile(
    r"(\d{4})[-/:](\d\d)[-/:](\d\d)[T _]+(\d\d)[:\-](\d\d)[:\-](\d\d)(?:[.,](\d+))?[ \t]*(.*)", re.IGNORECASE
)
AUDIOMOTH = re.compile(r"Recorded at (\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))? (\d\d)/(\d\d)/(\d{4})(?: ?\(([^)]*)\)?)?")
OFFSET = re.compile(r"(?:UTC|GMT)? ?[+\N{MINUS SIGN}-]\d{1,2}(?::?\d\d)?|Z|UTC|GMT", re.IGNORECASE)
TIMES = {"date", "timestamp", "recordingstart", "recordingstarttimestamp"}
"""Names of times in the comments of FLAC."""


@dataclass(frozen=True)
class Sound:
    """What a header says of the sound: samples and bytes of a second, and bytes in all; 0 if unknown."""

    rate_hz: int = 0
    bytes_per_s: int = 0
    bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class HeaderTime:
    """A start time from a header.

    Args:
        local: the time as written, without its zone.
        hours: offset from UTC that the header gives, or None.
        source: what tells it, to be shown.
        by_recorder: whether only recorders write it. Other programs may write the time at which they made the file.
        stretches: (second of the file, time in UTC) of every stretch of sound, if the header has such a table.
        doubt: what is wrong with the header, in a few words that follow `source`, or "".
        refused: whether the time must not be used: without a known offset if `hours` is None, otherwise never.
    """

    local: datetime
    hours: float | None
    source: str
    by_recorder: bool = False
    stretches: tuple[tuple[float, datetime], ...] = ()
    doubt: str = ""
    refused: bool = False

    def utc(self, utc_offset: float | None = None) -> datetime:
        """The start in UTC. `utc_offset`, in hours, is that of a header which does not say its own; None: UTC."""
        hours = self.hours if self.hours is not None else utc_offset or 0.0
        return (self.local - shift(hours)).replace(tzinfo=UTC)


def _harp(body: bytes, sound: Sound) -> HeaderTime | None:
    """Scripps' XWAV: for each raw file its time in UTC, its place in the file and its size, in bytes."""
    source = "its harp table"
    (count,) = struct.unpack("<H", body[36:38])
    whole = min(count, (len(body) - HARP_HEAD) // RAW_FILE)
    rows = list(struct.iter_unpack("<6BHII16x", body[HARP_HEAD : HARP_HEAD + max(0, whole) * RAW_FILE]))
    times = [_time_of_raw(row) for row in rows]
    first = next((time for time in times if time is not None), None)
    if first is None:
        return None
    if times[0] is None:
        return HeaderTime(
            local=first.replace(tzinfo=None), hours=0.0, source=source, by_recorder=True, doubt=UNDATED, refused=True
        )
    places = _places([row[7] for row in rows], [row[8] for row in rows], sound) if sound.bytes_per_s else None
    doubt = "" if places or not sound.bytes_per_s or sum(map(bool, times)) == 1 else MISFIT
    stretches = [(at, time) for at, time in zip(places or [0.0], times, strict=False) if time is not None]
    return HeaderTime(
        local=first.replace(tzinfo=None),
        hours=0.0,
        source=source,
        by_recorder=True,
        stretches=tuple(stretches),
        doubt=doubt,
    )


def _time_of_raw(row: tuple[int, ...]) -> datetime | None:
    """The time of a place of the table, or None if it was never filled."""
    year, month, day, hour, minute, second, milliseconds = row[:7]
    try:
        return datetime(2000 + year, month, day, hour, minute, second, tzinfo=UTC) + timedelta(
            milliseconds=milliseconds
        )
    except ValueError:
        return None


def _places(begins: list[int], sizes: list[int], sound: Sound) -> list[float] | None:
    """The second of the file at which each raw file begins, or None if the table contradicts itself.

    By the sizes, if they are together the size of the sound. Otherwise by the places, if they go up.
    """
    places = list(accumulate(sizes[:-1], initial=0))
    if sound.bytes not in (0, sum(sizes)) or 0 in sizes:
        places = [begin - begins[0] for begin in begins]
        if any(after <= before for before, after in pairwise(places)):
            return None
    return [place / sound.bytes_per_s for place in places]


def _bext(body: bytes, sound: Sound) -> HeaderTime | None:
    """Broadcast WAV: day and time of creation, and the samples since midnight, which give a fraction."""
    told = _comment(_text(body[:256]), "its bext chunk")
    if told is not None:
        return told
    written = re.fullmatch(
        r"(\d{4})\D(\d\d)\D(\d\d) (\d\d)\D(\d\d)\D(\d\d)", f"{_text(body[320:330])} {_text(body[330:338])}"
    )
    if written is None:
        return None
    local = datetime(*map(int, written.groups()))  # type: ignore[arg-type]
    (samples,) = struct.unpack("<Q", body[338:346])
    if sound.rate_hz and samples:
        exact = local.replace(hour=0, minute=0, second=0) + timedelta(seconds=samples / sound.rate_hz)
        local = exact if abs((exact - local).total_seconds()) < 2.0 else local
    return HeaderTime(local=local, hours=None, source="its bext chunk")


def _guano(body: bytes, sound: Sound) -> HeaderTime | None:
    written = re.search(r"^Timestamp:\s*(.+)$", _text(body), re.MULTILINE)
    return None if written is None else _iso(written[1], "its GUANO timestamp", by_recorder=True)


def _wamd(body: bytes, sound: Sound) -> HeaderTime | None:
    """Wildlife Acoustics: entries of a number, a size and a body; 5 is the start."""
    at = 0
    while at + 6 <= len(body):
        kind, size = struct.unpack("<HI", body[at : at + 6])
        if kind == 5:
            return _iso(_text(body[at + 6 : at + 6 + size]), "its wamd chunk", by_recorder=True)
        at += 6 + size
    return None


def _list(body: bytes, sound: Sound) -> HeaderTime | None:
    """The comment (ICMT) and the date of creation (ICRD) of LIST/INFO."""
    if body[:4] != b"INFO":
        return None
    at, texts = 4, {}
    while at + 8 <= len(body):
        size = struct.unpack("<I", body[at + 4 : at + 8])[0]
        texts[body[at : at + 4]] = _text(body[at + 8 : at + 8 + size])
        at += 8 + size + size % 2
    comment = _comment(texts.get(b"ICMT", ""), "its comment")
    return comment or _iso(texts.get(b"ICRD", ""), "its date of creation")


def _vorbis(body: bytes, sound: Sound) -> HeaderTime | None:
    """The comments of FLAC: pairs of a name and a text."""
    at = 4 + struct.unpack("<I", body[:4])[0]
    (count,), at = struct.unpack("<I", body[at : at + 4]), at + 4
    for _ in range(min(count, CHUNK_BYTES)):
        (size,) = struct.unpack("<I", body[at : at + 4])
        name, _, text = _text(body[at + 4 : at + 4 + size]).partition("=")
        at += 4 + size
        told = _tagged(name.lower().replace("_", ""), text)
        if told is not None:
            return told
    return None


def _tagged(name: str, text: str) -> HeaderTime | None:
    if name in ("comment", "description", "icmt"):
        return _comment(text, "its comment")
    return _iso(text, f"its {name}", by_recorder=name != "date") if name in TIMES else None


def _comment(text: str, source: str) -> HeaderTime | None:
    """AudioMoth's comment: `Recorded at 12:00:00 01/07/2026 (UTC+2) by AudioMoth …`."""
    found = AUDIOMOTH.search(text)
    if found is None:
        return None
    hour, minute, second, fraction, day, month, year, offset = found.groups()
    local = datetime(*map(int, (year, month, day, hour, minute, second)))  # type: ignore[arg-type]
    return _zoned(local + _seconds(fraction), offset, source, by_recorder=True)


def _iso(text: str, source: str, *, by_recorder: bool = False) -> HeaderTime | None:
    found = ISO.match(text.strip())
    if found is None:
        return None
    *date, fraction, zone = found.groups()
    local = datetime(*map(int, date)) + _seconds(fraction)  # type: ignore[arg-type]
    return _zoned(local, zone, source, by_recorder=by_recorder)


def _seconds(fraction: str | None) -> timedelta:
    return timedelta(seconds=float(f"0.{fraction or 0}"))


def _zoned(local: datetime, zone: str | None, source: str, *, by_recorder: bool) -> HeaderTime:
    """A time and the text behind it. Where that is no zone of one meaning, the time is refused, as in names."""
    zone = (zone or "").strip()
    doubt, hours = "", None
    try:
        if zone.upper() in WORDS:
            hours = WORDS[zone.upper()]
        elif OFFSET.fullmatch(zone):
            hours = offset_hours(zone.replace(" ", ""))
        elif zone:
            meanings = SEVERAL.get(zone.upper())
            doubt = f"{zone[:24]!r}, which {f'can mean {meanings}' if meanings else 'is no time zone that is known'}"
    except OptionError:
        doubt = f"{zone!r}, which is no offset of a place on earth"
    said = f"says {local:%Y-%m-%d %H:%M:%S} {doubt}" if doubt else ""
    return HeaderTime(local=local, hours=hours, source=source, by_recorder=by_recorder, doubt=said, refused=bool(doubt))


def _text(body: bytes) -> str:
    return body.split(b"\0", 1)[0].decode("utf-8", "replace").strip()


READERS: dict[bytes, Callable[[bytes, Sound], HeaderTime | None]] = {
    b"harp": _harp, b"bext": _bext, b"guan": _guano, b"wamd": _wamd, b"LIST": _list, b"VORB": _vorbis,
}  # fmt: skip


def header_time(path: Path) -> HeaderTime | None:
    """The start time in the header of a file, or None. The most exact is taken: a table of stretches, then an offset."""
    try:
        with path.open("rb") as file:
            found = list(_times(file))
    except OSError:
        return None
    return max(found, key=_exactness, default=None)


def _exactness(told: HeaderTime) -> tuple[bool, ...]:
    return bool(told.stretches), told.by_recorder and not told.refused, told.hours is not None, told.refused


def _times(file: BinaryIO) -> Iterator[HeaderTime]:
    sound, bodies = Sound(), []
    read: Counter[bytes] = Counter()
    for chunk in chunks(file):
        kind, inner = chunk.id, chunk
        if kind == b"APPL":  # a chunk of the WAV file from which the FLAC file was made
            head = chunk.read(file, 12)
            if head[:4] != b"riff" or len(head) < 12:
                continue
            kind, inner = head[4:8], Chunk(head[4:8], chunk.begin + 12, chunk.size - 12)
        if kind == b"fmt " and len(body := inner.read(file, 16)) == 16:
            rate_hz, bytes_per_s = struct.unpack("<II", body[4:12])
            sound = replace(sound, rate_hz=rate_hz, bytes_per_s=bytes_per_s)
        elif kind == b"STRE" and len(body := inner.read(file, 18)) == 18:
            sound = Sound(int.from_bytes(body[10:13], "big") >> 4, sound.bytes_per_s)
        elif kind == b"data":
            sound = replace(sound, bytes=inner.size)
        elif kind in READERS and read[kind] < SAME_CHUNKS:
            read[kind] += 1
            bodies.append((kind, inner.read(file, HARP_BYTES if kind == b"harp" else CHUNK_BYTES)))
    for kind, body in bodies:
        try:
            told = READERS[kind](body, sound)
        except (ValueError, OverflowError, struct.error, OptionError):
            continue
        if told is not None and 1970 <= told.local.year < 2100:
            yield told
