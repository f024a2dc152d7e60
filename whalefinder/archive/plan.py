"""The plan of an archive: which recordings there are, which follow each other, and the units to work on.

    folders → files → headers → recorders → chains without gaps → pieces → units of an hour

Borders of units depend on the files beside them alone, so a file that is added, repaired or lost changes the hour
around it and no other.
"""

from __future__ import annotations

import re
from bisect import bisect
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

from whalefinder.archive.job import Job
from whalefinder.archive.sources import SUFFIXES, find_files, is_remote, open_files, printable
from whalefinder.archive.units import Entry, File, Piece, Unit, digest, make_unit
from whalefinder.calls.masks import MARGIN_CELLS
from whalefinder.errors import RecordingError
from whalefinder.options import LocateOptions
from whalefinder.pipeline import LEAD_CELLS, TAIL_CELLS
from whalefinder.sound.recording import groups_of_channels
from whalefinder.sound.spectrogram import CELL_FRAMES, FRAME_S
from whalefinder.sound.start_time import start_time

THREADS = 16
UNIT_S = 3600.0
WHOLE_SECOND_S = 1.0
"""Names tell whole seconds: a gap shorter than this cannot be told from none."""
FRACTION_S = 0.05
"""The same where names tell fractions of a second."""
CELL_S = CELL_FRAMES * FRAME_S
LEAD_S = (LEAD_CELLS + MARGIN_CELLS) * CELL_S  # 6.8 s: what is needed before a call to judge it
TAIL_S = (TAIL_CELLS + MARGIN_CELLS) * CELL_S  # 17 s: what is needed from its begin on


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What an archive holds: `entries` in order of time, the units they make, (name, reason) of the unreadable, what is asked."""

    entries: tuple[Entry, ...]
    units: tuple[Unit, ...]
    unreadable: tuple[tuple[str, str], ...]
    with_array: bool
    options: LocateOptions


@dataclass(frozen=True)
class Seam:
    """Seconds of nothing between two recordings of one recorder; negative where they overlap."""

    before: Entry
    after: Entry
    seconds: float


def make_plan(folders: list[str], job: Job, out: Path | None = None) -> Plan:
    """Find recordings, read their headers and cut them into units. Nothing but headers is read.

    Raises:
        RecordingError: a folder is not there.
        OptionError: an address whose library is not installed.
    """
    groups = _groups(folders, job, out)
    if not groups:
        raise RecordingError(
            f"{', '.join(folders)}: no sound file ({', '.join(SUFFIXES)}) below; check the path, is the disk mounted?"
        )
    with ThreadPoolExecutor(THREADS) as pool:
        read = list(pool.map(lambda group: _read(group, job), groups))
    unreadable = tuple(item for item in read if isinstance(item, tuple))
    entries = sorted((item for item in read if isinstance(item, Entry)), key=lambda e: (_sort_key(e.start_utc), e.name))
    return Plan(
        entries=tuple(entries),
        units=units_of(entries, job),
        unreadable=unreadable,
        with_array=job.array is not None,
        options=job.options,
    )


def units_of(entries: list[Entry], job: Job) -> tuple[Unit, ...]:
    """Cut recordings into units, in order of time."""
    buckets: dict[tuple[str, str], list[Piece]] = {}
    for chain in chains(entries):
        for piece in _pieces(chain):
            buckets.setdefault(_bucket(piece), []).append(piece)
    return _told_apart(in_order([make_unit(pieces, job.key) for pieces in buckets.values()]))


def _told_apart(units: tuple[Unit, ...]) -> tuple[Unit, ...]:
    """Units of files that look the same (copies, silence) are numbered, so that each has a result of its own."""
    seen: Counter[str] = Counter()
    apart = []
    for unit in units:
        twins = seen[unit.id]
        seen[unit.id] += 1
        apart.append(replace(unit, id=digest([unit.id, twins])) if twins else unit)
    return tuple(apart)


def in_order(units: list[Unit]) -> tuple[Unit, ...]:
    """By time, the undated ones last, by name."""
    return tuple(sorted(units, key=lambda u: (_sort_key(u.start_utc), u.pieces[0].entries[0].name, u.pieces[0].own)))


def _sort_key(start: datetime | None) -> float:
    return float("inf") if start is None else start.timestamp()


def _groups(folders: list[str], job: Job, out: Path | None) -> list[list[File]]:
    """The files of each recording, with names that are unique in the archive."""
    roots: dict[str, str] = {}
    seen: dict[str, File] = {}
    for folder in folders:
        for file in find_files(folder, out):
            seen.setdefault(file.url, file)
            roots.setdefault(file.url, folder.rstrip("/").rsplit("/", 1)[-1])
    # One way for all, as names tell which recordings follow each other: below the folder, with its own name, or whole.
    below = {url: file.name for url, file in seen.items()}
    with_root = {url: f"{roots[url]}/{name}" for url, name in below.items()}
    whole = {url: url.split("://")[-1].strip("/") for url in seen}
    names = next((names for names in (below, with_root) if len(set(names.values())) == len(names)), whole)
    files = [replace(file, name=names[url]) for url, file in seen.items()]
    by_path = {Path(file.url): file for file in files}
    return [[by_path[path] for path in group] for group in groups_of_channels(list(by_path), job.array)]


def _read(group: list[File], job: Job) -> Entry | tuple[str, str]:
    """A recording, or (name, reason) where it cannot be used."""
    try:
        recording, marks = open_files(group, job.array, job.options.time_format)
    except Exception as reason:  # whatever one file does to us, the others are read, and it is listed
        if not is_remote(group[0].url) and Path(group[0].url).is_dir():
            return group[0].name, "this folder cannot be listed; check its permissions"
        said = printable(str(reason)).removeprefix(f"{printable(group[0].url)}: ")
        ours = isinstance(reason, RecordingError | OSError)
        return group[0].name, said if ours else f"{type(reason).__name__}: {said}"
    by_name = {file.url.rsplit("/", 1)[-1] if is_remote(file.url) else Path(file.url).name: file for file in group}
    told = start_time(recording.name, job.options.time_format)
    return Entry(
        name=group[0].name,
        files=tuple(by_name[path.name] for path in recording.paths),
        rate_hz=recording.rate_hz,
        frames=round(recording.duration_s * recording.rate_hz),
        columns=recording.columns,
        labels=recording.labels,
        start_utc=recording.start_utc,
        recorder=_recorder(group[0].name, told.text, strict=True),
        kin=_recorder(group[0].name, told.text, strict=False),
        marks=marks,
        problems=tuple(recording.problems),
        warnings=tuple(recording.warnings),
    )


def _recorder(name: str, stamp: str, *, strict: bool) -> str:
    """A recording's name without its time. Unless `strict`, folders of dates and counters at the end do not matter."""
    folder, _, base = name.rpartition("/")
    before, _, after = base.partition(stamp) if stamp else (base, "", "")
    if not strict:
        folder = "/".join("#" if re.fullmatch(r"[\d._-]+", part) else part for part in folder.split("/"))
        after = re.sub(r"^[._-]?\d+(?=\.\w+$)", "#", after)
    return f"{folder}/{before}@{after}"


