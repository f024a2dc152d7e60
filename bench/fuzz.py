"""`python -m bench.fuzz` (`make fuzz`): thousands of sound files with damaged headers are opened and read to the end.

Each ends in a result or in one clear line. A crash, an error of another kind, more than 10 s or more than 1.5 GB is a
failure, and its seed is printed: `python -m bench.fuzz --first SEED --files 1 --keep DIR` writes that file.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
import soundfile

from bench.results import put
from whalefinder.errors import RecordingError
from whalefinder.sound.recording import open_recording

MOST_SECONDS, MOST_MB = 10, 1500
LONGEST_LINE = 400
AT_ONCE = 250  # files a process reads before the next one begins, so that a crash costs little
CONTAINERS = (
    ("WAV", "PCM_16", 4, "wav"), ("WAV", "PCM_24", 4, "wav"), ("WAVEX", "PCM_24", 6, "wav"), ("WAV", "FLOAT", 2, "wav"),
    ("WAV", "IMA_ADPCM", 1, "wav"), ("RF64", "PCM_16", 4, "wav"), ("RF64", "PCM_32", 2, "rf64"), ("W64", "PCM_16", 4, "w64"),
    ("FLAC", "PCM_16", 2, "flac"), ("FLAC", "PCM_24", 6, "flac"), ("AIFF", "PCM_16", 4, "aif"), ("AIFF", "FLOAT", 2, "aif"),
)  # fmt: skip
EDGES = (0, 1, 8, 44, 2**15, 2**16 - 1, 2**24, 2**31 - 1, 2**31, 2**32 - 44, 2**32 - 1)


@lru_cache(maxsize=len(CONTAINERS))
def whole(kind: int) -> bytes:
    """A sound file without fault, of a second."""
    container, subtype, channels, _ = CONTAINERS[kind]
    samples = 0.03 * np.random.default_rng(kind).standard_normal((24_000, channels))
    file = io.BytesIO()
    soundfile.write(file, samples, 24_000, format=container, subtype=subtype)
    return file.getvalue()


def _place(data: bytearray, rng: np.random.Generator) -> int:
    return int(rng.integers(max(1, min(len(data), 160 if rng.random() < 0.8 else len(data)))))


def _bits(data: bytearray, rng: np.random.Generator) -> None:
    for _ in range(rng.integers(1, 5)):
        at = _place(data, rng)
        data[at : at + 1] = bytes([int(rng.integers(256))]) if data else b""


def _edge(data: bytearray, rng: np.random.Generator) -> None:
    at, width = _place(data, rng) // 2 * 2, int(rng.choice([2, 4, 8]))
    value = int(rng.choice(EDGES)) % 2 ** (8 * width)
    data[at : at + width] = value.to_bytes(width, str(rng.choice(["little", "big"])))  # type: ignore[arg-type]


def _cut(data: bytearray, rng: np.random.Generator) -> None:
    del data[_place(data, rng) + 4 :]


def _lost(data: bytearray, rng: np.random.Generator) -> None:
    at = _place(data, rng)
    del data[at : at + int(rng.integers(1, 200))]


def _put(data: bytearray, rng: np.random.Generator) -> None:
    at = _place(data, rng)
    data[at:at] = rng.bytes(int(rng.integers(1, 200)))


def _random(data: bytearray, rng: np.random.Generator) -> None:
    at, length = int(rng.integers(max(1, len(data)))), int(rng.integers(1, 5000))
    data[at : at + length] = rng.bytes(length)


def _zeros(data: bytearray, rng: np.random.Generator) -> None:
    at, length = _place(data, rng), int(rng.integers(1, 64))
    data[at : at + length] = bytes(length)


def _twice(data: bytearray, rng: np.random.Generator) -> None:
    data[0:0] = data[: _place(data, rng)]


def _behind(data: bytearray, rng: np.random.Generator) -> None:
    data += (
        rng.bytes(int(rng.integers(1, 20_000))) if rng.random() < 0.5 else b"LIST" + bytes([200, 0, 0, 0]) + bytes(60)
    )


FAULTS: tuple[Callable[[bytearray, np.random.Generator], None], ...] = (
    _bits, _bits, _edge, _edge, _edge, _cut, _lost, _put, _random, _zeros, _twice, _behind,
)  # fmt: skip


def mutant(seed: int) -> tuple[str, bytes]:
    """The ending and the bytes of a file with one to three faults, most of them in its header."""
    rng = np.random.default_rng(seed)
    kind = int(rng.integers(len(CONTAINERS)))
    data = bytearray(whole(kind))
    for _ in range(rng.integers(1, 4)):
        FAULTS[int(rng.integers(len(FAULTS)))](data, rng)
    return CONTAINERS[kind][3], bytes(data)


def outcome(path: Path) -> str:
    """`read`, `read and said`, `refused`, or what is wrong. An error of another kind is raised."""
    try:
        recording = open_recording(path)
        for block in recording.blocks():
            if not np.isfinite(block).all():
                return "values that are no numbers"
    except RecordingError as reason:
        return (
            "refused" if len(str(reason)) < LONGEST_LINE and "\n" not in str(reason) else f"no clear line: {reason!r}"
        )
    said = recording.problems + recording.warnings
    if any("\n" in line or len(line) > LONGEST_LINE for line in said):
        return f"no clear line: {said}"
    return "read and said" if said else "read"


FINE = ("read", "read and said", "refused")


def _child(seeds: range, out: int) -> None:
    """Read the files of some seeds, and write a line of JSON for each, first when it begins and then when it ends."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    with tempfile.TemporaryDirectory() as folder, os.fdopen(out, "w") as lines:
        for seed in seeds:
            ending, data = mutant(seed)
            path = Path(folder) / f"mutant.{ending}"
            path.write_bytes(data)
            print(json.dumps([seed]), file=lines, flush=True)
            signal.alarm(MOST_SECONDS)
            began = time.monotonic()
            try:
                result = outcome(path)
            except Exception as reason:  # what the search is for
                result = f"{type(reason).__name__}: {reason}"
            signal.alarm(0)
            mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(json.dumps([seed, result, time.monotonic() - began, mb]), file=lines, flush=True)


