"""How the times of recorders are to be read: a file (TOML) that says it for each recorder of a deployment."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path, PurePath
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from whalefinder.errors import OptionError
from whalefinder.sound.clock import Clock
from whalefinder.sound.time_format import checked_format
from whalefinder.sound.zones import checked, offset_hours

MOST_DRIFT = 0.01
"""No recorder's clock is worse. A larger value is a typing error."""
ALLOWED = {
    "names": "a pattern of file names, with * and ?",
    "utc_offset": "hours from -12 to 14, or hh:mm as in '+05:30'",
    "time_format": "a format of a time such as '%Y%m%d_%H%M%S'",
    "sync": "a list of { recorder = time, true = time }",
    "recorder": "a time with an offset, as in 2026-07-01T12:00:00Z",
    "true": "a time with an offset, as in 2026-07-01T12:00:00Z",
}


def _hours(value: object) -> object:
    """Hours of an offset, which may be written as a number or as text."""
    if isinstance(value, bool):  # which Python counts as a number
        raise ValueError(f"is not allowed; give {ALLOWED['utc_offset']}")
    try:
        return offset_hours(value) if isinstance(value, str) else value
    except OptionError as reason:
        raise ValueError(str(reason).partition(" is ")[2]) from reason


def _format(value: str) -> str:
    try:
        return checked_format(value)
    except OptionError as reason:
        raise ValueError(str(reason).partition(repr(value))[2].strip()) from reason


class _Sync(BaseModel):
    model_config = ConfigDict(extra="forbid")
    recorder: AwareDatetime
    true: AwareDatetime


class _Recorder(BaseModel):
    model_config = ConfigDict(extra="forbid")
    names: str = Field(min_length=1)
    utc_offset: Annotated[float, BeforeValidator(_hours)] | None = Field(default=None, ge=-12.0, le=14.0)
    time_format: Annotated[str, AfterValidator(_format)] | None = None
    sync: list[_Sync] = []


class _RecordersFile(BaseModel):
    model_config = ConfigDict(extra="forbid")
    recorder: list[_Recorder] = Field(min_length=1)


@dataclass(frozen=True)
class Recorder:
    """How the times of one recorder are read.

    Args:
        names: pattern of its files, with * and ?: their names, or the last folders and the name.
        utc_offset: hours from UTC of the clock that the names show, or None.
        time_format: format of the time in the names, as for strptime, or None.
        sync: (time that the recorder showed, true time), both in UTC and in order. The clock runs evenly between two.
    """

    names: str = "*"
    utc_offset: float | None = None
    time_format: str | None = None
    sync: tuple[tuple[datetime, datetime], ...] = ()

    def corrected(self, clock: Clock) -> Clock:
        """A clock that shows the true time instead of the recorder's."""
        if not self.sync:
            return clock
        shown, true = self.sync[0]
        rate = 1.0
        for (begin, true_begin), (end, true_end) in pairwise(self.sync):
            if begin <= clock.start_utc or begin == self.sync[0][0]:
                rate = (true_end - true_begin) / (end - begin)
                shown, true = begin, true_begin
        start = true + (clock.start_utc - shown) * rate
        return Clock(start, tuple((at, length * rate) for at, length in clock.jumps), clock.rate * rate)