def _grouped(entries: Iterable[Entry], key: Callable[[Entry], str]) -> list[list[Entry]]:
    """Recordings with a time, those of one key in order of time; each without a time is alone."""
    groups: dict[str, list[Entry]] = {}
    for entry in sorted(entries, key=lambda e: (_sort_key(e.start_utc), e.name)):
        groups.setdefault(key(entry) if entry.start_utc else f"undated {entry.name}", []).append(entry)
    return list(groups.values())


def recorders(entries: Iterable[Entry]) -> list[list[Entry]]:
    """What each recorder made, in order of time; kin that run at the same time are several recorders."""
    apart = []
    for group in _grouped(entries, lambda e: e.kin):
        at_once = any(seam.seconds <= -_tolerance_s(seam.before, seam.after) for seam in _seams(group))
        apart += _grouped(group, lambda e: e.recorder) if at_once else [group]
    return apart


def _seams(group: list[Entry]) -> Iterator[Seam]:
    for before, after in pairwise(group):
        if before.end_utc is not None and after.start_utc is not None:
            yield Seam(before, after, (after.start_utc - before.end_utc).total_seconds())


def _tolerance_s(*entries: Entry) -> float:
    in_fractions = any(entry.start_utc is not None and entry.start_utc.microsecond for entry in entries)
    return FRACTION_S if in_fractions else WHOLE_SECOND_S


