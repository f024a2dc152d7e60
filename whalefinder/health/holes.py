"""What is missing in a recording, as findings: digital silence, held values, jumps of the clock, wrong samples."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from whalefinder.health.findings import Finding
from whalefinder.sound.holes import HELD, SILENCE, STEP
from whalefinder.sound.recording import Recording

KINDS = {SILENCE: "gap", HELD: "held", STEP: "level"}
"""Kinds of finding by what a hole is. Any other hole is a jump."""


def findings_of_holes(recording: Recording) -> Iterator[Finding]:
    """One finding for every kind of hole of a recording that was read, with the seconds that are missing."""
    by_kind = sorted(recording.holes, key=lambda hole: KINDS.get(hole.what, "jump"))
    for kind, group in groupby(by_kind, key=lambda hole: KINDS.get(hole.what, "jump")):
        holes = list(group)
        yield Finding(
            kind=kind,
            channels=recording.labels,
            from_s=min(hole.begin_s for hole in holes),
            to_s=max(hole.end_s for hole in holes),
            value=sum(hole.end_s - hole.begin_s for hole in holes),
            unit="s",
            seen=len(holes),
            of=len(holes),
        )
    wrong_s = recording.wrong_s
    if wrong_s:
        count = len(wrong_s)
        yield Finding(
            kind="wrong", channels=recording.labels, from_s=wrong_s[0], to_s=wrong_s[-1], seen=count, of=count
        )
