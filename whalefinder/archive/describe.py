"""The text that describes a plan before the work begins: recordings, times, gaps, and what cannot be read."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import fields

from whalefinder.archive.doubts import doubts
from whalefinder.archive.plan import Plan, Seam, chains, recorders, seams
from whalefinder.archive.units import Entry
from whalefinder.options import LocateOptions
from whalefinder.words import count, duration

SHOWN = 10


def describe(plan: Plan, done: set[str]) -> list[tuple[str, str]]:
    """Pairs of text (what, value), one line each. `done`: ids of units that have a result."""
    entries = plan.entries
    files = sum(len(entry.files) for entry in entries)
    gigabytes = sum(file.size for entry in entries for file in entry.files) / 1e9
    lines = [
        ("recordings", f"{len(entries):,} in {count(files, 'file')}, {duration(_seconds(entries))}, {gigabytes:.1f} GB")
    ]
    dated = [entry for entry in entries if entry.start_utc is not None]
    if dated:
        last = max(entry.end_utc for entry in dated if entry.end_utc)
        lines.append(("time", f"{dated[0].start_utc:%Y-%m-%d %H:%M:%S} to {last:%Y-%m-%d %H:%M:%S} UTC"))
        lines.append(("recorders", str(len(recorders(dated)))))
        found = seams(dated)
        stretches = sum(1 for _ in chains(dated))
        lines.append(("continuous", f"{count(stretches, 'stretch', 'stretches')} without a gap"))
        lines.append(("gaps", _seams_in_words([seam for seam in found if seam.seconds > 0])))
        lines += _inside(dated)
        lines.append(("overlaps", _seams_in_words([seam for seam in found if seam.seconds < 0])))
    if len(dated) < len(entries):
        undated = [entry.name for entry in entries if entry.start_utc is None]
        lines.append(("without a time", f"{len(undated)}, for example {undated[0]}; see `time_format`"))
    lines.append(("sample rates", _counted(f"{entry.rate_hz} Hz" for entry in entries)))
    lines.append(("channels", _counted(str(len(entry.columns)) for entry in entries)))
    if plan.left_out:
        name, reason = plan.left_out[0]
        lines.append(("left out", f"{count(len(plan.left_out), 'file')}, for example {name} {reason}"))
    lines.append(("options", _in_words(plan.options)))
    todo = [unit for unit in plan.units if unit.id not in done]
    lines.append(("unreadable", str(len(plan.unreadable)) if plan.unreadable else "none"))
    lines.append(
        (
            "work",
            f"{count(len(plan.units), 'unit')}, {len(plan.units) - len(todo):,} done, {duration(sum(u.seconds for u in todo))} to do",
        )
    )
    return lines


def complaints(plan: Plan) -> list[str]:
    """One line for each thing to check before the work: files that cannot be read and why, and doubtful start times."""
    lines = [f"unreadable: {name}: {reason}" for name, reason in plan.unreadable[:SHOWN]]
    if len(plan.unreadable) > SHOWN:
        lines.append(f"… and {len(plan.unreadable) - SHOWN} more unreadable, all are in problems.csv")
    damaged = [line for entry in plan.entries for line in entry.problems]
    lines += [f"problem: {line}" for line in damaged[:SHOWN]]
    lines += [f"left out: {name}: {reason}" for name, reason in plan.left_out[:SHOWN]]
    if len(plan.left_out) > SHOWN:
        lines.append(f"… and {len(plan.left_out) - SHOWN} more left out, all are in left_out.csv")
    lines += [f"warning: {line}" for line in plan.remarks[:SHOWN]]
    for first, more in _kinds([line for entry in plan.entries for line in entry.warnings] + doubts(plan.entries)):
        lines.append(f"warning: {first}")
        if more:
            lines.append(f"… and {count(more, 'more warning')} of this kind")
    return lines


def _kinds(lines: list[str]) -> list[tuple[str, int]]:
    """The first line of each kind, and how many more there are. Lines of one kind differ in names and numbers."""
    kinds: dict[str, list[str]] = {}
    for line in lines:
        kinds.setdefault(re.sub(r"\d+", "#", line.partition(": ")[2]), []).append(line)
    return [(same[0], len(same) - 1) for same in list(kinds.values())[:SHOWN]]


def _inside(dated: list[Entry]) -> list[tuple[str, str]]:
    """The line about gaps inside files, if there are any."""
    gaps = [length for entry in dated for _, length in entry.jumps]
    if not gaps:
        return []
    files = sum(bool(entry.jumps) for entry in dated)
    return [("gaps inside", f"{len(gaps):,} in {count(files, 'file')}, {duration(sum(map(abs, gaps)))} in all")]


def _in_words(options: LocateOptions) -> str:
    asked = [f"{f.name} {getattr(options, f.name)}" for f in fields(options) if getattr(options, f.name) != f.default]
    return ", ".join(asked) or "default"


def _seconds(entries: Iterable[Entry]) -> float:
    return sum(entry.duration_s for entry in entries)


def _counted(values: Iterable[str]) -> str:
    return ", ".join(f"{value} ({times})" for value, times in Counter(values).most_common()) or "none"


def _seams_in_words(found: list[Seam]) -> str:
    if not found:
        return "none"
    longest = max(found, key=lambda seam: abs(seam.seconds))
    total = duration(sum(abs(seam.seconds) for seam in found))
    return f"{len(found)}, {total} in all, longest {duration(abs(longest.seconds))} between {longest.before.name} and {longest.after.name}"