def seams(entries: Iterable[Entry]) -> list[Seam]:
    """Gaps and overlaps that are longer than the names' precision."""
    found = [seam for group in recorders(entries) for seam in _seams(group)]
    return [seam for seam in found if abs(seam.seconds) >= _tolerance_s(seam.before, seam.after)]


def chains(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    """Recordings of one recorder that follow each other without a gap, at one rate and with the same channels."""
    for group in _grouped(entries, lambda e: e.kin):
        after: dict[str, Entry] = {}
        # Namesakes first, so that a recorder whose folder or counter changes cannot take the place of another.
        _link(group, after, lambda before, entry: before.recorder == entry.recorder)
        _link(group, after, lambda before, entry: True)
        linked = {entry.name for entry in after.values()}
        for entry in group:
            if entry.name not in linked:
                chain = [entry]
                while chain[-1].name in after:
                    chain.append(after[chain[-1].name])
                yield chain


def _link(group: list[Entry], after: dict[str, Entry], fits: Callable[[Entry, Entry], bool]) -> None:
    """Find for each recording the one that ends where it begins: `after[name of that] = recording`."""
    by_end = sorted((entry for entry in group if entry.end_utc), key=_end)
    ends = [_end(entry) for entry in by_end]
    linked = {entry.name for entry in after.values()}
    for entry in group:
        if entry.start_utc is None or entry.name in linked:
            continue
        start = entry.start_utc.timestamp()
        first, last = (bisect(ends, start + sign * WHOLE_SECOND_S) for sign in (-1, 1))
        near = [b for b in by_end[first:last] if b.name not in after and _goes_on(b, entry) and fits(b, entry)]
        if near:
            after[min(near, key=lambda before: (abs(_end(before) - start), before.name)).name] = entry


def _end(entry: Entry) -> float:
    return _sort_key(entry.end_utc)


def _goes_on(before: Entry, entry: Entry) -> bool:
    alike = (before.rate_hz, before.columns, before.labels) == (entry.rate_hz, entry.columns, entry.labels)
    gap = _sort_key(entry.start_utc) - _end(before)
    return alike and abs(gap) < _tolerance_s(before, entry) and _sort_key(before.start_utc) < _sort_key(entry.start_utc)


def _pieces(chain: list[Entry]) -> Iterator[Piece]:
    """Cut a chain where the first recording of an hour begins, and long recordings every hour."""
    rate = chain[0].rate_hz
    begins = [0]
    for entry in chain:
        begins.append(begins[-1] + entry.frames)
    borders = [0]
    for number, entry in enumerate(chain):
        if number and _hour(entry.start_utc) != _hour(chain[number - 1].start_utc):
            borders.append(begins[number])
        inside = max(1, round(entry.duration_s / UNIT_S))
        borders += [begins[number] + round(k * UNIT_S * rate) for k in range(1, inside)]
    borders.append(begins[-1])
    for begin, end in pairwise(borders):
        read = max(0, begin - round(LEAD_S * rate)), min(begins[-1], end + round(TAIL_S * rate))
        used = [k for k in range(len(chain)) if begins[k] < read[1] and read[0] < begins[k + 1]]
        first = begins[used[0]]
        yield Piece(
            tuple(chain[k] for k in used),
            (begin - first, end - first),
            (read[0] - first, read[1] - first),
            (begin > 0, end < begins[-1]),
        )


def _hour(start: datetime | None) -> int | None:
    return None if start is None else int(start.timestamp() // UNIT_S)


def _bucket(piece: Piece) -> tuple[str, str]:
    entry, begin = piece.at(piece.own[0])
    if entry.start_utc is None:
        return entry.name, str(piece.own[0])
    start = entry.start_utc + timedelta(seconds=(piece.own[0] - begin) / piece.rate_hz)
    return f"{entry.name.rpartition('/')[0]} {entry.kin}", str(_hour(start))
