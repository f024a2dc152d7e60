"""Real, unmixed recordings: what is found in them, and what raises a false alarm."""

from __future__ import annotations

from pathlib import Path

import soundfile

from whalefinder.locate import locate
from whalefinder.training.clips import Clip, find_clips


def table() -> str:
    """Recall on real call clips, alarms on ambient and ships, calls in field recordings."""
    calls = [c for c in find_clips("calls", "dev") if "orcaal" in c.path.parent.name]
    quiet = [c for c in find_clips("ambient", "dev") if "orcaal" in c.path.parent.name]
    words = "One hydrophone at a time, no bearing. Of these only the short field cuts and the ambient field rows were trained on."
    lines = ["## Real recordings, unmixed", "", words, ""]
    lines += ["| what | result |", "| --- | --- |"]
    found = sum(_count(c) > 0 for c in calls)
    alarms = sum(_count(c) > 0 for c in quiet)
    lines.append(f"| orcaal clips with a call (3 s each) | {found} of {len(calls)} found |")
    lines.append(f"| orcaal clips without | {alarms} of {len(quiet)} raise an alarm |")
    for words, clips in (
        ("ships (dev and test)", find_clips("boats", "dev") + find_clips("boats", "test")),
        ("North Sea ambient", [c for c in find_clips("ambient", "dev") if c not in quiet]),
    ):
        minutes = sum(_seconds(c.path) for c in clips) / 60
        count = sum(_count(c) for c in clips)
        lines.append(f"| {words}, {minutes:.1f} min | {count} alarms, {count / max(minutes, 1e-9):.2f} a minute |")
    for clip in find_clips("field", "train") + find_clips("field", "dev"):
        lines.append(f"| field/{clip.path.stem} ({clip.label}, {_seconds(clip.path):.0f} s) | {_count(clip)} calls |")
    return "\n".join(lines)


def _count(clip: Clip) -> int:
    return len(locate(clip.path))


def _seconds(path: Path) -> float:
    return float(soundfile.info(path).duration)
