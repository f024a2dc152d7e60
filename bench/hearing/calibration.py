"""Whether the stated probability of orca is true, and how well it sorts, on kinds of sound that nothing was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.hearing.judges import level_in, spans_of
from bench.hearing.run import LEFT_OUT, OURS, Heard
from bench.hearing.sounds import ALONE, OVER_AMBIENT, UNMIXED
from bench.hearing.tables import judges_of, markdown, share_cell
from whalefinder.evaluation.metrics import bootstrap, reliability, roc

FAINTEST = "-20 dB"  # not among the calls here: hardly anybody could hear them
BINS = 10


PAIRS = tuple(
    (words, mixed, some)
    for words, mixed in (("unmixed", False), ("in ships", True))
    for some in ("stations", "nuisances", "other species")
)
NUISANCES = {False: ALONE, True: OVER_AMBIENT}


@dataclass(frozen=True)
class Levels:
    """Scores of every judge `[clip]` and the recording of each clip."""

    scores: dict[str, np.ndarray]
    sources: list[str]


def levels_of(heard: Sequence[Heard], judges: Sequence[str]) -> Levels:
    """Calls as they are, all else in windows of 3 s: the highest score in each."""
    scores: dict[str, list[float]] = {judge: [] for judge in judges}
    sources = []
    for one in heard:
        for span in [one.sound.span_s] if one.sound.span_s else spans_of(one.seconds):
            sources.append(one.sound.source)
            for judge in judges:
                scores[judge].append(level_in(one.marks[judge], *span))
    return Levels({judge: np.array(values) for judge, values in scores.items()}, sources)


def split_up(heard: Sequence[Heard], split: str) -> tuple[list[Heard], dict[str, list[Heard]]]:
    """Calls of the split's own rows, and what is no call by what it is."""
    here = [one for one in heard if one.sound.split == split]
    calls = [
        o for o in here if o.sound.part == "calls" and "riptide" not in o.sound.place and o.sound.column != FAINTEST
    ]
    others = {
        "stations": [o for o in here if o.sound.part == "alone"],
        "nuisances": [o for o in here if o.sound.part == "nuisances"],
    }
    others["stations and nuisances"] = [o for part in others.values() for o in part]
    others["other species"] = [o for o in here if o.sound.part == "species"]
    return calls, {name: some for name, some in others.items() if some}


def area_table(heard: Sequence[Heard], splits: Sequence[str]) -> str:
    """Area under the ROC curve of calls, as they are and in ships, against each kind of other sound."""
    judges = [judge for judge in judges_of(heard) if judge != LEFT_OUT]
    rows = []
    for split in splits:
        calls, others = split_up(heard, split)
        for words, mixed, some in PAIRS:
            ours = [one for one in calls if (one.sound.column != UNMIXED) == mixed]
            theirs = [
                one for one in others.get(some, []) if some != "nuisances" or one.sound.column == NUISANCES[mixed]
            ]
            if not ours or not theirs:
                continue
            asked = [judge for judge in judges if all(judge in one.marks for one in ours + theirs)]
            true, false = levels_of(ours, asked), levels_of(theirs, asked)
            cells = [_area(true, false, judge) if judge in asked else "–" for judge in judges]
            rows.append((words, some, split, f"{len(true.sources)} / {len(false.sources)}", *cells))
    return markdown(("calls", "against", "split", "calls / clips", *judges), rows)


def _area(true: Levels, false: Levels, judge: str) -> str:
    score = np.concatenate([true.scores[judge], false.scores[judge]])
    orca = np.arange(len(score)) < len(true.scores[judge])

    def area(index: np.ndarray) -> float:
        both = 0 < orca[index].sum() < len(index)
        return roc(orca[index], score[index]).area if both else float("nan")

    found = bootstrap(area, true.sources + false.sources, repeats=200)
    return f"{found.value:.3f} ({found.low:.3f}–{found.high:.3f})"


def reliability_table(heard: Sequence[Heard], splits: Sequence[str], picture: Path | None) -> str:
    """What was stated and what was true, by tenths of the stated probability; drawn into `picture`, too."""
    rows, curves = [], {}
    for split in splits:
        calls, others = split_up(heard, split)
        if not calls or "stations and nuisances" not in others:
            continue
        true, false = levels_of(calls, [OURS]), levels_of(others["stations and nuisances"], [OURS])
        p = np.concatenate([true.scores[OURS], false.scores[OURS]]).clip(0.0, 1.0)
        orca = np.arange(len(p)) < len(true.sources)
        curve = reliability(orca, p, BINS)
        curves[split] = curve
        for k in np.flatnonzero(curve.count):
            count, right = int(curve.count[k]), round(float(curve.observed[k] * curve.count[k]))
            rows.append(
                (split, f"{k / BINS:.1f}–{(k + 1) / BINS:.1f}", f"{curve.stated[k]:.3f}", share_cell(right, count))
            )
    if picture is not None and curves:
        _draw(curves, picture)
    gaps = "; ".join(f"{split} {curve.error:.3f}" for split, curve in curves.items())
    table = markdown(("split", "stated", "mean stated", "orca in truth"), rows)
    return f"{table}\n\nMean distance between stated and true: {gaps}."


def _draw(curves: dict, picture: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(4.5, 4.2))
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    for split, curve in curves.items():
        inside = curve.count > 0
        axes.plot(curve.stated[inside], curve.observed[inside], marker="o", label=split)
    axes.set(xlabel="stated probability of orca", ylabel="share that is an orca", xlim=(0, 1), ylim=(0, 1.02))
    axes.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(picture, dpi=110)
    plt.close(figure)
