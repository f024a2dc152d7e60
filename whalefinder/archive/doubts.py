"""What the times of an archive's files suggest: local time with summer time, and samples that a recorder dropped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import date, datetime, time, timedelta
from itertools import pairwise

from whalefinder.archive.copies import alike
from whalefinder.archive.plan import Seam, recorders, seams
from whalefinder.archive.units import Entry
from whalefinder.words import duration, rounded

SPRING = ((3, -1), (3, 2), (10, 1), (9, -1))
AUTUMN = ((10, -1), (11, 1), (4, 1))
"""(month, which Sunday) on which clocks change in Europe, North America, Australia and New Zealand."""
ABOUT_AN_HOUR_S = (3000.0, 3660.0)
FIRST_HOURS = 4
DOUBLED = (1, 3)
"""The hour that comes twice lies between these hours of the day."""
ALIKE_S = 2.0
FEW = 3
"""In fewer files nothing is usual."""


def doubts(entries: Iterable[Entry]) -> list[str]:
    """One line for each thing to check, which begins with the name of a file."""
    entries = list(entries)
    found = seams(entries)
    lines = [_changed(seam) for seam in found if _is_summer_time(seam) or _is_winter_time(seam, found)]
    lines += [_alike(*pair) for pair in alike(entries)]
    return lines + [line for group in recorders(entries) for line in _dropped(group)]


def _is_summer_time(seam: Seam) -> bool:
    """Whether about an hour is missing or doubled in a night on which clocks change."""
    before, after = seam.before.start_utc, seam.after.start_utc
    if before is None or after is None or after.date() not in _sundays(after.year, SPRING + AUTUMN):
        return False
    in_the_night = after.hour <= FIRST_HOURS and after - before < timedelta(hours=FIRST_HOURS)
    gap = ABOUT_AN_HOUR_S[0] <= seam.seconds <= ABOUT_AN_HOUR_S[1]
    return in_the_night and (gap or seam.seconds < 0)


def _is_winter_time(seam: Seam, others: list[Seam]) -> bool:
    """Whether there is a seam in the hour that comes twice, other than those of a duty cycle.

    Where more than half of this hour was recorded, the files of its second time lie in the gap of the first.
    """
    before, after = seam.before.end_utc, seam.after.start_utc
    if before is None or after is None or after.date() not in _sundays(after.year, AUTUMN):
        return False
    first, last = (datetime.combine(after.date(), time(hour), after.tzinfo) for hour in DOUBLED)
    usual = [o for o in others if o.before.kin == seam.before.kin and abs(o.seconds - seam.seconds) <= ALIKE_S]
    return first <= before < last and first <= after < last and len(usual) < FEW


def _sundays(year: int, changes: Iterable[tuple[int, int]]) -> Iterator[date]:
    for month, which in changes:
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


def _alike(kept: Entry, entry: Entry) -> str:
    lasts = f"lasts {entry.duration_s:.3f} s, the other {kept.duration_s:.3f} s"
    return (
        f"{entry.name}: has the name and the start of {kept.name} and other sound ({lasts}); if it is a copy its calls count "
        "twice, take it away"
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
