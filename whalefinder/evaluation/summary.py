"""From scores to figures: tables of the methods, also by recorder and by ratio, and the content of `figures.json`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import soundfile

from whalefinder.evaluation.judging import Verdict
from whalefinder.evaluation.metrics import (
    Counts,
    Interval,
    bootstrap,
    false_alarms_per_hour,
    precision_recall,
    reliability,
    roc,
    wilson,
)
from whalefinder.evaluation.sets import ratio_of, recorder_of
from whalefinder.training.clips import Clip
from whalefinder.training.labelled import LabelledClip

PAPER = Counts.complete(total=1000, accuracy=0.84, true_positive=450, false_negative=50)
"""The paper's final classifier (docs/paper.md, 4.6)."""
PAPER_ACCURACY = {"start": 0.72, "with L2": 0.81, "final": 0.84}
REPEATS = 1000  # draws of the bootstrap
HEADER = ("method", "accuracy", "recall", "specificity", "precision", "F1", "average precision", "ROC area")


def truth_of(clips: Sequence[LabelledClip]) -> np.ndarray:
    """Whether each clip has an orca, `[clip]` bool."""
    return np.array([clip.label == "orca" for clip in clips])


def figures_of(verdict: Verdict, clips: Sequence[LabelledClip], name: str) -> dict[str, Any]:
    """The figures of one method on the set `name`: counts, shares with intervals (Wilson and bootstrap), areas."""
    truth, scores = truth_of(clips), verdict.scores[name]
    alarm = scores >= verdict.threshold
    counts = Counts.of(truth, alarm)
    shares: dict[str, Interval] = counts.intervals()
    by_source = dict(shares)
    for what in ("accuracy", "recall", "specificity", "precision", "f1"):
        by_source[what] = bootstrap(
            lambda index, what=what: getattr(Counts.of(truth[index], alarm[index]), what),  # type: ignore[misc]
            [clip.source for clip in clips],
            repeats=REPEATS,
        )
    areas = {}
    if truth.any() and not truth.all():
        areas = {"average_precision": precision_recall(truth, scores).area, "roc_area": roc(truth, scores).area}
    return {
        "clips": len(clips),
        "sources": len({clip.source for clip in clips}),
        "threshold": verdict.threshold,
        "counts": vars(counts) | {},
        "wilson": {key: vars(value) for key, value in shares.items()},
        "bootstrap_over_sources": {key: vars(value) for key, value in by_source.items()},
        **areas,
    }


def row_of(judge: str, figures: dict[str, Any]) -> tuple[str, ...]:
    """A row of the table with `HEADER`: shares with Wilson's interval, F1 with that of the bootstrap."""
    shares = [str(Interval(**figures["wilson"][what])) for what in ("accuracy", "recall", "specificity", "precision")]
    f1 = str(Interval(**figures["bootstrap_over_sources"]["f1"]))
    areas = [f"{figures[what]:.3f}" if what in figures else "" for what in ("average_precision", "roc_area")]
    return (judge, *shares, f1, *areas)


SHORT_HEADER = ("method", "accuracy", "recall", "specificity", "F1", "ROC")


def short_row(judge: str, figures: dict[str, Any]) -> tuple[str, ...]:
    """A row of the table with `SHORT_HEADER`, which fits a terminal: intervals stand below their figures."""
    shares = [Interval(**figures["wilson"][what]) for what in ("accuracy", "recall", "specificity")]
    cells = [
        f"{i.value:.3f}\n{i.low:.2f}-{i.high:.2f}"
        for i in (*shares, Interval(**figures["bootstrap_over_sources"]["f1"]))
    ]
    return (judge, *cells, f"{figures['roc_area']:.3f}" if "roc_area" in figures else "")


def short_paper_row() -> tuple[str, ...]:
    """The row of the paper's final model in the table with `SHORT_HEADER`."""
    shares = (PAPER.accuracy, PAPER.recall, PAPER.specificity, PAPER.f1)
    return ("examination paper, own data", *(f"{value:.3f}" for value in shares), "")


def paper_row() -> tuple[str, ...]:
    """The row of the paper's final model in the table with `HEADER`."""
    shares = [f"{value:.3f}" for value in (PAPER.accuracy, PAPER.recall, PAPER.specificity, PAPER.precision, PAPER.f1)]
    return ("examination paper's final model (its own data)", *shares, "", "")


