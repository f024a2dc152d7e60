"""Every judge hears every sound."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.hearing import probe
from bench.hearing.judges import Energy, Mark, Program, threshold_of, with_names
from bench.hearing.sounds import ALONE, UNMIXED, Sound
from whalefinder.sound.spectrogram import RATE_HZ

OURS, SHIPPED, LEFT_OUT = "whalefinder", "shipped weights", "left out"
SEGMENTER, ENERGY, BIRDNET = "segmenter alone", "energy and entropy", "BirdNET probe"
Report = Callable[[int, int, str], None]


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What every judge heard in a sound; a judge that was not asked is missing."""

    sound: Sound
    seconds: float
    marks: dict[str, list[Mark]] = field(default_factory=dict)

    def found(self, judge: str) -> bool:
        """Whether something that overlaps what is asked about is named orca."""
        named = [mark for mark in self.marks[judge] if mark.named]
        if self.sound.span_s is None:
            return bool(named)
        begin_s, end_s = self.sound.span_s
        return any(mark.begin_s < end_s and mark.end_s > begin_s for mark in named)

    def alarms(self, judge: str) -> int:
        """How many marks are named orca."""
        return sum(mark.named for mark in self.marks[judge])

    def seconds_named(self, judge: str) -> float:
        """Seconds that are named orca."""
        return sum(min(mark.end_s, self.seconds) - mark.begin_s for mark in self.marks[judge] if mark.named)


def hear_all(
    sounds: Sequence[Sound],
    cache: Path,
    *,
    classifier: Path | None = None,
    left_out: dict[str, Path] | None = None,
    peers: bool = True,
    mixed_too: bool = True,
    report: Report = lambda done, total, note: None,
) -> list[Heard]:
    """Every judge on every sound.

    Args:
        cache: folder for what does not depend on the classifier.
        classifier: weights to judge, beside the shipped ones; None for the shipped ones alone.
        left_out: weights that were trained without the source of that name, asked about its calls alone.
        peers: whether others are asked, too.
        mixed_too: whether BirdNET, which takes longest, hears also what was mixed.
        report: called with (done, total, what).
    """
    programs = {OURS: Program(classifier, cache)} | ({SHIPPED: Program(None, cache)} if classifier else {})
    without = {name: Program(path, cache) for name, path in (left_out or {}).items()}
    energy = Energy(cache) if peers else None
    report(0, 1, "BirdNET's embeddings of the train rows")
    birdnet = probe.Probe(cache) if peers and probe.available() else None
    heard = []
    for done, sound in enumerate(sounds):
        report(done, len(sounds), f"{sound.part}: {sound.row}")
        samples = sound.read()
        one = Heard(sound=sound, seconds=len(samples) / RATE_HZ)
        for name, program in programs.items():
            one.marks[name], bare = program.hear(sound, samples)
            if peers:
                one.marks[SEGMENTER] = bare
        if sound.part == "calls" and sound.row in without:
            one.marks[LEFT_OUT] = without[sound.row].hear(sound, samples)[0]
        if energy is not None:
            one.marks[ENERGY] = energy.hear(sound, samples)
        if birdnet is not None and (mixed_too or sound.column in (UNMIXED, ALONE)):
            one.marks[BIRDNET] = with_names(birdnet.hear(sound, samples), birdnet.threshold)
        heard.append(one)
    report(len(sounds), len(sounds), "")
    # The train split sets the thresholds of those that have no names of their own.
    for name in (SEGMENTER, ENERGY) if peers else ():
        quiet = [(h.seconds, h.marks[name]) for h in heard if h.sound.part == "alone" and h.sound.split == "train"]
        threshold = threshold_of(quiet)
        for one in heard:
            one.marks[name] = with_names(one.marks[name], threshold)
    return heard
