"""The tables: worst rows first, every share and rate with its exact interval and what it was counted from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from bench.hearing.run import BIRDNET, ENERGY, LEFT_OUT, OURS, SEGMENTER, SHIPPED, Heard
from whalefinder.evaluation.metrics import exact_share, false_alarms_per_hour

ORDER = (OURS, SHIPPED, LEFT_OUT, SEGMENTER, ENERGY, BIRDNET)
Groups = dict[tuple[str, ...], list[Heard]]


def judges_of(heard: Iterable[Heard]) -> list[str]:
    """Who was asked, in the order of the columns."""
    asked = {judge for one in heard for judge in one.marks}
    return [judge for judge in ORDER if judge in asked]


def share_cell(found: int, trials: int) -> str:
    """A share in percent, its exact 95 % interval, and the counts.

    >>> share_cell(9, 10)
    '90 % (55–100), 9 of 10'
    """
    if not trials:
        return "–"
    share = exact_share(found, trials)
    return f"{100 * share.value:.0f} % ({100 * share.low:.0f}–{100 * share.high:.0f}), {found} of {trials}"


def rate_cell(alarms: int, seconds: float, seconds_named: float) -> str:
    """Alarms an hour, the exact 95 % interval, the count, and the share of the time that is marked.

    >>> rate_cell(2, 3600.0, 36.0)
    '2.0 (0.2–7.2), 2, 1 %'
    """
    rate = false_alarms_per_hour(alarms, seconds)
    digits = 0 if rate.high >= 100 else 1
    marked = f", {100 * seconds_named / seconds:.0f} %" if alarms else ""
    return f"{rate.value:.{digits}f} ({rate.low:.{digits}f}–{rate.high:.{digits}f}), {alarms}{marked}"


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Rows as a Markdown table."""
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def grouped(heard: Iterable[Heard], key: Callable[[Heard], tuple[str, ...]]) -> Groups:
    """Sounds by the first cells of their row."""
    groups: Groups = defaultdict(list)
    for one in heard:
        groups[key(one)].append(one)
    return groups


def shares(heard: Sequence[Heard], header: Sequence[str], key: Callable[[Heard], tuple[str, ...]], *, low: bool) -> str:
    """Table of the share of sounds that are named orca; worst is a low share of calls, or a high one of anything else.

    Args:
        header: of the first columns, which `key` fills.
        low: whether the lowest share is the worst.
    """
    judges, sign = judges_of(heard), 1 if low else -1
    groups = grouped(heard, key)
    first = judges[0]

    def badness(cells: tuple[str, ...]) -> tuple[float, int]:
        found = sum(one.found(first) for one in groups[cells])
        return sign * found / len(groups[cells]), -len(groups[cells])

    rows = []
    for cells in sorted(groups, key=badness):
        asked = {judge: [one for one in groups[cells] if judge in one.marks] for judge in judges}
        counts = [share_cell(sum(one.found(judge) for one in some), len(some)) for judge, some in asked.items()]
        rows.append((*cells, str(len({one.sound.source for one in groups[cells]})), *counts))
    return markdown((*header, "recordings", *judges), rows)


def rates(heard: Sequence[Heard], header: Sequence[str], key: Callable[[Heard], tuple[str, ...]]) -> str:
    """Table of false orca alarms an hour; rows in which nobody hears an orca become one line below it."""
    judges, groups = judges_of(heard), grouped(heard, key)

    def alarms(cells: tuple[str, ...], judge: str) -> int:
        return sum(one.alarms(judge) for one in groups[cells])

    seconds = {cells: sum(one.seconds for one in some) for cells, some in groups.items()}
    rows, silent = [], []
    for cells in sorted(groups, key=lambda c: (-alarms(c, judges[0]) / seconds[c], -seconds[c])):
        minutes = f"{seconds[cells] / 60:.1f}"
        if any(alarms(cells, judge) for judge in judges):
            named = {judge: sum(one.seconds_named(judge) for one in groups[cells]) for judge in judges}
            rates = [rate_cell(alarms(cells, judge), seconds[cells], named[judge]) for judge in judges]
            rows.append((*cells, minutes, *rates))
        else:
            silent.append(f"{', '.join(cells)} ({minutes} min)")
    table = markdown((*header, "minutes", *judges), rows)
    return table + (f"\n\nNo alarm of any method: {'; '.join(silent)}." if silent else "")
