"""What the times of an archive's files suggest: local time with summer time, and samples that a recorder dropped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta
from itertools import pairwise

from whalefinder.archive.plan import Seam, recorders, seams
from whalefinder.archive.units import Entry
from whalefinder.words import duration, rounded

CHANGES = ((3, -1), (10, -1), (3, 2), (11, 1), (4, 1), (10, 1), (9, -1))
"""(month, which Sunday) on which clocks change in Europe, North America, Australia and New Zealand."""
ABOUT_AN_HOUR_S = (3000.0, 3660.0)
FIRST_HOURS = 4
FEW = 3
"""In fewer files nothing is usual."""


def doubts(entries: Iterable[Entry]) -> list[str]:
    """One line for each thing to check, which begins with the name of a file."""
    entries = list(entries)
    lines = [_changed(seam) for seam in seams(entries) if _is_summer_time(seam)]
    return lines + [line for group in recorders(entries) for line in _dropped(group)]


def _is_summer_time(seam: Seam) -> bool:
    """Whether about an hour is missing or doubled in a night on which clocks change."""
    before, after = seam.before.start_utc, seam.after.start_utc
    if before is None or after is None or not any(day == after.date() for day in _sundays(after.year)):
        return False
    in_the_night = after.hour <= FIRST_HOURS and after - before < timedelta(hours=FIRST_HOURS)
    gap = ABOUT_AN_HOUR_S[0] <= seam.seconds <= ABOUT_AN_HOUR_S[1]
    return in_the_night and (gap or seam.seconds < 0)


def _sundays(year: int) -> Iterator[date]:
    for month, which in CHANGES:
        first = date(year, month, 1)
        sundays = [day for k in range(31) if (day := first + timedelta(k)).month == month and day.isoweekday() == 7]
        yield sundays[which - 1 if which > 0 else which]


def _changed(seam: Seam) -> str:
    what = "no sound" if seam.seconds > 0 else "two sounds at once"
    began = seam.after.start_utc or datetime.min
    return (
        f"{seam.before.name}: then {what} for {duration(abs(seam.seconds))} on {began:%Y-%m-%d}, a night on which clocks "
        "change; if the names are in local time, give `recorders` with an offset for the files before and after it"
    )


def _dropped(group: list[Entry]) -> Iterator[str]:
    """Files that are shorter than usual although the next begins as usual: sound is missing in them."""
    steps = Counter(round(_step_s(a, b)) for a, b in pairwise(group) if a.start_utc and b.start_utc)
    lengths = Counter(round(entry.duration_s) for entry in group)
    if len(group) < FEW or not steps:
        return
    usual_s, step_s = lengths.most_common(1)[0][0], steps.most_common(1)[0][0]
    for entry, after in pairwise(group):
        missing_s = usual_s - entry.duration_s
        if missing_s >= 1.0 and abs(_step_s(entry, after) - step_s) < 1.0 and not entry.problems:
            yield (
                f"{entry.name}: lasts {rounded(entry.duration_s)} s, others {usual_s} s, and the next begins as usual; if samples "
                f"were dropped inside, times in it are up to {rounded(missing_s)} s early"
            )


def _step_s(before: Entry, after: Entry) -> float:
    if before.start_utc is None or after.start_utc is None:
        return 0.0
    return (after.start_utc - before.start_utc).total_seconds()
