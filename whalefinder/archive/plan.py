"""The plan of an archive: its recordings, which of them follow each other, and the units of work.

    folders → files → headers → recorders → chains without gaps → pieces → units of an hour

The borders of a unit depend only on the files near them. So a file that is added, repaired or lost changes only the
hour around it.
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

from whalefinder.archive.copies import without_copies
from whalefinder.archive.job import Job
from whalefinder.archive.sources import SUFFIXES, find_files, is_remote, open_files
from whalefinder.archive.units import Entry, File, Piece, Unit, digest, make_unit
from whalefinder.calls.context import REACH_S
from whalefinder.calls.masks import MARGIN_CELLS
from whalefinder.errors import RecordingError
from whalefinder.options import LocateOptions
from whalefinder.pipeline import LEAD_CELLS, TAIL_CELLS
from whalefinder.sound.channel_files import groups_of_channels
from whalefinder.sound.recorders import Times, times_of
from whalefinder.sound.spectrogram import CELL_FRAMES, FRAME_S
from whalefinder.sound.start_time import BEHIND, StartTime
from whalefinder.words import printable

THREADS = 16
UNIT_S = 3600.0
WHOLE_SECOND_S = 1.0
"""Most names give whole seconds. So a gap or an overlap shorter than this counts as none."""
FRACTION_S = 0.05
"""The same for names that give fractions of a second."""
CELL_S = CELL_FRAMES * FRAME_S
LEAD_S = REACH_S + (LEAD_CELLS + MARGIN_CELLS) * CELL_S  # 67 s: sound that is needed before a call
TAIL_S = REACH_S + (TAIL_CELLS + MARGIN_CELLS) * CELL_S  # 77 s: sound that is needed after the begin of a call


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The content of an archive, and the work.

    Args:
        entries: recordings in order of time.
        units: the units of work.
        unreadable: (name, reason) of files that cannot be read.
        left_out: (name, reason) of files that are not read, since they are copies of others.
        remarks: one line for each option that changes nothing.
        with_array: whether there is an array.
        options: how to search.
    """

    entries: tuple[Entry, ...]
    units: tuple[Unit, ...]
    unreadable: tuple[tuple[str, str], ...]
    with_array: bool
    options: LocateOptions
    left_out: tuple[tuple[str, str], ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Seam:
    """Seconds between two recordings of one recorder: positive for a gap, negative for an overlap."""

    before: Entry
    after: Entry
    seconds: float


def make_plan(folders: list[str], job: Job, out: Path | None = None) -> Plan:
    """Find recordings, read their headers and cut them into units. Only headers are read.

    Args:
        folders: folders on this machine, or fsspec addresses.
        job: array and options.
        out: folder of the results, which is left out of the search.

    Raises:
        RecordingError: a folder does not exist, or there are no sound files.
        OptionError: the library for an address is not installed.
    """
    groups = _groups(folders, job, out)
    if not groups:
        raise RecordingError(
            f"{', '.join(folders)}: no sound file ({', '.join(SUFFIXES)}) below; check the path, is the disk mounted?"
        )
    times = times_of(job.options.time_format, job.options.utc_offset, job.options.recorders)
    with ThreadPoolExecutor(THREADS) as pool:
        read = list(pool.map(lambda group: _read(group, job, times), groups))
    unreadable = tuple(item for item in read if isinstance(item, tuple))
    once, left_out = without_copies([item for item in read if isinstance(item, Entry)])
    entries = sorted(_numbered(once), key=lambda e: (_sort_key(e.start_utc), e.name))
    return Plan(
        entries=tuple(entries),
        units=units_of(entries, job),
        unreadable=unreadable,
        left_out=left_out,
        with_array=job.array is not None,
        options=job.options,
        remarks=tuple(times.unused(group[0].url for group in groups)),
    )


def units_of(entries: list[Entry], job: Job) -> tuple[Unit, ...]:
    """Cut recordings into units, in order of time."""
    buckets: dict[tuple[str, str], list[Piece]] = {}
    for chain in chains(entries):
        for piece in _pieces(chain):
            buckets.setdefault(_bucket(piece), []).append(piece)
    return _told_apart(in_order([make_unit(pieces, job.key) for pieces in buckets.values()]))


def _told_apart(units: tuple[Unit, ...]) -> tuple[Unit, ...]:
    """Give different ids to units that look the same (copies, silence), so that each has its own result."""
    seen: Counter[str] = Counter()
    apart = []
    for unit in units:
        twins = seen[unit.id]
        seen[unit.id] += 1
        apart.append(replace(unit, id=digest([unit.id, twins])) if twins else unit)
    return tuple(apart)


def in_order(units: list[Unit]) -> tuple[Unit, ...]:
    """Units in order of time; those without a time come last, in order of their names."""
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
    # All names are of the same kind, since they show which recordings follow each other: the path below the folder, the
    # same with the folder's name, or the whole path.
    below = {url: file.name for url, file in seen.items()}
    with_root = {url: f"{roots[url]}/{name}" for url, name in below.items()}
    whole = {url: url.split("://")[-1].strip("/") for url in seen}
    names = next((names for names in (below, with_root) if len(set(names.values())) == len(names)), whole)
    files = [replace(file, name=names[url]) for url, file in seen.items()]
    by_path = {Path(file.url): file for file in files}
    return [[by_path[path] for path in group] for group in groups_of_channels(list(by_path), job.array)]


def _read(group: list[File], job: Job, times: Times) -> Entry | tuple[str, str]:
    """A recording, or (name, reason) if it cannot be used."""
    try:
        recording, marks = open_files(group, job.array, times)
    except Exception as reason:  # any error of one file is listed, and the others are read
        if not is_remote(group[0].url) and Path(group[0].url).is_dir():
            return group[0].name, "this folder cannot be listed; check its permissions"
        said = printable(str(reason)).removeprefix(f"{printable(group[0].url)}: ")
        ours = isinstance(reason, RecordingError | OSError)
        return group[0].name, said if ours else f"{type(reason).__name__}: {said}"
    by_name = {file.url.rsplit("/", 1)[-1] if is_remote(file.url) else Path(file.url).name: file for file in group}
    told, clock = recording.told or StartTime(utc=None, others=recording.name), recording.clock
    return Entry(
        name=group[0].name,
        files=tuple(by_name[path.name] for path in recording.paths),
        rate_hz=recording.rate_hz,
        frames=round(recording.duration_s * recording.rate_hz),
        columns=recording.columns,
        labels=recording.labels,
        start_utc=recording.start_utc,
        recorder=_recorder(group[0].name, told.others, strict=True),
        kin=_recorder(group[0].name, told.others, strict=False),
        marks=marks,
        problems=tuple(recording.problems),
        warnings=tuple(recording.warnings),
        jumps=clock.jumps if clock else (),
        rate=clock.rate if clock else 1.0,
        step_s=told.step_s,
        number=told.number,
    )


def _recorder(name: str, others: str, *, strict: bool) -> str:
    """The name of a recording without its times; if not `strict`, also without folders of dates and final counters.

    `others` is its name with @ in place of times.
    """
    folder = name.rpartition("/")[0]
    if not strict:
        folder = "/".join("#" if re.fullmatch(r"[\d._-]+", part) else part for part in folder.split("/"))
        others = re.sub(r"@[._-]?\d+(?=\.\w+$)", "@", others)
    return f"{folder}/{others}"


def _numbered(entries: list[Entry]) -> Iterator[Entry]:
    """The recordings, after it is found out whether three digits behind the time count the files or are milliseconds.

    Numbers of files go up by one; milliseconds do not.
    """
    for group in _grouped(entries, lambda e: e.kin):
        numbers = [entry.number for entry in group if entry.number is not None]
        steps = [(after - before) % 1000 for before, after in pairwise(numbers)]
        if not steps:
            yield from group
            continue
        counted = 2 * steps.count(1) >= len(steps)
        yield from (entry if entry.number is None else _with_number(entry, counted=counted) for entry in group)


def _with_number(entry: Entry, *, counted: bool) -> Entry:
    """The recording, with its number as milliseconds unless it is counted."""
    if entry.start_utc is None or entry.number is None:
        return entry
    had_s = entry.number / 1000 if entry.step_s < WHOLE_SECOND_S else 0.0
    has_s = 0.0 if counted else entry.number / 1000
    return replace(
        entry,
        start_utc=entry.start_utc + timedelta(seconds=has_s - had_s),
        step_s=WHOLE_SECOND_S if counted else 1e-3,
        warnings=tuple(line for line in entry.warnings if BEHIND not in line),
    )


def _grouped(entries: Iterable[Entry], key: Callable[[Entry], str]) -> list[list[Entry]]:
    """Groups of recordings with the same key, each in order of time. A recording without a time is a group alone."""
    groups: dict[str, list[Entry]] = {}
    for entry in sorted(entries, key=lambda e: (_sort_key(e.start_utc), e.name)):
        groups.setdefault(key(entry) if entry.start_utc else f"undated {entry.name}", []).append(entry)
    return list(groups.values())


def recorders(entries: Iterable[Entry]) -> list[list[Entry]]:
    """The recordings of each recorder, in order of time.

    Recordings of similar names belong to one recorder, unless they were made at the same time.
    """
    apart = []
    for group in _grouped(entries, lambda e: e.kin):
        at_once = any(seam.seconds <= -_tolerance_s(seam.before, seam.after) for seam in _seams(group))
        apart += _grouped(group, _by_name(group)) if at_once else [group]
    return apart


def _by_name(group: list[Entry]) -> Callable[[Entry], str]:
    """What tells recorders of similar names apart: the name without the time.

    But a number behind a time that another file has without a number was added by a recorder that started again within
    a second, since the name was taken.
    """
    taken = {entry.start_utc for entry in group if entry.recorder == entry.kin}
    return lambda entry: entry.kin if entry.start_utc in taken else entry.recorder


def _seams(group: list[Entry]) -> Iterator[Seam]:
    for before, after in pairwise(group):
        if before.end_utc is not None and after.start_utc is not None:
            yield Seam(before, after, (after.start_utc - before.end_utc).total_seconds())


def _tolerance_s(*entries: Entry) -> float:
    return FRACTION_S if all(entry.step_s < WHOLE_SECOND_S for entry in entries) else WHOLE_SECOND_S


def seams(entries: Iterable[Entry]) -> list[Seam]:
    """Gaps and overlaps that are longer than the precision of the times in the names."""
    found = [seam for group in recorders(entries) for seam in _seams(group)]
    return [seam for seam in found if abs(seam.seconds) >= _tolerance_s(seam.before, seam.after)]


def chains(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    """Chains: recordings of one recorder without gaps between them, with the same sample rate and channels."""
    for group in _grouped(entries, lambda e: e.kin):
        after: dict[str, Entry] = {}
        # First link recordings whose names differ only in the time. So a recorder whose folder or counter changes
        # cannot be linked in place of another one.
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
    """Find for each recording the one that ends where it begins, and note it: `after[name of that one] = recording`."""
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
    """Cut a chain where the first recording of an hour begins. Recordings longer than an hour are cut every hour."""
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
    if entry.clock is None:
        return entry.name, str(piece.own[0])
    start = entry.clock.utc((piece.own[0] - begin) / piece.rate_hz)
    return f"{entry.name.rpartition('/')[0]} {entry.kin}", str(_hour(start))