def split_rows(
    verdict: Verdict, clips: Sequence[LabelledClip], name: str, key: Callable[[LabelledClip], str]
) -> list[tuple[str, ...]]:
    """Recall and specificity for groups of clips: rows of (group, calls, recall, others, specificity).

    `key` gives the group of a clip; clips with "" are left out.
    """
    truth, alarm = truth_of(clips), verdict.scores[name] >= verdict.threshold
    parts = np.array([key(clip) for clip in clips])
    rows: list[tuple[str, ...]] = []
    for part in dict.fromkeys(sorted(p for p in parts if p)):
        calls, others = (parts == part) & truth, (parts == part) & ~truth
        rows.append(
            (
                part,
                str(int(calls.sum())),
                str(wilson(int(alarm[calls].sum()), int(calls.sum()))) if calls.any() else "",
                str(int(others.sum())),
                str(wilson(int((~alarm[others]).sum()), int(others.sum()))) if others.any() else "",
            )
        )
    return rows


PARTS_HEADER = ("part", "with a call", "recall", "without", "specificity")


def by_recorder(verdict: Verdict, clips: Sequence[LabelledClip], name: str) -> list[tuple[str, ...]]:
    """Recall and specificity for the groups of `sets.recorder_of`."""
    return split_rows(verdict, clips, name, recorder_of)


def recall_by_ratio(verdict: Verdict, clips: Sequence[LabelledClip]) -> list[tuple[float, Interval]]:
    """Recall in every bin of SIR: (mean SIR in dB, recall)."""
    alarm = verdict.scores["mixtures"] >= verdict.threshold
    bins: dict[str, list[int]] = {}
    for k, clip in enumerate(clips):
        if clip.label == "orca":
            bins.setdefault(ratio_of(clip), []).append(k)
    found = [
        (float(np.mean([clips[k].snr_db for k in inside])), wilson(int(alarm[inside].sum()), len(inside)))
        for inside in bins.values()
    ]
    return sorted(found, key=lambda point: point[0])


def alone_row(verdict: Verdict) -> tuple[str, ...]:
    """A row of (method, alarms, minutes, alarms per hour)."""
    rate = false_alarms_per_hour(len(verdict.alarms), verdict.seconds_alone)
    minutes = verdict.seconds_alone / 60
    return (
        verdict.judge,
        str(len(verdict.alarms)),
        f"{minutes:.1f}",
        f"{rate.value:.1f} ({rate.low:.1f}-{rate.high:.1f})",
    )


ALONE_HEADER = ("method", "false orca alarms", "minutes", "per hour (exact Poisson interval)")


RECORDINGS_HEADER = ("recording", "label in the data", "minutes", "false alarms", "surest")


def recording_rows(verdict: Verdict, recordings: Sequence[tuple[Clip, str]]) -> list[tuple[str, ...]]:
    """Recordings with false alarms, those with the most first. Rows as `RECORDINGS_HEADER` says."""
    rows = []
    for clip, label in recordings:
        scores = [alarm.score for alarm in verdict.alarms if alarm.recording == clip.path.stem]
        if scores:
            minutes = f"{soundfile.info(clip.path).duration / 60:.2f}"
            row = (clip.path.stem, clip.sublabel or label, minutes, str(len(scores)), f"{max(scores):.3f}")
            rows.append((-len(scores), -max(scores), row))
    return [row for *_, row in sorted(rows)]


def species_rows(names: Sequence[str], clips: Sequence[LabelledClip], classes: Sequence[str]) -> list[tuple[str, ...]]:
    """The labels that clips of every species got, rows of (species, count of each label).

    Species that are named orca most often stand first.
    """
    found = {species: {name: 0 for name in classes} for species in sorted({clip.source for clip in clips})}
    for name, clip in zip(names, clips, strict=True):
        found[clip.source][name] += 1
    worst = sorted(found.items(), key=lambda row: -row[1][classes[0]] / sum(row[1].values()))
    return [(species.replace("_", " "), *(str(count[name]) for name in classes)) for species, count in worst]


def calibration(verdict: Verdict, clips: Sequence[LabelledClip]) -> Any:
    """Reliability of the classifier's probability on the mixtures."""
    return reliability(truth_of(clips), verdict.scores["mixtures"])
