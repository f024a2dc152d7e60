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

from bench.results import put
from whalefinder.networks.weights import load_classifier
from whalefinder.pipeline import Locator
from whalefinder.sound.recording import open_recording
from whalefinder.training.clips import find_clips

PAGE = Path(__file__).with_name("field_calls.csv")
LEAST_OVERLAP = 0.3  # of the shorter one of a call and a row

Span = tuple[float, float]


def by_eye() -> dict[str, list[Span]]:
    """Begin and end of every call, in seconds, by the name of its recording."""
    calls = defaultdict(list)
    with PAGE.open(newline="") as rows:
        for row in csv.DictReader(rows):
            calls[row["recording"]].append((float(row["begin_s"]), float(row["end_s"])))
    return dict(calls)


def matched(calls: list[Span], found: list[Span]) -> list[tuple[int, int]]:
    """(index of the call, index of the row) of those that overlap most; each row is of one call at most."""
    pairs: list[tuple[int, int]] = []
    for index, (begin, end) in enumerate(calls):
        left = [k for k in range(len(found)) if k not in {row for _, row in pairs}]
        overlaps = [min(end, found[k][1]) - max(begin, found[k][0]) for k in left]
        if overlaps and max(overlaps) > 0:
            best = left[int(np.argmax(overlaps))]
            shorter = min(end - begin, found[best][1] - found[best][0])
            if max(overlaps) >= LEAST_OVERLAP * shorter:
                pairs.append((index, best))
    return pairs


def table(locator: Locator) -> str:
    """Counts of every recording, worst first, and how far the begins and ends of matched calls are off."""
    clips = {clip.path.stem: clip for split in ("train", "dev") for clip in find_clips("field", split)}
    rows, off_begin, off_end = [], [], []
    for name, calls in by_eye().items():
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
        rows.append((len(found) / len(calls), name, clips[name].split, len(calls), len(found), len(pairs), longest))
    rows.sort(key=lambda row: -abs(np.log(max(row[0], 1e-3))))
    lines = [
        "## Calls of field recordings, counted",
        "",
        "Command: `python -m bench.count_calls`. One hydrophone, shipped thresholds. *By eye*: `bench/field_calls.csv`.",
        "*matched*: calls by eye that overlap with a row of their own. All but the dev recording were trained on.",
        "",
        "| recording | split | by eye | rows | rows / by eye | matched | longest row |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for ratio, name, split, calls_seen, rows_found, both, longest in rows:
        lines.append(
            f"| {name[:20]} | {split} | {calls_seen} | {rows_found} | {ratio:.2f} | {both} | {longest:.1f} s |"
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
