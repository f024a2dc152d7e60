"""`python -m bench.machines`: what the context (`calls.context`) takes a whale's label from.

Three tables: sounds of machines in the recordings that the scripts beside the data make (case 23), real calls, and
simulated whales that repeat one call.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import patch

import numpy as np

from bench.hearing.__main__ import CACHE
from bench.hearing.mixed import cases
from bench.results import put
from whalefinder.array.array_file import load_array
from whalefinder.array.geometry import HydrophoneArray
from whalefinder.calls.context import LEAST_EVENTS, Signature, machines
from whalefinder.pipeline import Locator
from whalefinder.sound.recording import open_recording
from whalefinder.training.clips import find_clips

KINDS = ("squeak", "pinger", "sonar", "clank", "humpback")
SEED, RUNS, CALLS = 1_000_000_014, 60, 60


def whales(path: Path, array: HydrophoneArray | None) -> tuple[int, int]:
    """Events with a whale's label without the context and with it."""
    counts = []
    nobody = patch("whalefinder.calls.context.machines", lambda asked, signatures: [False] * len(asked))
    for context in (nobody, patch("whalefinder.calls.context.machines", machines)):
        with context:
            found = [d for s in Locator(array).stream(open_recording(path, array)) for d in s.detections]
        counts.append(sum(detection.is_call for detection in found))
    return counts[0], counts[1]


def intervals() -> dict[str, Callable[[np.random.Generator], np.ndarray]]:
    """Intervals between the calls of whales and of machines that are not quite even, in seconds."""
    drawn: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
        "whale, 3 to 8 s": lambda rng: rng.uniform(3, 8, CALLS),
        "whale, 1 to 30 s": lambda rng: rng.uniform(1, 30, CALLS),
    }
    for mean in (2, 5, 12, 20):
        drawn[f"whale, exponential, {mean} s"] = lambda rng, mean=mean: rng.exponential(mean, CALLS) + 0.6  # type: ignore[misc]
    for spread in (0.1, 0.15, 0.2):
        drawn[f"machine, 3 s ± {100 * spread:.0f} %"] = lambda rng, spread=spread: np.abs(  # type: ignore[misc]
            3 * (1 + spread * rng.standard_normal(CALLS))
        )
    return drawn


def named_machines(draw: Callable[[np.random.Generator], np.ndarray]) -> float:
    """Share of alike calls that are a machine's, over `RUNS` runs."""
    rng, said = np.random.default_rng(SEED), []
    shape = np.ones(1)
    for _ in range(RUNS):
        calls = [Signature(begin_s=float(t), length_s=1.0, shape=shape) for t in np.cumsum(draw(rng))]
        said += machines(calls, calls)
    return float(np.mean(said))


def tables(folder: Path) -> Iterator[str]:
    """The lines of the tables."""
    yield "## Machines, and whales that repeat a call"
    yield ""
    yield f"Command: `python -m bench.machines`. Events with a whale's label; a train has {LEAST_EVENTS} events at least."
    yield ""
    yield "| sound of case 23 | four hydrophones: without context → with | one |"
    yield "| --- | --- | --- |"
    cases(folder)  # made where they are missing
    folder = folder / "23-no-whale"
    array = load_array(folder / "array.toml")
    for kind in KINDS:
        (many,) = folder.glob(f"{kind}_2*.wav")
        (one,) = folder.glob(f"{kind}_mono_*.wav")
        yield "| {} | {} → {} | {} → {} |".format(kind, *whales(many, array), *whales(one, None))
    yield ""
    yield "| real recordings with orcas | recordings | events named a whale | of these a machine's |"
    yield "| --- | --- | --- | --- |"
    rows = {
        "field": [clip for split in ("train", "dev") for clip in find_clips("field", split)],
        "calls/riptide_orca": [clip for clip in find_clips("calls", "train") if "riptide" in clip.path.parent.name],
    }
    for name, clips in rows.items():
        counts: Counter[str] = Counter()
        for clip in clips:
            before, after = whales(clip.path, None)
            counts.update(before=before, lost=before - after)
        yield f"| {name} | {len(clips)} | {counts['before']} | {counts['lost']} |"
    yield ""
    yield f"| simulated times of alike calls, {RUNS} runs of {CALLS} | named a machine's |"
    yield "| --- | --- |"
    for name, draw in intervals().items():
        yield f"| {name} | {100 * named_machines(draw):.2f} % |"


def main() -> None:
    """Write the tables into `bench/RESULTS.md`, or print them."""
    parser = argparse.ArgumentParser(prog="python -m bench.machines", description=__doc__)
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder of the made recordings")
    parser.add_argument("--print", action="store_true", help="do not touch RESULTS.md")
    options = parser.parse_args()
    if not find_clips("field", "train"):
        sys.exit("recordings are absent; set WHALEFINDER_DATA to the data folder")
    text = "\n".join(tables(options.cache / "cases"))
    sys.stdout.write(text + "\n") if options.print else put(text)


if __name__ == "__main__":
    main()
