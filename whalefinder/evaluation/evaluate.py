"""Evaluation of the classifier on real recordings, beside other methods and the paper's figures (docs/paper.md, 4).

read_sets → every method gives a score to every clip → figures → evaluation.html, figures.json, clips.csv, listen/
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from whalefinder.calls.classification import load_labels
from whalefinder.evaluation.judging import CLIP_SETS, Verdict, hear, hear_pipeline, names_of, peers
from whalefinder.evaluation.page import write_page
from whalefinder.evaluation.peers import ByNetwork
from whalefinder.evaluation.sets import Report, Sets, read_sets
from whalefinder.evaluation.summary import (
    ALONE_HEADER,
    PAPER_ACCURACY,
    SHORT_HEADER,
    alone_row,
    calibration,
    figures_of,
    short_paper_row,
    short_row,
)
from whalefinder.files import writing
from whalefinder.networks.weights import load_classifier
from whalefinder.results.tables import CsvWriter

__all__ = ["Judgement", "evaluate"]

Rows = list[tuple[str, ...]]


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """The result of `evaluate`: the page, tables as text, and the figures of `figures.json`."""

    page: Path
    header: tuple[str, ...]
    mixtures: Rows
    live: Rows
    alone_header: tuple[str, ...]
    alone: Rows
    figures: dict[str, Any]


def evaluate(
    out: Path,
    *,
    classifier: Path | None = None,
    split: str = "dev",
    count: int = 600,
    report: Report = lambda done, total, note: None,
) -> Judgement:
    """Evaluate the classifier and other methods on the same clips, and write the report.

    Args:
        out: folder of the report.
        classifier: path of the classifier's weights, or None for the shipped ones.
        split: call types and ships of the mixtures, `dev` or `test`.
        count: number of mixtures, half of them with a call.
        report: is called with (done, total, note).

    Raises:
        OptionError: an unknown split, or there are no recordings.
        ModelError: the weights cannot be used.
        OutputError: a file cannot be written.
    """
    labels, network = load_labels(), load_classifier(classifier)
    sets = read_sets(split, count, report)
    own = hear(ByNetwork(network), sets, labels.orca, report)
    verdicts = [own, *(hear(peer, sets, None, report) for peer in peers(report))]
    pipeline = hear_pipeline(network, labels, sets, report)
    report(0, 1, "writing the report")
    names = names_of(network, sets, labels)
    figures = _figures(sets, verdicts, pipeline, split)
    page = write_page(out, sets, verdicts, pipeline, names, figures, split)
    _write_tables(out, sets, verdicts, names, figures)
    report(1, 1, "report written")
    by_judge = figures["judges"]
    return Judgement(
        page=page,
        header=SHORT_HEADER,
        mixtures=[*(short_row(v.judge, by_judge[v.judge]["mixtures"]) for v in verdicts), short_paper_row()],
        live=[short_row(v.judge, by_judge[v.judge]["live"]) for v in verdicts],
        alone_header=ALONE_HEADER,
        alone=[alone_row(v) for v in (*verdicts, pipeline)],
        figures=figures,
    )


def _figures(sets: Sets, verdicts: list[Verdict], pipeline: Verdict, split: str) -> dict[str, Any]:
    judges: dict[str, Any] = {}
    for verdict in (*verdicts, pipeline):
        found = {name: figures_of(verdict, getattr(sets, name), name) for name in verdict.scores}
        alarms = [vars(alarm) for alarm in verdict.alarms]
        found["alone"] = {"seconds": verdict.seconds_alone, "alarms": alarms}
        judges[verdict.judge] = found
    return {
        "split": split,
        "judges": judges,
        "calibration_error": calibration(verdicts[0], sets.mixtures).error,
        "paper_accuracy": PAPER_ACCURACY,
    }


def _write_tables(
    out: Path, sets: Sets, verdicts: list[Verdict], names: dict[str, list[str]], figures: dict[str, Any]
) -> None:
    with writing(out / "figures.json"):
        (out / "figures.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    scores = {verdict.judge: verdict.scores for verdict in verdicts}
    table = CsvWriter(out / "clips.csv", ("set", "source", "group", "truth", "named", "sir_db", *scores))
    for name in CLIP_SETS:
        table.write(
            {
                "set": name,
                "source": clip.source,
                "group": clip.group,
                "truth": clip.label,
                "named": names[name][k],
                "sir_db": "" if clip.snr_db != clip.snr_db else round(clip.snr_db, 2),
                **{judge: round(float(found[name][k]), 4) for judge, found in scores.items()},
            }
            for k, clip in enumerate(getattr(sets, name))
        )
    table.close()
