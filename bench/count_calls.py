"""`python -m bench.count_calls`: calls of field recordings that `locate` reports, beside a count by eye.

The table `field_calls.csv` was made from enlarged spectrograms, before the program was asked. It holds what can
be seen as one call each, also where calls overlap, and whether it is clear or faint. Knocks, clicks and buzzes without
harmonics are not in it.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment

from bench.results import put
from whalefinder.networks.weights import load_classifier
from whalefinder.pipeline import Locator
from whalefinder.sound.recording import open_recording
from whalefinder.training.clips import find_clips

PAGE = Path(__file__).with_name("field_calls.csv")
LEAST_OVERLAP = 0.3  # of the shorter one of a call and a row

Span = tuple[float, float]


def by_eye() -> dict[str, list[tuple[Span, str]]]:
    """Begin and end of every call in seconds, and how it is seen (`clear` or `faint`), by the name of its recording."""
    calls = defaultdict(list)
    with PAGE.open(newline="") as rows:
        for row in csv.DictReader(rows):
            calls[row["recording"]].append(((float(row["begin_s"]), float(row["end_s"])), row["seen"]))
    return dict(calls)


def matched(calls: list[Span], found: list[Span]) -> list[tuple[int, int]]:
    """Pairs (index of the call, index of the row) that overlap most, all together.

    Each call and each row is in one pair at most. A pair overlaps by `LEAST_OVERLAP`.
    """
    of_calls, of_rows = (np.array(spans, float).reshape(-1, 2) for spans in (calls, found))
    overlap = np.minimum(of_calls[:, None, 1], of_rows[:, 1]) - np.maximum(of_calls[:, None, 0], of_rows[:, 0])
    shorter = np.minimum(np.diff(of_calls), np.diff(of_rows).T)
    overlap[overlap < LEAST_OVERLAP * shorter] = 0.0
    pairs = zip(*linear_sum_assignment(overlap, maximize=True), strict=True)
    return [(int(call), int(row)) for call, row in pairs if overlap[call, row] > 0]


def table(locator: Locator) -> str:
    """Counts of every recording, worst first, and how far the begins and ends of matched calls are off."""
    clips = {clip.path.stem: clip for split in ("train", "dev") for clip in find_clips("field", split)}
    rows, off_begin, off_end = [], [], []
    for name, eye in by_eye().items():
        calls, seen = [span for span, _ in eye], [how for _, how in eye]
        recording = open_recording(clips[name].path)
        found = [
            (call.begin_s, call.end_s)
            for stretch in locator.stream(recording)
            for call in stretch.detections
            if call.is_call
        ]
        pairs = matched(calls, found)
        off_begin += [abs(found[row][0] - calls[call][0]) for call, row in pairs]
        off_end += [abs(found[row][1] - calls[call][1]) for call, row in pairs]
        longest = max((end - begin for begin, end in found), default=0.0)
        both = [f"{sum(seen[call] == how for call, _ in pairs)} of {seen.count(how)}" for how in ("clear", "faint")]
        rows.append((len(found) / len(calls), name, clips[name].split, len(calls), len(found), *both, longest))
    rows.sort(key=lambda row: -abs(np.log(max(row[0], 1e-3))))
    lines = [
        "## Calls of field recordings, counted",
        "",
        "Command: `python -m bench.count_calls`. One hydrophone, shipped thresholds. *By eye*: `bench/field_calls.csv`.",
        "*clear* and *faint*: calls by eye that look so and overlap with a row of their own. All but the dev recording"
        " were trained on.",
        "",
        "| recording | split | by eye | rows | rows / by eye | clear | faint | longest row |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for ratio, name, split, calls_seen, rows_found, clear, faint, longest in rows:
        lines.append(
            f"| {name[:20]} | {split} | {calls_seen} | {rows_found} | {ratio:.2f} | {clear} | {faint} | {longest:.1f} s |"
        )
    for what, off in (("begin", off_begin), ("end", off_end)):
        if off:
            lines.append(
                f"\nOff at the {what}: median {np.median(off):.3f} s, nine of ten within {np.quantile(off, 0.9):.2f} s"
                f" ({len(off)} calls)."
            )
    return "\n".join(lines)


def main() -> None:
    """Write the table into `bench/RESULTS.md`, or print it."""
    parser = argparse.ArgumentParser(prog="python -m bench.count_calls", description=__doc__)
    parser.add_argument("--classifier", type=Path, help="weights in place of the shipped ones")
    parser.add_argument("--print", action="store_true", help="do not touch RESULTS.md")
    options = parser.parse_args()
    if not find_clips("field", "train"):
        sys.exit("recordings are absent; set WHALEFINDER_DATA to the data folder")
    text = table(Locator(classifier=load_classifier(options.classifier)))
    sys.stdout.write(text + "\n") if options.print else put(text)


if __name__ == "__main__":
    main()
