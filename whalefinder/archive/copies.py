"""Files of an archive that hold the same sound: copies of a card, and a WAV beside the FLAC that was made from it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from whalefinder.archive.sources import is_remote
from whalefinder.archive.units import Entry, File
from whalefinder.errors import RecordingError
from whalefinder.sound.source import open_source

SAMPLE_BYTES = 1 << 14
SAMPLE_FRAMES = 2048
ADDED_BEFORE = re.compile(r"^(?:(?:copy|kopie|copie)(?: \(\d+\))? (?:of|von|de) )+")
ADDED_BEHIND = re.compile(r"(?:[ _-]*\(\d+\)|[ _-]+(?:copy|kopie|copie)[ _-]?\d*)+$")
"""What programs add to the names of copies, as in `Copy of X`, `X (1)`, `X - Copy (2)`, `X_copy2`."""


def without_copies(entries: Iterable[Entry]) -> tuple[list[Entry], tuple[tuple[str, str], ...]]:
    """The recordings without copies of others, and (name, reason) of those that are left out.

    Copies may have other names, but not other starts. The one with a start and the shortest path is kept, and a WAV
    rather than its FLAC.
    """
    kept: list[Entry] = []
    left_out: list[tuple[str, str]] = []
    by_bytes: dict[object, list[Entry]] = {}
    by_sound: dict[object, list[Entry]] = {}
    for entry in sorted(entries, key=_rank):
        alike = by_bytes.setdefault(_key_of_bytes(entry), [])
        compressed = by_sound.setdefault(_key_of_sound(entry), [])
        twin = next((other for other in alike if _same_bytes(other, entry)), None)
        if twin is not None:
            left_out.append((entry.name, f"is a copy of {twin.name}; counted once"))
            continue
        twin = next((other for other in compressed if _same_sound(other, entry)), None)
        if twin is not None:
            left_out.append((entry.name, f"holds the same sound as {twin.name}; counted once"))
            continue
        kept.append(entry)
        alike.append(entry)
        compressed.append(entry)
    return kept, tuple(sorted(left_out))


def alike(entries: Iterable[Entry]) -> Iterator[tuple[Entry, Entry]]:
    """Pairs of the same name and start that nevertheless differ, as a copy that was cut short does.

    Recorders of one kind give the same names in their own folders: this alone is no sign of a copy.
    """
    groups: dict[object, list[Entry]] = {}
    for entry in sorted(entries, key=_rank):
        same = groups.setdefault((_stem(entry), entry.start_utc), [])
        for other in same:
            folders, suffixes = zip(*(_around(each.name) for each in (other, entry)), strict=True)
            if folders[0] == folders[1] or suffixes[0] != suffixes[1] or (entry.marks and entry.marks == other.marks):
                yield other, entry
                break
        same.append(entry)


def _around(name: str) -> tuple[str, str]:
    """Folder and suffix of a name."""
    return name.rpartition("/")[0], name.lower().rpartition(".")[2]


def _rank(entry: Entry) -> tuple[object, ...]:
    return (
        entry.start_utc is None,
        entry.name.count("/"),
        entry.name.lower().endswith(".flac"),
        len(entry.name),
        entry.name,
    )


def _stem(entry: Entry) -> str:
    """The name of a recording without its folder and suffix, and without what programs add to the names of copies."""
    stem = entry.name.rpartition("/")[2].lower().rpartition(".")[0]
    return ADDED_BEHIND.sub("", ADDED_BEFORE.sub("", stem))


def _key_of_bytes(entry: Entry) -> object:
    return tuple(file.size for file in entry.files), entry.marks


def _key_of_sound(entry: Entry) -> object:
    return _stem(entry), entry.rate_hz, entry.frames, len(entry.columns)


def _same_bytes(a: Entry, b: Entry) -> bool:
    """Whether files whose sizes and first bytes are the same are so in the middle and at the end too.

    Sound in which nothing changes is no evidence: two recorders whose hydrophones are silent write the same bytes.
    """
    if None not in (a.start_utc, b.start_utc) and a.start_utc != b.start_utc:
        return False
    if is_remote(a.files[0].url) or is_remote(b.files[0].url):  # their other bytes are not fetched
        return _stem(a) == _stem(b)
    alive = False
    for one, other in zip(a.files, b.files, strict=True):
        for mine, theirs in zip(_samples(one), _samples(other), strict=True):
            alive |= len(set(mine)) > 2
            if mine != theirs:
                return False
    return alive


def _samples(file: File) -> Iterator[bytes]:
    for share in (0.5, 1.0):
        try:
            with Path(file.url).open("rb") as opened:
                opened.seek(max(0, int(share * file.size) - SAMPLE_BYTES))
                yield opened.read(SAMPLE_BYTES)
        except OSError:
            yield b""


def _same_sound(a: Entry, b: Entry) -> bool:
    """Whether a WAV and a FLAC of the same name and length hold the same sound in the middle."""
    suffixes = {entry.name.lower().rpartition(".")[2] for entry in (a, b)}
    if len(suffixes) < 2 or "flac" not in suffixes:
        return False
    if is_remote(a.files[0].url) or is_remote(b.files[0].url):
        return a.name.rpartition("/")[0] == b.name.rpartition("/")[0]
    try:
        mine, theirs = (_middle(entry) for entry in (a, b))
    except (OSError, RuntimeError, RecordingError, StopIteration):
        return False
    return mine.shape == theirs.shape and bool(np.ptp(mine) and np.abs(mine - theirs).max() < 1e-4)


def _middle(entry: Entry) -> np.ndarray:
    middle = max(0, entry.frames // 2 - SAMPLE_FRAMES)
    return next(open_source(Path(entry.files[0].url)).blocks(middle, middle + SAMPLE_FRAMES, SAMPLE_FRAMES))