def results(first: int, files: int) -> Iterator[tuple[int, str, float, float]]:
    """Seed, outcome, seconds and megabytes of every file. A process that dies is an outcome too."""
    at = first
    while at < first + files:
        seeds = range(at, min(first + files, at + AT_ONCE))
        reading, writing = os.pipe()
        process = os.fork()
        if process == 0:
            try:
                os.close(reading)
                _child(seeds, writing)
            finally:
                os._exit(0)
        os.close(writing)
        begun = None
        with os.fdopen(reading) as lines:
            for line in lines:
                found = json.loads(line)
                begun = found[0] if len(found) == 1 else None
                if len(found) > 1:
                    at = found[0] + 1
                    yield tuple(found)
        _, status = os.waitpid(process, 0)
        if begun is not None:
            yield begun, f"killed by signal {os.WTERMSIG(status)}", float(MOST_SECONDS), 0.0
            at = begun + 1


def table(first: int, files: int) -> tuple[str, int]:
    """The table of all outcomes, and the number of failures. Failures are printed as they come."""
    counts, slowest, largest, failures = Counter[str](), 0.0, 0.0, 0
    for seed, result, seconds, mb in results(first, files):
        counts[result if result in FINE else "failures"] += 1
        slowest, largest = max(slowest, seconds), max(largest, mb)
        if result not in FINE or mb > MOST_MB:
            failures += 1
            print(f"seed {seed}: {result}, {seconds:.1f} s, {mb:.0f} MB")
        if sum(counts.values()) % 2000 == 0:
            print(f"{sum(counts.values())} files, {failures} failures", file=sys.stderr)
    rows = [f"| {name} | {counts[name]} |" for name in (*FINE, "failures")]
    rows += [f"| slowest file | {slowest:.2f} s |", f"| most memory of a process | {largest:.0f} MB |"]
    head = [
        "## Damaged headers", "", f"Command: `make fuzz` (`python -m bench.fuzz --files {files} --first {first}`).", "",
        "WAV, RF64, W64, FLAC and AIFF files with one to three faults, most of them in the header: bytes that are changed, "
        "cut out, put in or doubled, sizes at the edges of their range, files that break off or go on. Each is opened and "
        f"read to the end. A failure is a crash, an error of another kind, more than {MOST_SECONDS} s or more than {MOST_MB} MB.",
        "", "| outcome | files |", "| --- | --- |",
    ]  # fmt: skip
    return "\n".join(head + rows), failures


def main() -> None:
    """Read the options, run, and replace the table in bench/RESULTS.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--keep", type=Path, help="write the files into this folder and read nothing")
    parser.add_argument("--print", action="store_true", help="print the table only")
    options = parser.parse_args()
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
        for seed in range(options.first, options.first + options.files):
            ending, data = mutant(seed)
            (options.keep / f"{seed}.{ending}").write_bytes(data)
        return
    text, failures = table(options.first, options.files)
    print(text) if options.print else put(text)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
