"""Real recordings, not mixed: calls that are found in them, and false alarms."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import soundfile

from whalefinder.evaluation.metrics import false_alarms_per_hour
from whalefinder.pipeline import locate
from whalefinder.training.clips import Clip, find_clips


def table() -> str:
    """The table: calls found in real clips, alarms in ambient noise and ships, calls in field recordings."""
    calls = [c for c in find_clips("calls", "dev") if "orcaal" in c.path.parent.name]
    quiet = [c for c in find_clips("ambient", "dev") if "orcaal" in c.path.parent.name]
    words = (
        "These recordings are not mixed by us. Each has one hydrophone, so there are no bearings. The table counts detections "
        "by label. The networks were trained on the field recordings of the train split, and on none of the others. The labels "
        "of orcaal contradict the spectrograms (`docs/experiments.md`). `docs/field.jpg` shows the field recordings."
    )
    lines = ["## Real recordings", "", words, ""]
    lines += ["| what | result |", "| --- | --- |"]
    found = sum(_count(c)["orca"] > 0 for c in calls)
    alarms = sum(_count(c)["orca"] > 0 for c in quiet)
    lines.append(f"| orcaal clips with a call (3 s each) | {found} of {len(calls)} found |")
    lines.append(f"| orcaal clips without | {alarms} of {len(quiet)} raise an alarm |")
    total, total_minutes = 0, 0.0
    for words, clips in (
        ("ships (dev and test)", find_clips("boats", "dev") + find_clips("boats", "test")),
        ("North Sea ambient", [c for c in find_clips("ambient", "dev") if c not in quiet]),
    ):
        minutes = sum(_seconds(c.path) for c in clips) / 60
        counts = sum((_count(c) for c in clips), Counter[str]())
        lines.append(
            f"| {words}, {minutes:.1f} min | {counts['orca']} orca alarms, {counts['other_cetacean']} of other cetaceans |"
        )
        total, total_minutes = total + counts["orca"], total_minutes + minutes
    lines.append(f"| both, {total_minutes:.1f} min | {total} orca alarms, {_interval(total, total_minutes)} |")
    for clip in find_clips("field", "train") + find_clips("field", "dev"):
        counts = _count(clip)
        names = f"{counts['orca']} orca, {counts['other_cetacean']} other cetacean"
        lines.append(f"| field/{clip.path.stem} ({clip.label}, {_seconds(clip.path):.0f} s) | {names} |")
    return "\n".join(lines)


def _interval(alarms: int, minutes: float) -> str:
    rate = false_alarms_per_hour(alarms, 60 * max(minutes, 1e-9))
    return f"{rate.value:.1f} an hour ({rate.low:.1f}–{rate.high:.1f})"


def _count(clip: Clip) -> Counter[str]:
    return Counter(detection.label for detection in locate(clip.path))


def _seconds(path: Path) -> float:
    return float(soundfile.info(path).duration)
