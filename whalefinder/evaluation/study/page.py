"""The page of the study: every part with its table, its picture and the figures of the examination paper."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from scipy import stats

from whalefinder.evaluation.study.ledger import Ledger, Row
from whalefinder.evaluation.study.parts import BOATS, CANDIDATES, FOLDS, LADDER, RATIOS, SELECTED, TREATMENTS, chosen
from whalefinder.evaluation.study.pictures import (
    by_seed,
    draw_epochs,
    draw_imbalance,
    draw_ladder,
    draw_samples,
    stopping_point,
    values,
)
from whalefinder.files import writing
from whalefinder.pages.page import Drawing, Grid, Section, save_page
from whalefinder.training.objective import IMBALANCE

PAPER = {"baseline": 0.72, "+ L2": 0.81, SELECTED: 0.84}
SCORES = ("accuracy", "recall", "specificity", "precision", "f1", "test_loss")


def write_page(out: Path, ledger: Ledger, curves: Ledger, left_out: int) -> Path:
    """Write `out/study.html` and one PNG for each picture. → path of the page.

    Raises:
        OutputError: a file cannot be written.
    """
    parts: tuple[tuple[str, Callable[[Ledger, Ledger], Section]], ...] = (
        ("ladder", _ladder),
        ("folds", _folds),
        ("samples", _samples),
        ("epochs", _epochs),
        ("recorders", _recorders),
        ("imbalance", _imbalance),
    )
    sections = [_foreword(left_out)]
    for name, make in parts:
        if not ledger.of(part=name):
            continue
        section = make(ledger, curves)
        sections.append(section)
        for drawing in section.drawings:
            with writing(out / f"{name}.png"):
                (out / f"{name}.png").write_bytes(drawing.png)
    page = out / "study.html"
    save_page(page, "whalefinder study: orca or boat", sections)
    return page


def _foreword(left_out: int) -> Section:
    words = [
        "An image is the spectrogram of two seconds of a boat, with or without a real orca call at SIR -10 to 10 dB. The test set "
        "has 600 images, half of them with a call. Its call types and vessels are in no training set, and no setting is chosen "
        "on it. A range shows several seeds. Each seed draws another training set and other initial weights.",
    ]
    if left_out:
        words.append(f"{left_out} runs are still missing, because the time was over. The same command continues.")
    return Section("What is shown", words)


def spread(rows: Sequence[Row], name: str) -> str:
    """Mean and range over seeds, as text."""
    found = values(rows, name)
    if not len(found):
        return ""
    mean = f"{np.mean(found):.3f}"
    return mean if len(found) == 1 else f"{mean} ({found.min():.3f}-{found.max():.3f})"


def _ladder(ledger: Ledger, _: Ledger) -> Section:
    names = [*(name for name, _ in LADDER), SELECTED]
    rows = {name: ledger.of(part="ladder", run=name) for name in names}
    table = [
        (name, str(len(rows[name])), *(spread(rows[name], score) for score in SCORES), _percent(PAPER.get(name)))
        for name in names
    ]
    some = next(iter(ledger.of(part="ladder")))
    words = [
        f"Each step keeps what the steps before it added. Training on {some['train_images']} images, {some['train_orca']} with a "
        "call. Orange: the figures of the examination paper, on its own data."
    ]
    if ledger.of(part="folds"):
        words.append(f"Chosen by {FOLDS}-fold cross-validation on the training part: {chosen(ledger)}.")
    header = ("step", "seeds", *(score.replace("_", " ") for score in SCORES), "examination paper's accuracy")
    return Section(
        "Step by step",
        words,
        [Grid("Mean over seeds (range).", header, table)],
        [Drawing("Accuracy on the test set. Each dot is a seed.", draw_ladder(names, rows, PAPER))],
    )


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"


def _folds(ledger: Ledger, _: Ledger) -> Section:
    rows = []
    for name in CANDIDATES:
        folds = [row for row in ledger.of(part="folds") if str(row["run"]).startswith(name + ", fold")]
        rows.append((name, str(len(folds)), *(spread(folds, score) for score in SCORES)))
    header = ("candidate", "folds", *(score.replace("_", " ") for score in SCORES))
    words = [
        "Folds are divided by call type and vessel, so validation and training share neither. The candidate with the lowest mean "
        "loss is the last step above."
    ]
    return Section("Model selection", words, [Grid("Mean over folds (range).", header, rows)])


def _samples(ledger: Ledger, _: Ledger) -> Section:
    rows = ledger.of(part="samples")
    sizes = sorted({int(row["train_images"]) for row in rows})
    table: list[tuple[str, ...]] = []
    for size in sizes:
        same, real = ([r for r in rows if r["train_images"] == size and r["test"] == t] for t in ("simulated", "test"))
        losses = (spread(same, "training_loss"), spread(same, "test_loss"), spread(real, "test_loss"))
        gap = np.mean(values(same, "test_loss") - values(same, "training_loss"))
        table.append((str(size), *losses[:2], f"{gap:.3f}", losses[2], spread(real, "accuracy")))
    header = ("samples", "training loss", "test loss, same kind", "gap", "test loss, real", "accuracy, real")
    words = [
        "Every sample has its own simulated boat and call, so samples are independent. (There are only 94 real calls.) The network "
        "(stages of 4 and 8 channels) and the number of steps stay the same. The gap is the difference between training and test "
        "loss on data of the same kind. Real calls in real ships are another, easier set. Their loss may lie below the training "
        "loss, and says nothing about the gap."
    ]
    drawing = Drawing("Loss against the number of independent training samples.", draw_samples(rows))
    return Section("Number of independent samples", words, [Grid("Mean over seeds (range).", header, table)], [drawing])


def _epochs(ledger: Ledger, curves: Ledger) -> Section:
    capacity = ledger.of(part="capacity")
    sizes = {name: [r for r in capacity if r["run"] == name] for name in dict.fromkeys(str(r["run"]) for r in capacity)}
    above = above_the_lowest({name: values(rows, "test_loss") for name, rows in sizes.items()})
    table = [
        (name, *(spread(rows, score) for score in ("training_loss", "test_loss", "accuracy", "f1")), above[name])
        for name, rows in sizes.items()
    ]
    stops = []
    for seed, rows in by_seed(curves.rows).items():
        stop, best = stopping_point(rows), min(rows, key=lambda row: row["test_loss"])
        points = (f"{point['test_loss']:.3f} ({point['epoch']:.0f})" for point in (stop, best, rows[-1]))
        stops.append((f"seed {seed}", *points, f"{rows[-1]['training_loss']:.4f}"))
    words = [
        "One small training set, no regularisation. Early stopping keeps the weights with the lowest validation loss. The "
        "validation set has other call types and other vessels than the test set, so the test loss may be lowest at another time."
    ]
    grids = [
        Grid(
            "Training time: test loss (epochs).",
            ("", "stopped by validation", "lowest of all", "at the end", "training loss at the end"),
            stops,
        )
    ]
    if table:
        header = ("channels", "training loss", "test loss", "accuracy", "F1", "test loss above the lowest, 95 %")
        grids.append(Grid("Capacity: mean over seeds (range); differences seed by seed.", header, table))
    drawing = Drawing("Loss against epochs and against capacity.", draw_epochs(curves.rows, capacity))
    return Section("Training time and capacity", words, grids, [drawing])


def above_the_lowest(losses: dict[str, np.ndarray]) -> dict[str, str]:
    """Mean difference of losses from those with the lowest mean, as text, with Student's 95 % interval.

    Losses are compared in pairs of the same seed, which also means the same training set.

    Args:
        losses: losses `[seed]` by name.
    """
    if not losses:
        return {}
    lowest = min(losses.values(), key=np.mean)
    words = {}
    for name, found in losses.items():
        pairs = found[: len(lowest)] - lowest[: len(found)]  # in a study that was stopped, some have fewer seeds
        if not pairs.any():
            words[name] = "lowest"
        elif len(pairs) < 2:
            words[name] = f"{pairs.mean():+.3f}"
        else:
            low, high = stats.ttest_1samp(pairs, 0.0).confidence_interval(0.95)
            words[name] = f"{pairs.mean():+.3f} ({low:+.3f} to {high:+.3f})"
    return words


def _recorders(ledger: Ledger, _: Ledger) -> Section:
    table = []
    for treatment in TREATMENTS:
        for boats in BOATS:
            rows = ledger.of(part="recorders", run=f"{boats}, {treatment}")
            cells = [[row for row in rows if row["test"] == f"{kind}s"] for kind in BOATS[:2]]
            table.append((f"{boats} | {treatment}", *(spread(cell, "accuracy") for cell in cells)))
    header = ("trained on | images", "tested on Passengerships", "tested on Tankers")
    words = [
        'Training on one kind of boat, test on another. The vessels and call types of the test are always new. "As heard" keeps '
        'the spectrum of the recorder and the boat. "Per recording" takes every frequency relative to its median.'
    ]
    return Section(
        "Other recorders and boats (domain shift)", words, [Grid("Accuracy, mean over seeds (range).", header, table)]
    )


def _imbalance(ledger: Ledger, _: Ledger) -> Section:
    rows = ledger.of(part="imbalance")
    table = []
    for ratio in RATIOS:
        for method in IMBALANCE:
            found = [row for row in rows if row["run"] == f"1:{ratio}, {method}"]
            plain, picked = ([r for r in found if r["test"] == t] for t in ("test", "test, chosen threshold"))
            table.append(
                (
                    f"1:{ratio}, {method}",
                    str(plain[0]["train_orca"]) if plain else "",
                    *(spread(plain, score) for score in ("recall", "specificity", "f1")),
                    spread(picked, "threshold"),
                    spread(picked, "f1"),
                    spread(plain, "average_precision"),
                )
            )
    header = (
        "orca:boat, method",
        "calls",
        "recall at 0.5",
        "specificity at 0.5",
        "F1 at 0.5",
        "threshold chosen",
        "F1 at this threshold",
        "average precision",
    )
    words = [
        "Few calls among many boats. The threshold is chosen on validation images (call types S04 and S09, separate vessels). "
        "The test set stays 1:1."
    ]
    drawing = Drawing("F1 by ratio and method.", draw_imbalance(rows, RATIOS, IMBALANCE))
    return Section("Imbalance", words, [Grid("Mean over seeds (range).", header, table)], [drawing])
