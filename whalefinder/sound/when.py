"""When a recording was made, from its name and its header. Where they differ, both are said."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from whalefinder.sound.clock import Clock, clock_of
from whalefinder.sound.header_times import HeaderTime, header_time
from whalefinder.sound.recorders import Recorder
from whalefinder.sound.start_time import WHOLE_SECOND_S, StartTime, shown, start_time
from whalefinder.sound.zones import in_words
from whalefinder.words import count, rounded

SAME_S = 2.0
"""A name and a header that differ by less tell the same: some round to a second, some write the header later."""
QUARTER_S, FARTHEST_S = 900.0, 14 * 3600.0
"""Times of zones differ from UTC by whole quarters of an hour, and by 14 hours at most."""

RESET = tuple(datetime(year, 1, 1, tzinfo=UTC) for year in (1970, 1980, 2000))
"""Where clocks begin that were never set, or whose battery was empty."""
SINCE_RESET = timedelta(days=7)


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
        inside = [each for each in header.stretches if each[0] < seconds]
        clock = Clock(clock.start_utc, clock_of(inside or [header.stretches[0]]).jumps)
        if beyond := len(header.stretches) - len(inside):
            files = count(beyond, "raw file")
            warnings.append(
                f"{path.name}: {header.source} lists {files} behind the end of the sound, which may be missing"
            )
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
    own = recorder.utc_offset
    if header.doubt and (not header.refused or own is None or header.hours is not None):
        remedy = "; give `utc_offset`" if header.refused and header.hours is None and told.utc is None else ""
        warnings.append(f"{name}: {header.source} {header.doubt}{remedy}")
    if header.refused and (own is None or header.hours is not None):
        return told, warnings
    if told.utc is None:
        by_header, said = _by_header(told, header, own)
        return by_header, [line for line in warnings if "no start time" not in line] + [
            f"{name}: {line}" for line in said
        ]
    return _compared(name, told, told.utc, header, own, warnings)


def _by_header(told: StartTime, header: HeaderTime, utc_offset: float | None) -> tuple[StartTime, list[str]]:
    """The start that the header alone tells. The user's offset counts before that of the header, as it does in names."""
    read = header if utc_offset is None else replace(header, hours=utc_offset)
    utc = read.utc()
    used = _exact(told, header, utc)
    if read.hours is None:
        return used, [
            f"start read as {shown(utc)} UTC from {header.source}, which says no time zone; if wrong give `utc_offset`"
        ]
    if header.hours not in (None, read.hours):
        return used, [
            f"{header.source} says {in_words(header.hours or 0.0)}, and {in_words(read.hours)} is used as `utc_offset` says"
        ]
    return used, []


def _exact(told: StartTime, header: HeaderTime, utc: datetime) -> StartTime:
    step_s = 1e-3 if _is_fine(header) else WHOLE_SECOND_S
    return replace(told, utc=utc, step_s=step_s, number=None, warning=None)


def _is_fine(header: HeaderTime) -> bool:
    return bool(header.local.microsecond) or bool(header.stretches)


def _compared(
    name: str, told: StartTime, named: datetime, header: HeaderTime, utc_offset: float | None, warnings: list[str]
) -> tuple[StartTime, list[str]]:
    """The start if both name and header have one, and what is to be said."""
    # A header without a zone is in the user's offset, otherwise in that of the name or in UTC.
    readings = (utc_offset,) if utc_offset is not None else (None, told.hours)
    utc = min((header.utc(hours) for hours in readings), key=lambda utc: abs(utc - named))
    apart_s = abs((utc - named).total_seconds())
    if apart_s <= SAME_S:
        exact = header.stretches or (_is_fine(header) and told.step_s >= WHOLE_SECOND_S)
        settled = header.by_recorder and not header.doubt
        return (_exact(told, header, utc) if exact else told), [] if settled else warnings
    header_counts = utc_offset is None and (bool(header.stretches) or (header.by_recorder and header.hours is not None))
    zone = "without a time zone" if header.hours is None else f"({in_words(header.hours)})"
    line = (
        f"{name}: the name says {shown(named)} UTC, {header.source} says {header.local:%Y-%m-%d %H:%M:%S} {zone}; "
        f"{'the header' if header_counts else 'the name'} is used"
    )
    beyond_s = apart_s % QUARTER_S
    if apart_s <= FARTHEST_S + SAME_S and min(beyond_s, QUARTER_S - beyond_s) < SAME_S:
        line += ", one of them is in local time; if wrong give `utc_offset`"
    if header_counts:
        warnings = [line for line in warnings if header.doubt and header.doubt in line]
    return _exact(told, header, utc) if header_counts else told, [*warnings, line]


def _doubts(name: str, told: StartTime, clock: Clock, seconds: float) -> Iterator[str]:
    """Lines about a clock that was never set, gaps inside the file, and an end in the name that does not fit its length."""
    if any(-timedelta(seconds=FARTHEST_S) <= clock.start_utc - reset < SINCE_RESET for reset in RESET):
        yield (
            f"{name}: begins at {shown(clock.start_utc)} UTC, so the clock of the recorder was probably never set; give the "
            "true time as a sync in `recorders`"
        )
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