@dataclass(frozen=True)
class Times:
    """How times are read.

    Args:
        time_format, utc_offset: as in `Recorder`, for all recorders that do not say something else.
        recorders: those of a file. The first whose `names` fit counts.

    Raises:
        OptionError: `time_format` is no format of date and hour.
    """

    time_format: str | None = None
    utc_offset: float | None = None
    recorders: tuple[Recorder, ...] = ()

    def __post_init__(self) -> None:
        if self.time_format is not None:
            checked_format(self.time_format)

    def unused(self, paths: Iterable[str | PurePath]) -> Iterator[str]:
        """One line for each of `recorders` that counts for none of some files."""
        named = [[each for each in self.recorders if PurePath(path).match(each.names)] for path in paths]
        for recorder in self.recorders:
            if any(fitting[:1] == [recorder] for fitting in named):
                continue
            if any(recorder in fitting for fitting in named):
                yield f"`recorders`: names = {recorder.names!r} fits only files that an entry before it fits; move it up"
            else:
                yield f"`recorders`: names = {recorder.names!r} fits no file, so this entry is not used; check the pattern"

    def of(self, path: str | PurePath) -> Recorder:
        """How the times of a file are read."""
        found = next((each for each in self.recorders if PurePath(path).match(each.names)), Recorder())
        return Recorder(
            found.names,
            self.utc_offset if found.utc_offset is None else found.utc_offset,
            found.time_format or self.time_format,
            found.sync,
        )


def times_of(time_format: str | None, utc_offset: float | None, recorders: Path | None) -> Times:
    """How times are read, from the options of a run.

    Raises:
        OptionError: an offset that no place has, a format without date or hour, or a file of recorders that cannot be
            read or is wrong.
    """
    if utc_offset is not None:
        checked(utc_offset)
    return Times(time_format, utc_offset, load_recorders(recorders) if recorders else ())


def load_recorders(path: Path) -> tuple[Recorder, ...]:
    """Read a file of recorders (`docs/how-to/times.md`).

    Raises:
        OptionError: the file cannot be read, or an entry is wrong. One line names the entry, its value and what is
            allowed.
    """
    try:
        described = _RecordersFile(**tomllib.loads(path.read_text(encoding="utf-8-sig")))
    except OSError as reason:
        raise OptionError(
            f"`recorders` {path}: cannot be read ({reason.strerror}); give the path of a TOML file"
        ) from reason
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as reason:
        raise OptionError(
            f"`recorders` {path}: not a TOML file ({reason}); it needs a [[recorder]] with names for each recorder"
        ) from reason
    except ValidationError as reason:
        raise OptionError(f"`recorders` {path}: {_first_problem(reason)}") from reason
    return tuple(_recorder(each, path) for each in described.recorder)


def _recorder(described: _Recorder, path: Path) -> Recorder:
    sync = sorted((pair.recorder.astimezone(UTC), pair.true.astimezone(UTC)) for pair in described.sync)
    for before, after in pairwise(sync):
        passed, truly = after[0] - before[0], after[1] - before[1]
        if passed <= timedelta(0) or abs(truly / passed - 1) > MOST_DRIFT:
            raise OptionError(
                f"`recorders` {path}: sync of {described.names!r}: {passed.total_seconds():g} s on the recorder are "
                f"{truly.total_seconds():g} true seconds; clocks drift by less than {100 * MOST_DRIFT:g} %"
            )
    return Recorder(described.names, described.utc_offset, described.time_format, tuple(sync))


def _first_problem(reason: ValidationError) -> str:
    problem = reason.errors()[0]
    place = ".".join(str(part + 1) if isinstance(part, int) else part for part in problem["loc"])
    if problem["type"] == "missing":
        return f"{place} is missing; add it"
    if problem["type"] == "extra_forbidden":
        known = _Sync if "sync" in problem["loc"] else _Recorder if len(problem["loc"]) > 1 else _RecordersFile
        return f"{place} is not a known entry; known are {', '.join(known.model_fields)}"
    value, name = problem["input"], str(problem["loc"][-1])
    shown = f"{place} = {value}" if isinstance(value, datetime) else f"{place} = {value!r}"
    if problem["type"] == "value_error" and isinstance(value, str | bool):
        return f"{shown}: {problem['msg'].removeprefix('Value error, ').removeprefix('is ')}"
    allowed = ALLOWED.get(name) if len(problem["loc"]) > 1 else None
    return f"{shown}: not allowed; give {allowed or 'a [[recorder]] with names for each recorder'}"
