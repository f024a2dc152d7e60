"""`python -m bench.health`: of 200 arrays with each fault, how many are found and how soon; and of 200 in order, how many are accused.

Each array has 3 to 8 hydrophones and hears one minute: whales that call, or boats that pass, or both, and in half of the
scenes the surface of the sea. The positions differ from the array file by 2 mm, which the file states. Every
fault is put into the same sound, so a fault and its absence differ in nothing else.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import torch
from scipy import signal

from bench.results import put
from whalefinder.array.geometry import HydrophoneArray
from whalefinder.evaluation.metrics import wilson
from whalefinder.health.monitor import Monitor
from whalefinder.sea.scene import Faults, simulate
from whalefinder.sea.writing import Plan, draw_scene
from whalefinder.sound import spectrogram
from whalefinder.sound.spectrogram import RATE_HZ

SEED = 1_000_200_000
SECONDS = 60.0
STEP_S = 20.0
POSITION_M = 2e-3
Samples = np.ndarray
Spoil = Callable[[Samples, int, np.random.Generator], Samples]


def _delayed(x: Samples, samples: float) -> Samples:
    """One channel later by any number of samples, by a phase in the spectrum."""
    f = np.fft.rfftfreq(2 * len(x))
    return np.fft.irfft(np.fft.rfft(x, 2 * len(x)) * np.exp(-2j * np.pi * f * samples), 2 * len(x))[: len(x)]


def _one(change: Callable[[Samples, np.random.Generator], Samples]) -> Spoil:
    """A fault of channel m alone."""

    def spoil(x: Samples, m: int, rng: np.random.Generator) -> Samples:
        y = x.copy()
        y[m] = change(y[m], rng)
        return y

    return spoil


def _drifting(ppm: float) -> Callable[[Samples, np.random.Generator], Samples]:
    def drift(x: Samples, rng: np.random.Generator) -> Samples:
        fine = signal.resample_poly(x, 8, 1)
        return np.interp(np.arange(len(x)) * (1 - ppm * 1e-6), np.arange(len(fine)) / 8, fine)

    return drift


def _swapped(x: Samples, m: int, rng: np.random.Generator) -> Samples:
    y = x.copy()
    n = (m + 1) % len(x)
    y[[m, n]] = y[[n, m]]
    return y


def _copied(x: Samples, m: int, rng: np.random.Generator) -> Samples:
    y = x.copy()
    y[m] = y[(m + 1) % len(x)]
    return y


def _from_middle(change: Callable[[Samples], Samples]) -> Callable[[Samples, np.random.Generator], Samples]:
    def spoil(x: Samples, rng: np.random.Generator) -> Samples:
        half = len(x) // 2
        return np.concatenate([x[:half], change(x[half:])])

    return spoil


def _hiss(x: Samples, rng: np.random.Generator) -> Samples:
    return rng.standard_normal(len(x)) * x.std()


FAULTS: dict[str, tuple[Spoil, tuple[str, ...]]] = {
    "polarity inverted": (_one(lambda x, rng: -x), ("polarity",)),
    "gain 10 dB low": (_one(lambda x, rng: x * 10**-0.5), ("gain",)),
    "1 sample late": (_one(lambda x, rng: _delayed(x, 1.0)), ("delay", "delays")),
    "5 samples late": (_one(lambda x, rng: _delayed(x, 5.0)), ("delay", "delays")),
    "37 samples late": (_one(lambda x, rng: _delayed(x, 37.0)), ("delay", "delays")),
    "clock 20 ppm fast": (_one(_drifting(20.0)), ("drift", "delays", "slip", "delay")),
    "two channels swapped": (_swapped, ("order", "delays")),
    "copy of another channel": (_copied, ("copy",)),
    "dead": (_one(lambda x, rng: 0 * x), ("silent",)),
    "dies after 30 s": (_one(_from_middle(lambda x: 0 * x)), ("silent",)),
    "hisses as loud as the rest": (_one(_hiss), ("deaf",)),
    "loses 100 samples after 30 s": (
        _one(_from_middle(lambda x: np.concatenate([x[100:], np.zeros(100)]))),
        ("delay", "slip", "delays"),
    ),
    "gain falls by 12 dB after 30 s": (_one(_from_middle(lambda x: x / 4)), ("step",)),
}
"""Faults, and the kinds of finding that name them."""


def drawn_array(rng: np.random.Generator) -> HydrophoneArray:
    """3 to 8 hydrophones within half a metre to two metres, at least 10 cm apart."""
    count, size = int(rng.integers(3, 9)), rng.uniform(0.25, 1.0)
    positions: list[np.ndarray] = []
    while len(positions) < count:
        place = rng.uniform(-size, size, 3)
        if all(np.linalg.norm(place - other) > 0.1 for other in positions):
            positions.append(place)
    return HydrophoneArray(
        name="drawn", positions_m=np.array(positions), sound_speed_m_s=1490.0, depth_m=rng.uniform(3, 20),
        position_error_m=POSITION_M, sound_speed_error_m_s=3.0,
    )  # fmt: skip


def kinds_found(samples: Samples, array: HydrophoneArray) -> dict[str, tuple[float, tuple[int, ...]]]:
    """Kinds of finding, with the time after which each was there to stay, s, and its channels."""
    spectra = spectrogram.stft(torch.from_numpy(samples.astype(np.float32)))
    monitor, first = Monitor(array), {}
    step = round(STEP_S * RATE_HZ / spectrogram.HOP)
    for begin in range(0, spectra.shape[-1], step):
        monitor.add(spectra[..., begin : begin + step], begin)
        now = {finding.kind: finding.channels for finding in monitor.findings()}
        first = {
            kind: (first[kind][0] if kind in first else min(SECONDS, (begin + step) * spectrogram.FRAME_S), channels)
            for kind, channels in now.items()
        }
    return first


def trial(number: int) -> dict[str, dict[str, tuple[float, tuple[int, ...]]]]:
    """Findings of one array in order and with every fault. The key "channel" tells which hydrophone was spoilt."""
    torch.set_num_threads(1)
    rng = np.random.default_rng([SEED, number])
    array = drawn_array(rng)
    kind = number % 3
    plan = Plan(
        seconds=SECONDS, calls=0 if kind == 1 else 6, boats=0 if kind == 0 else int(rng.integers(1, 3)), snr_db=10.0,
        sir_db=-5.0 if kind == 2 else None, surface_coefficient=-0.7 if number % 2 else 0.0,
        faults=Faults(POSITION_M, 0.0, 0.5, 0.0),
    )  # fmt: skip
    sea = simulate(draw_scene(plan, array, SEED + number), SEED + number)
    x = sea.samples / np.abs(sea.samples).max() / 2
    m = int(rng.integers(array.num_channels))
    result = {"in order": kinds_found(x, array)}
    for name, (spoil, _) in FAULTS.items():
        result[name] = kinds_found(spoil(x, m, rng), array)
    result["about"] = {"": (float(array.num_channels), (m + 1, kind, number % 2))}
    return result


def table(results: list[dict[str, dict[str, tuple[float, tuple[int, ...]]]]]) -> str:
    """The table in Markdown."""
    lines = [
        "| array | found at all (95 % interval) | named, with the right channel | median time to find it | 3 / 4 / 5 or more hydrophones |",
        "| --- | --- | --- | --- | --- |",
    ]
    count = [int(result["about"][""][0]) for result in results]
    for name, (_, kinds) in FAULTS.items():
        anything = [set(result[name]) - set(result["in order"]) for result in results]
        named = [
            any(kind in result[name] and (result["about"][""][1][0] in result[name][kind][1]) for kind in kinds)
            for result in results
        ]
        seen = [bool(kinds_) or yes for kinds_, yes in zip(anything, named, strict=True)]
        times = [min(t for t, _ in result[name].values()) for result, yes in zip(results, seen, strict=True) if yes]
        by_count = " / ".join(
            _percent([yes for yes, c in zip(seen, count, strict=True) if (c == wanted or (wanted == 5 and c > 5))])
            for wanted in (3, 4, 5)
        )
        share = _share(seen)
        middle = f"{np.median(times):.0f} s" if times else "–"
        lines.append(f"| {name} | {share} | {100 * np.mean(named):.1f} % | {middle} | {by_count} |")
    false = [bool(result["in order"]) for result in results]
    lines.append(f"| in order: accused | {_share(false)} | | | |")
    return "\n".join(lines)


def _share(values: list[bool]) -> str:
    interval = wilson(sum(values), len(values))
    return f"{100 * interval.value:.1f} % ({100 * interval.low:.1f}–{100 * interval.high:.1f})"


def _percent(values: list[bool]) -> str:
    return f"{100 * np.mean(values):.0f} %" if values else "–"


def main() -> None:
    """Run all trials and replace the table in `bench/RESULTS.md`."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--trials", type=int, default=200)
    options.add_argument(
        "--first", type=int, default=0, help="number of the first array; 100000 and above to choose on"
    )
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--print", action="store_true", help="do not touch RESULTS.md")
    chosen = options.parse_args()
    results = []
    with ProcessPoolExecutor(chosen.workers) as pool:
        for number, result in enumerate(pool.map(trial, range(chosen.first, chosen.first + chosen.trials))):
            results.append(result)
            if result["in order"]:
                print(f"array {chosen.first + number}, in order, is accused: {result['in order']}", flush=True)
    text = table(results)
    print(text)
    if not chosen.print:
        put(f"## The health of arrays\n\n`python -m bench.health --trials {chosen.trials}`\n\n{text}")


if __name__ == "__main__":
    main()
