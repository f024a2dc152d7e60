"""The page of an evaluation: tables, curves, and the worst errors to listen to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from whalefinder.calls.classification import WINDOW_S
from whalefinder.evaluation.judging import Verdict
from whalefinder.evaluation.metrics import confusion, precision_recall, roc
from whalefinder.evaluation.pictures import draw_by_ratio, draw_clip, draw_confusion, draw_curves, draw_reliability
from whalefinder.evaluation.sets import Sets
from whalefinder.evaluation.summary import (
    ALONE_HEADER,
    HEADER,
    PAPER_ACCURACY,
    PARTS_HEADER,
    RECORDINGS_HEADER,
    alone_row,
    by_recorder,
    calibration,
    paper_row,
    recall_by_ratio,
    recording_rows,
    row_of,
    species_rows,
    truth_of,
)
from whalefinder.files import writing
from whalefinder.pages.page import Drawing, Grid, Section, save_page
from whalefinder.results.formats import safe_stem
from whalefinder.results.records import EVENT_LABELS
from whalefinder.sound.spectrogram import RATE_HZ
from whalefinder.training.labelled import LabelledClip

WORST = 6  # this many of each kind of error are shown


def write_page(
    out: Path,
    sets: Sets,
    verdicts: Sequence[Verdict],
    pipeline: Verdict,
    names: dict[str, list[str]],
    figures: dict[str, Any],
    split: str,
) -> Path:
    """Write `out/evaluation.html`, and the sounds to which it links into `out/listen/`. → path of the page.

    Raises:
        OutputError: a file cannot be written.
    """
    own, page = verdicts[0], out / "evaluation.html"
    sections = [
        _mixtures(sets, verdicts, figures, split),
        _curves(sets, verdicts),
        _parts(sets, own, verdicts),
        _live(sets, verdicts, figures),
        _species(sets, names),
        _alone(out, sets, verdicts, pipeline),
        _worst(out, sets, own),
    ]
    save_page(page, f"whalefinder evaluation, split {split}", sections)
    return page


def _mixtures(sets: Sets, verdicts: Sequence[Verdict], figures: dict[str, Any], split: str) -> Section:
    calls = len({clip.source for clip in sets.mixtures if clip.label == "orca"})
    ships = len({clip.group for clip in sets.mixtures})
    words = [
        f"{len(sets.mixtures)} clips of 3 s. Half of them hold one of {calls} calls of the {split} split, mixed into one of {ships} "
        "ships at SIR -10 to 10 dB (0.5-12 kHz, while the call lasts). The other half hold the ships alone.",
        "Intervals are 95 % intervals: Wilson's for shares, a bootstrap over source clips for F1. The classifier has its shipped "
        "threshold. The other methods have the threshold with the highest F1 on dev mixtures.",
        "Accuracy in the examination paper, on its own data: "
        + ", ".join(f"{name} {share:.0%}" for name, share in PAPER_ACCURACY.items())
        + ".",
    ]
    rows = [row_of(v.judge, figures["judges"][v.judge]["mixtures"]) for v in verdicts]
    return Section("Calls in ships", words, [Grid("All methods on the same clips.", HEADER, [*rows, paper_row()])])


def _curves(sets: Sets, verdicts: Sequence[Verdict]) -> Section:
    truth = truth_of(sets.mixtures)
    curves = {
        v.judge: (precision_recall(truth, v.scores["mixtures"]), roc(truth, v.scores["mixtures"])) for v in verdicts
    }
    words = ["Precision depends on how common calls are. Here every second clip holds one."]
    drawings = [
        Drawing("Precision over recall, and ROC.", draw_curves(curves)),
        Drawing(
            "Reliability of the classifier's probability.", draw_reliability(calibration(verdicts[0], sets.mixtures))
        ),
    ]
    return Section("Curves and calibration", words, drawings=drawings)


def _parts(sets: Sets, own: Verdict, verdicts: Sequence[Verdict]) -> Section:
    rates = {
        v.judge: [(db, share.value, share.low, share.high) for db, share in recall_by_ratio(v, sets.mixtures)]
        for v in verdicts
    }
    grid = Grid("The classifier by kind of ship.", PARTS_HEADER, by_recorder(own, sets.mixtures, "mixtures"))
    drawing = Drawing(
        "Recall by SIR, with Wilson's interval. Every method has its own threshold.",
        draw_by_ratio(rates, "call over ship, dB (0.5-12 kHz)", "recall"),
    )
    return Section("By ratio and by recorder", [], [grid], [drawing])


def _live(sets: Sets, verdicts: Sequence[Verdict], figures: dict[str, Any]) -> Section:
    rows = [row_of(v.judge, figures["judges"][v.judge]["live"]) for v in verdicts]
    grids = [
        Grid(f"{len(sets.live)} clips, as recorded.", HEADER, rows),
        Grid(
            "The classifier by frequency band of the hydrophone.",
            PARTS_HEADER,
            by_recorder(verdicts[0], sets.live, "live"),
        ),
    ]
    words = ["Clips of 3 s from a live hydrophone, with a call and without."]
    return Section("Live hydrophone", words, grids)


def _species(sets: Sets, names: dict[str, list[str]]) -> Section:
    clips = [*sets.mixtures, *sets.live, *sets.species]
    named = [*names["mixtures"], *names["live"], *names["species"]]
    table = confusion([clip.label for clip in clips], named, EVENT_LABELS)
    rows = species_rows(names["species"], sets.species, EVENT_LABELS)
    words = [
        "Other whales and dolphins are only counted, because there are few recordings to train on. None of these recordings was "
        "used in training."
    ]
    header = ("species", *(name.replace("_", " ") for name in EVENT_LABELS))
    drawing = Drawing(
        "Mixtures, live clips and other species, by the label that the classifier gives.",
        draw_confusion(table, EVENT_LABELS, f"{len(clips)} clips"),
    )
    return Section(
        "All four labels", words, [Grid("Other species by the label that they got.", header, rows)], [drawing]
    )


def _alone(out: Path, sets: Sets, verdicts: Sequence[Verdict], pipeline: Verdict) -> Section:
    words = [
        "Ships of both splits, and recordings of stations and of the North Sea without an orca. "
        "Every method judges windows of 3 s that begin every 1.5 s. "
        "Neighbouring alarms count as one. No threshold was chosen on the test ships."
    ]
    rows = [alone_row(v) for v in (*verdicts, pipeline)]
    found: list[tuple[str, ...]] = [
        (v.judge, alarm.recording, f"{alarm.begin_s:.1f}", f"{alarm.score:.3f}")
        for v in (verdicts[0], pipeline)
        for alarm in v.alarms
    ]
    grids = [Grid("False orca alarms.", ALONE_HEADER, rows)]
    if found:
        worst = recording_rows(pipeline, sets.alone)
        grids.append(Grid("Alarms of the whole pipeline by recording, worst first.", RECORDINGS_HEADER, worst))
        grids.append(Grid("Times of the false alarms.", ("method", "recording", "second", "score"), found))
    return Section("Without an orca", words, grids, _alarms(out, sets, pipeline))


def _alarms(out: Path, sets: Sets, pipeline: Verdict) -> list[Drawing]:
    """The surest false alarm of each of the worst recordings, to see and to hear."""
    recordings = {clip.path.stem: clip for clip, _ in sets.alone}
    surest = {alarm.recording: alarm for alarm in sorted(pipeline.alarms, key=lambda alarm: alarm.score)}
    drawings = []
    for number, (name, *_) in enumerate(recording_rows(pipeline, sets.alone)[:WORST]):
        clip, alarm = recordings[name], surest[name]
        begin = max(0, round((alarm.begin_s - 1.0) * RATE_HZ))
        heard = LabelledClip(
            samples=clip.read()[begin : begin + round(WINDOW_S * RATE_HZ)], label="ambient", group=clip.path.parent.name,
            source=f"{name} at {begin / RATE_HZ:.1f} s", bandwidth_hz=clip.bandwidth_hz,
        )  # fmt: skip
        drawings.append(_heard(out, heard, alarm.score, "pipeline, false alarm", number))
    return drawings


def _worst(out: Path, sets: Sets, own: Verdict) -> Section:
    drawings = []
    for name in ("mixtures", "live"):
        clips, scores = getattr(sets, name), own.scores[name]
        truth, alarm = truth_of(clips), scores >= own.threshold
        for kind, wrong, order in (
            ("missed", truth & ~alarm, scores),
            ("false alarm", ~truth & alarm, -scores),
        ):
            chosen = [int(k) for k in np.argsort(order) if wrong[k]][:WORST]
            drawings += [_heard(out, clips[k], float(scores[k]), f"{name}, {kind}", k) for k in chosen]
    words = [
        "The errors that the classifier is most certain of. Spectrograms show every frequency relative to its own median. The "
        "sounds are cut from the recordings, whose licences do not allow you to pass them on."
    ]
    if not drawings:
        words = ["The classifier made no error on the mixtures and the live clips."]
    return Section("Errors to listen to", words, drawings=drawings)


def _heard(out: Path, clip: LabelledClip, score: float, kind: str, number: int) -> Drawing:
    sound = Path("listen") / f"{safe_stem(kind)}-{number:04d}-{safe_stem(clip.source)}.wav"
    peak = max(float(np.abs(clip.samples).max()), 1e-9)
    with writing(out / sound):
        (out / "listen").mkdir(parents=True, exist_ok=True)
        soundfile.write(out / sound, clip.samples * (0.9 / peak), RATE_HZ)
    ratio = "" if np.isnan(clip.snr_db) else f", SIR {clip.snr_db:+.1f} dB"
    words = f"{kind}: {clip.source} in {clip.group}{ratio}, probability of orca {score:.3f}"
    return Drawing(words, draw_clip(clip.samples, words), str(sound))
