"""`python -m bench` computes all tables of `bench/RESULTS.md`."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

from bench import archive, field, real, speed, tracks
from bench.accuracy import METHODS, Trial, bound_of, extra_per_minute, over_bound, run_cell, summarise
from bench.hearing.__main__ import main as hear
from bench.results import put
from bench.scenes import CELLS, Cell
from whalefinder.sea.scene import Faults

MOVING = next(cell for cell in CELLS if cell.name == "3 moving boats, SIR -10, SNR 5")
SQUARE = replace(MOVING, name="level square, 1 m", array="square")
PARTS = ("accuracy", "real", "hearing", "tracks", "speed", "archive")
LEGEND = """| method | what it is |
| --- | --- |
| ours | `whalefinder locate`; it must find the call by itself |
| regressor | `whalefinder locate --method regressor`, trained for the tetrahedron only |
| SRP-PHAT, NormMUSIC | pyroomacoustics on a 2° grid below the horizon; told when the call is, as all methods below |
| GCC-PHAT | the delay of the highest correlation of every pair of hydrophones, then least squares |
| call-free ML | our likelihood without masks: one noise covariance from the sound just before and after the call |
| SRP / GCC, our mask | SRP-PHAT and GCC-PHAT on the bins of our mask |
| SRP / GCC, true band | SRP-PHAT and GCC-PHAT in the true frequency band of the call |
| true masks | our method with the true masks: the best that a better network could bring |
| Cramér–Rao | the smallest error that any unbiased method can have |
| ours / bound | our median error over that of the bound |"""


def main() -> None:
    """Run the chosen parts, print progress, and replace the old tables."""
    options = _options()
    if "accuracy" in options.parts:
        _accuracy(options)
    if "real" in options.parts:
        _write(real.table(), options)
        field.draw()
    if "hearing" in options.parts:
        hear(_for_hearing(options))
    if "tracks" in options.parts:
        _write(tracks.table(options.swims), options)
        _write(tracks.real_table(), options)
    if "speed" in options.parts:
        _write(speed.table(options.long), options)
    if "archive" in options.parts:
        _write(archive.table(options.long), options)


def _accuracy(options: argparse.Namespace) -> None:
    began = time.monotonic()
    results: dict[str, list[Trial]] = {}
    for cell in (cell for cell in CELLS if options.only in cell.name):
        results[cell.name] = run_cell(
            cell, options.split, options.trials, with_peers=options.peers, weights=options.segmenter
        )
        _say(cell, results[cell.name], began)
        _write(accuracy_table(results, options), options)
    if options.peers and not options.only:
        others = {SQUARE.name: run_cell(SQUARE, options.split, options.trials // 2, weights=options.segmenter)}
        seen = {"tetrahedron 0.5 m": results[MOVING.name], "6 phones, 1.2 m": results[MOVING.name + ", 6 phones"]}
        _write(arrays_table({**seen, **others}), options)
        _write(stages_table(results), options)
        faulty = replace(MOVING, name="5 mm position errors", faults=Faults(position_m=0.005))
        _write(faults_table(run_cell(faulty, options.split, options.trials // 2, weights=options.segmenter)), options)


def _write(table: str, options: argparse.Namespace) -> None:
    """Replace the table with the same title. It is written at once, so that a later error does not lose it."""
    if options.print:
        sys.stdout.write(table + "\n\n")
    else:
        put(table)


def _for_hearing(options: argparse.Namespace) -> list[str]:
    given = [
        "--split",
        options.split,
        *(["--print"] if options.print else []),
        *([] if options.peers else ["--no-peers"]),
    ]
    return given + (["--classifier", str(options.classifier)] if options.classifier else [])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--parts", type=lambda text: text.split(","), default=list(PARTS), help=f"of {','.join(PARTS)}; default: all"
    )
    parser.add_argument("--split", choices=("dev", "test"), default="test")
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--only", default="", help="cells whose name holds this")
    parser.add_argument("--segmenter", type=Path, default=None)
    parser.add_argument("--classifier", type=Path, default=None, help="for the part hearing, beside the shipped one")
    parser.add_argument("--no-peers", dest="peers", action="store_false")
    parser.add_argument("--swims", type=int, default=600, help="per scenario of the tracks")
    parser.add_argument("--long", action="store_true", help="also a 10-hour file (14 GB on disk)")
    parser.add_argument("--print", action="store_true", help="do not touch RESULTS.md")
    options = parser.parse_args()
    unknown = [part for part in options.parts if part not in PARTS]
    if unknown:
        parser.error(f"--parts {unknown[0]!r} is unknown; choose from {', '.join(PARTS)}")
    return options


def _say(cell: Cell, trials: list[Trial], began: float) -> None:
    row = summarise(trials, "ours")
    true = summarise(trials, "true masks")
    sys.stderr.write(
        f"{time.monotonic() - began:6.0f} s  {cell.name:48s} ours {row.median.value:.3f}° / {100 * row.beyond.value:.0f} %  "
        f"extra {extra_per_minute(trials):.2f}/min  true masks {true.median.value:.3f}° / {100 * true.beyond.value:.0f} %\n"
    )


def _head(options: argparse.Namespace) -> str:
    return (
        f"Command: `python -m bench --parts accuracy --split {options.split} --trials {options.trials}`.\n\nReal calls and real "
        f"ships of the {options.split} split are put into a simulated sea, with their paths computed exactly. "
        f"A row (a *cell*) has {options.trials} recordings of 9 s with one call each. An entry is the median great-circle error / the share beyond "
        "10° (a missed call counts as beyond). Below it are 95 % bootstrap intervals over source clips. SRP-PHAT and NormMUSIC "
        "run on every second recording. The tables Arrays and Array faults have half as many recordings.\n\n" + LEGEND
    )


def _entry(trials: list[Trial], method: str) -> str:
    if not any(method in trial.errors for trial in trials):
        return "–"
    row = summarise(trials, method)
    return f"{row.median.value:.2g}° / {100 * row.beyond.value:.0f} %"


def accuracy_table(results: dict[str, list[Trial]], options: argparse.Namespace) -> str:
    """The table of all cells and methods."""
    methods = [m for m in METHODS if options.peers or m in ("ours", "regressor", "true masks")]
    lines = [
        "## Accuracy" if options.peers else "## Accuracy, ours alone",
        "",
        _head(options),
        "",
        "| cell | " + " | ".join(methods) + " | Cramér–Rao | ours / bound | extra calls / min | n |",
    ]
    lines.append("|" + " --- |" * (len(methods) + 5))
    for name, trials in results.items():
        ours = summarise(trials, "ours")
        interval = (
            f"<br>{ours.median.low:.2g}–{ours.median.high:.2g}° / "
            f"{100 * ours.beyond.low:.0f}–{100 * ours.beyond.high:.0f} %"
        )
        entries = [_entry(trials, m) + (interval if m == "ours" else "") for m in methods]
        lines.append(
            f"| {name} | {' | '.join(entries)} | {bound_of(trials):.2g}° | {over_bound(trials):.1f} | "
            f"{extra_per_minute(trials):.2f} | {len(trials)} |"
        )
    return "\n".join([*lines, "", coverage_line(results)])


def coverage_line(results: dict[str, list[Trial]]) -> str:
    """A sentence: how often the true direction lies within 1 σ and 2 σ of the bearing."""
    pairs = [(t.errors["ours"], t.sd_deg) for trials in results.values() for t in trials if t.sd_deg == t.sd_deg]
    if not pairs:
        return "No bearings."
    # For a normal error with the same σ in both axes, r < s σ has probability 1 - exp(-s²/2): 39 % and 86 %.
    inside = [sum(error < s * sd for error, sd in pairs) / len(pairs) for s in (1.0, 2.0)]
    return (
        f"Stated uncertainty: {100 * inside[0]:.0f} % of bearings lie within 1 σ of the true direction (39 % if σ is exact), "
        f"{100 * inside[1]:.0f} % within 2 σ (86 %)."
    )


def arrays_table(results: dict[str, list[Trial]]) -> str:
    """The table of arrays, on the cell of moving boats."""
    lines = [
        "## Arrays",
        "",
        "3 moving boats, SIR −10 dB, SNR 5 dB. The networks of our method were trained on random arrays, not on these. The "
        "regressor was trained on the tetrahedron only. `locate` refuses it for any other array; here it is used for the "
        "square all the same.",
        "",
    ]
    lines += ["| array | ours | regressor | call-free ML | SRP-PHAT | Cramér–Rao | ours / bound |", "|" + " --- |" * 7]
    for name, trials in results.items():
        entries = [_entry(trials, method) for method in ("ours", "regressor", "call-free ML", "SRP-PHAT")]
        lines.append(f"| {name} | " + " | ".join(entries) + f" | {bound_of(trials):.2g}° | {over_bound(trials):.1f} |")
    return "\n".join(lines)


def stages_table(results: dict[str, list[Trial]]) -> str:
    """The table of what each stage adds, for all cells."""
    stages = (
        ("no mask, PHAT", "SRP-PHAT"),
        ("true band, PHAT", "SRP, true band"),
        ("our mask, PHAT", "SRP, our mask"),
        ("no mask, whitened", "call-free ML"),
        ("our mask, whitened (ours)", "ours"),
        ("true mask, whitened", "true masks"),
    )
    lines = [
        "## Stages",
        "",
        "What the mask and the noise covariance (*whitened*) bring, each alone and together.",
        "",
        "| cell | " + " | ".join(words for words, _ in stages) + " |",
        "|" + " --- |" * (len(stages) + 1),
    ]
    for name, trials in results.items():
        lines.append(f"| {name} | " + " | ".join(_entry(trials, method) for _, method in stages) + " |")
    return "\n".join(lines)


def faults_table(trials: list[Trial]) -> str:
    """The table of position errors of 5 mm, which limit every method."""
    lines = [
        "## Array faults",
        "",
        "3 moving boats, SIR −10 dB, SNR 5 dB. Every position is wrong by 5 mm per axis. The bound knows how wrong they are, "
        "but not in which direction.",
        "",
    ]
    lines += ["| ours | call-free ML | GCC, true band | true masks | Cramér–Rao | ours / bound |", "|" + " --- |" * 6]
    methods = ("ours", "call-free ML", "GCC, true band", "true masks")
    row = " | ".join(_entry(trials, m) for m in methods)
    return "\n".join([*lines, f"| {row} | {bound_of(trials):.2g}° | {over_bound(trials):.1f} |"])


if __name__ == "__main__":
    main()
