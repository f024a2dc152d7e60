"""The report of a judgement: tables, curves, and the worst errors to listen to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from whalefinder.evaluation.judging import Verdict
from whalefinder.evaluation.metrics import confusion, precision_recall, roc
from whalefinder.evaluation.pictures import draw_by_ratio, draw_clip, draw_confusion, draw_curves, draw_reliability
from whalefinder.evaluation.sets import Sets
from whalefinder.evaluation.summary import (
    ALONE_HEADER,
    HEADER,
    PAPER_ACCURACY,
    PARTS_HEADER,
    alone_row,
    by_recorder,
    calibration,
    paper_row,
    recall_by_ratio,
    row_of,
    species_rows,
    truth_of,
)
from whalefinder.files import writing
from whalefinder.pages.page import Drawing, Grid, Section, save_page
from whalefinder.results.formats import safe_stem
from whalefinder.results.records import LABELS
from whalefinder.sound.spectrogram import RATE_HZ
from whalefinder.training.labelled import LabelledClip

WORST = 6  # of each kind of error


def write_page(
    out: Path,
    sets: Sets,
    verdicts: Sequence[Verdict],
    pipeline: Verdict,
    names: dict[str, list[str]],
    figures: dict[str, Any],
    split: str,
) -> Path:
    """Write `out/evaluation.html`, and the sounds that it links to into `out/listen/`. → the page."""
    own, page = verdicts[0], out / "evaluation.html"
    sections = [
        _mixtures(sets, verdicts, figures, split),
        _curves(sets, verdicts),
        _parts(sets, own, verdicts),
        _live(sets, verdicts, figures),
        _species(sets, names),
        _alone(verdicts, pipeline),
        _worst(out, sets, own),
    ]
    save_page(page, f"whalefinder evaluation, split {split}", sections)
    return page


def _mixtures(sets: Sets, verdicts: Sequence[Verdict], figures: dict[str, Any], split: str) -> Section:
    calls = len({clip.source for clip in sets.mixtures if clip.label == "orca"})
    ships = len({clip.group for clip in sets.mixtures})
    words = [
        f"{len(sets.mixtures)} clips of 3 s: {calls} calls of the {split} types mixed into {ships} {split} ships at SIR -10 to "
        "10 dB (0.5-12 kHz, while the call lasts), 1:1 with ships alone. Shares with Wilson's 95 % interval, F1 with the bootstrap "
        "over source clips. The rivals' thresholds are those of the highest F1 on dev mixtures; the classifier's is the shipped one.",
        "The paper's accuracy, on its own data: "
        + ", ".join(f"{name} {share:.0%}" for name, share in PAPER_ACCURACY.items())
        + ".",
    ]
    rows = [row_of(v.judge, figures["judges"][v.judge]["mixtures"]) for v in verdicts]
    return Section("Calls in ships", words, [Grid("Every judge on the same clips.", HEADER, [*rows, paper_row()])])


def _curves(sets: Sets, verdicts: Sequence[Verdict]) -> Section:
    truth = truth_of(sets.mixtures)
    curves = {
        v.judge: (precision_recall(truth, v.scores["mixtures"]), roc(truth, v.scores["mixtures"])) for v in verdicts
    }
    words = ["Precision depends on how common calls are: here every second clip holds one."]
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
        "Recall by SIR, with Wilson's interval; every judge at its threshold.",
        draw_by_ratio(rates, "call over ship, dB (0.5-12 kHz)", "recall"),
    )
    return Section("By ratio and by recorder", [], [grid], [drawing])


def _live(sets: Sets, verdicts: Sequence[Verdict], figures: dict[str, Any]) -> Section:
    rows = [row_of(v.judge, figures["judges"][v.judge]["live"]) for v in verdicts]
    grids = [
        Grid(f"{len(sets.live)} clips, unmixed.", HEADER, rows),
        Grid("The classifier by band of the hydrophone.", PARTS_HEADER, by_recorder(verdicts[0], sets.live, "live")),
    ]
    words = ["3 s clips of a live hydrophone, with a call and without."]
    return Section("Live hydrophone", words, grids)


def _species(sets: Sets, names: dict[str, list[str]]) -> Section:
    clips = [*sets.mixtures, *sets.live, *sets.species]
    named = [*names["mixtures"], *names["live"], *names["species"]]
    table = confusion([clip.label for clip in clips], named, LABELS)
    rows = species_rows(names["species"], sets.species, LABELS)
    words = [
        "Other whales and dolphins are reported, not judged: there is little of them to learn from. None of these recordings was "
        "trained on."
    ]
    header = ("species", *(name.replace("_", " ") for name in LABELS))
    drawing = Drawing(
        "Mixtures, live clips and other species, as the classifier names them at its thresholds.",
        draw_confusion(table, LABELS, f"{len(clips)} clips"),
    )
    return Section(
        "All four names", words, [Grid("Other species by the name they were given.", header, rows)], [drawing]
    )


def _alone(verdicts: Sequence[Verdict], pipeline: Verdict) -> Section:
    words = [
        "Ships of both splits and North Sea ambient, no call in them. Judges slide over them in windows of 3 s, 1.5 s apart; "
        "neighbouring alarms are one. No threshold was chosen on the test ships."
    ]
    rows = [alone_row(v) for v in (*verdicts, pipeline)]
    found: list[tuple[str, ...]] = [
        (v.judge, alarm.recording, f"{alarm.begin_s:.1f}", f"{alarm.score:.3f}")
        for v in (verdicts[0], pipeline)
        for alarm in v.alarms
    ]
    grids = [Grid("False orca alarms.", ALONE_HEADER, rows)]
    if found:
        grids.append(Grid("Where they are.", ("judge", "recording", "second", "score"), found))
    return Section("Ships and ambient alone", words, grids)


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
        "The surest errors of the classifier. Spectrograms show every frequency over its own median. Sounds are cuts of the "
        "recordings: keep them to yourself, as their licences ask."
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
