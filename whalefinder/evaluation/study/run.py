"""The study of the paper on our data: the effect of regularisation, data, balance and selection (docs/paper.md, 4).

The networks are small and are not kept. So they may be trained on real ships. No shipped weights come from this study.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from whalefinder.errors import OptionError
from whalefinder.evaluation.metrics import best_threshold
from whalefinder.evaluation.study.learn import fit, loss_on, probability_on, scores_on
from whalefinder.evaluation.study.ledger import CURVE_COLUMNS, Ledger, Row
from whalefinder.evaluation.study.page import write_page
from whalefinder.evaluation.study.parts import Material, Run, plan

Report = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Outcome:
    """The result of a study.

    Args:
        page: path of the report.
        runs: number of runs that are done.
        left_out: number of runs that did not begin, because the time was over.
    """

    page: Path
    runs: int
    left_out: int


def study(out: Path, minutes: float = 60.0, report: Report = lambda done, total, note: None) -> Outcome:
    """Do the runs that are missing in `out/runs.csv`, and write `out/study.html` with its pictures and tables.

    Args:
        out: folder of the study.
        minutes: no run begins after this time. The next call continues the study.
        report: function that gets (number of runs done, number of all runs, note).

    Raises:
        OptionError: there are no recordings, or `minutes` is not above 0.
        OutputError: a file cannot be written.
    """
    if not minutes > 0:
        raise OptionError(f"`minutes` {minutes:g}: must be above 0")
    began, threads = time.monotonic(), torch.get_num_threads()
    ledger, curves = Ledger(out / "runs.csv"), Ledger(out / "curves.csv", CURVE_COLUMNS)
    place = [0, 0]
    material = Material(lambda note: report(place[0], place[1], note))
    _ = material.train  # raises an error at once if there are no recordings
    runs = plan(material, ledger)
    left_out = 0
    torch.set_num_threads(1)  # images are small, so a second thread is slower
    try:
        for done, run in enumerate(runs):
            place[:] = done, len(runs)
            report(done, len(runs), f"{run.part}: {run.name}, seed {run.seed}")
            known = bool(ledger.of(part=run.part, run=run.name, seed=run.seed))
            if not known and time.monotonic() - began > 60 * minutes:
                left_out += 1
                continue
            ledger.once((run.part, run.name, run.seed), lambda run=run: _rows(run, curves))  # type: ignore[misc]
    finally:
        torch.set_num_threads(threads)
    report(len(runs), len(runs), "writing the report")
    return Outcome(write_page(out, ledger, curves, left_out), len(runs) - left_out, left_out)


def _rows(run: Run, curves: Ledger) -> list[Row]:
    """Train one network and test it. → one row for each test."""
    began = time.monotonic()
    recipe, train, tests = replace(run.recipe(), seed=run.seed), run.train(run.seed), run.tests()
    watch = {"test": next(iter(tests.values()))} if run.every else {}
    if run.every and run.validation is not None:
        watch["validation"] = run.validation()
    network, curve = fit(recipe, train, watch, run.every)
    if curve:
        curves.once((run.part, run.name, run.seed), lambda: curve)
    common = {
        "train_images": len(train),
        "train_orca": int(train.orca.sum()),
        "steps": recipe.steps,
        "training_loss": loss_on(network, train, recipe),
    }
    rows = [{"test": name, **scores_on(network, examples, recipe)} for name, examples in tests.items()]
    if run.validation is not None:
        seen = run.validation()
        threshold = best_threshold(seen.orca.numpy(), probability_on(network, seen, recipe))
        rows += [
            {"test": f"{name}, chosen threshold", **scores_on(network, examples, recipe, threshold)}
            for name, examples in tests.items()
        ]
    return [{**common, **row, "seconds": time.monotonic() - began} for row in rows]
