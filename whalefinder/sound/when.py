"""When a recording was made, from its name and its header. Where they differ, both are said."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from whalefinder.sound.clock import Clock, clock_of
from whalefinder.sound.header_times import HeaderTime, header_time
from whalefinder.sound.recorders import Recorder
from whalefinder.sound.start_time import WHOLE_SECOND_S, StartTime, shown, start_time
from whalefinder.sound.zones import in_words
from whalefinder.words import rounded

SAME_S = 2.0
"""A name and a header that differ by less tell the same: some round to a second, some write the header later."""
QUARTER_S = 900.0
"""Time zones differ by whole quarters of an hour."""


@dataclass(frozen=True)
class When:
    """When a recording was made.

    Args:
        told: the start that is used.
        clock: its clock, or None if the time is unknown.
        header: what the header says, or None.
        warnings: one line each.
    """

    told: StartTime
    clock: Clock | None
    header: HeaderTime | None
    warnings: tuple[str, ...]


def when(path: Path, seconds: float, recorder: Recorder) -> When:
    """When a file was recorded.

    Args:
        path: the file. Only its header is read.
        seconds: its length.
        recorder: how its times are read.

    Raises:
        RecordingError: the recorder's time format fits no part of the name.
    """
    told = start_time(path.name, recorder.time_format, recorder.utc_offset)
    header = header_time(path)
    told, warnings = _joined(path.name, told, header, recorder)
    clock = None if told.utc is None else Clock(told.utc)
    if clock is not None and header is not None and header.stretches:  # its gaps are right even if its date is not
        clock = Clock(clock.start_utc, clock_of([each for each in header.stretches if each[0] < seconds]).jumps)
    if clock is not None:
        warnings += list(_doubts(path.name, told, clock, seconds))
        clock = recorder.corrected(clock)
        told = replace(told, utc=clock.start_utc)
    return When(told, clock, header, tuple(warnings))


def _joined(name: str, told: StartTime, header: HeaderTime | None, recorder: Recorder) -> tuple[StartTime, list[str]]:
    """The start that name and header tell together, and what is to be said."""
    warnings = [told.warning] if told.warning else []
    if header is None:
        return told, warnings
    utc = header.utc(recorder.utc_offset)
    fine = bool(utc.microsecond) or bool(header.stretches)
    by_header = replace(told, utc=utc, step_s=1e-3 if fine else WHOLE_SECOND_S, number=None, warning=None)
    if told.utc is None:
        if header.hours is None and recorder.utc_offset is None:
            said = f"start read as {shown(utc)} UTC from {header.source}, which says no time zone; if wrong give `utc_offset`"
            return by_header, [*warnings, f"{name}: {said}"]
        return by_header, [line for line in warnings if "no start time" not in line]
    apart_s = abs((utc - told.utc).total_seconds())
    if apart_s <= SAME_S:
        exact = header.stretches or (fine and told.step_s >= WHOLE_SECOND_S)
        return (by_header if exact else told), [] if header.by_recorder else warnings
    header_counts = bool(header.stretches) or (header.by_recorder and header.hours is not None)
    if recorder.utc_offset is not None:
        header_counts = False
    used = by_header if header_counts else told
    zone = "without a time zone" if header.hours is None else f"({in_words(header.hours)})"
    line = (
        f"{name}: the name says {shown(told.utc)} UTC, {header.source} says {header.local:%Y-%m-%d %H:%M:%S} {zone}; "
        f"{'the header' if header_counts else 'the name'} is used"
    )
    if apart_s % QUARTER_S < SAME_S or QUARTER_S - apart_s % QUARTER_S < SAME_S:
        line += ", one of them is in local time; if wrong give `utc_offset`"
    return used, [*warnings, line] if not header_counts else [line]


def _doubts(name: str, told: StartTime, clock: Clock, seconds: float) -> Iterator[str]:
    """Lines about gaps inside the file, and about an end in the name that does not fit its length."""
    if clock.jumps:
        gap_s = sum(length for _, length in clock.jumps)
        stretches = len(clock.jumps) + 1
        between = f"with {rounded(gap_s, 6)} s between them" if gap_s >= 0 else "and the time goes back between them"
        yield f"{name}: {stretches} stretches of sound {between}; no call is joined across"
    if told.end_utc is not None and told.utc is not None:
        stated = (told.end_utc - told.utc).total_seconds()
        lasts = (clock.utc(seconds) - clock.start_utc).total_seconds()
        if abs(stated - lasts) > SAME_S:
            yield (
                f"{name}: lasts {lasts:.1f} s, and the two times in its name are {stated:.1f} s apart; the first is read as "
                "the start, parts of the recording may be missing"
            )
