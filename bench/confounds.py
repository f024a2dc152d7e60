"""`python -m bench.confounds`: whether the classifier uses the call, or something else that comes with its recording.

There are two tests, on clips of the dev split, which training never used:

- *Manipulations.* A clip is changed without adding or removing a call (another recorder, another band, a line, silence
  at the edges …). How far does the probability of orca move, and how many decisions change?
- *Occlusion.* On which part of the clip does the answer depend? The bins of the true call are known from the mixing.

Writes the figures into `docs/confounds.md` between its markers, and `docs/confounds.png`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soxr
import torch
from numpy.typing import NDArray
from scipy import signal

from bench import confound_maps
from whalefinder.calls.classification import LabelSettings, classify_spectra, load_labels, most_whale
from whalefinder.evaluation.metrics import Interval, bootstrap
from whalefinder.networks.classifier import Classifier
from whalefinder.networks.weights import load_classifier, read_card, shipped_weights
from whalefinder.results.records import ORCA
from whalefinder.sea.signals import band_power, taper
from whalefinder.sound import spectrogram
from whalefinder.sound.spectrogram import HOP, RATE_HZ, WINDOW
from whalefinder.training.clips import find_clips
from whalefinder.training.labelled import real_clips
from whalefinder.training.sources import catalogue_calls

Samples = NDArray[np.float32]
SEED = 1_000_000_100
LENGTH = 3 * RATE_HZ
LONGEST_CALL = int(1.9 * RATE_HZ)  # so short that silence at the edges never reaches it
PAGE = Path("docs/confounds.md")
BEGIN, END = "<!-- figures: python -m bench.confounds -->", "<!-- end of figures -->"
HIGHEST_HZ = float(spectrogram.frequencies_hz()[-1])


@dataclass(frozen=True)
class Clip:
    """A clip of three seconds.

    Args:
        samples: `[time]` at `RATE_HZ`.
        bandwidth_hz: the recorder's band that the classifier is given.
        source: name of the clip of the call, or of the recording. The bootstrap draws sources.
        call: the call alone, as it was mixed in; None without a call.
        cut_noise: the noise in the clip of the call, at the same gain. The partner without a call has it too.
    """

    samples: Samples
    bandwidth_hz: float
    source: str
    call: Samples | None = None
    cut_noise: Samples | None = None


Change = Callable[[Clip, np.random.Generator], "Clip | None"]
"""A manipulation. It returns None for clips to which it does not apply."""


def draw_clips(count: int) -> dict[str, list[Clip]]:
    """Clips by group: dev calls in dev ships (SIR -10...10 dB), the same ships alone, no ship, live orcas."""
    calls, ships = catalogue_calls("dev"), find_clips("boats", "dev")
    sounds = [call.read()[:LONGEST_CALL] for call in calls]
    noises = [ship.read() for ship in ships]
    groups: dict[str, list[Clip]] = {"orca in ships": [], "ships alone": [], "no ship": [], "live orca": []}
    for k in range(count):
        rng = np.random.default_rng([SEED, k])
        which, ship = k % len(calls), int(rng.integers(len(ships)))
        begin = int(rng.integers(0, len(noises[ship]) - LENGTH))
        noise, limit = noises[ship][begin : begin + LENGTH], ships[ship].bandwidth_hz
        call, rest = _in_the_middle(sounds[which], noise, sir_db=float(rng.uniform(-10, 10)))
        groups["orca in ships"].append(Clip(noise + call, limit, calls[which].path.stem, call, rest))
        groups["ships alone"].append(Clip(noise, limit, ships[ship].path.stem, None, rest))
    for row in find_clips("ambient", "dev"):
        if "orcaal" not in row.path.parent.name:
            sound = row.read()
            for begin in np.linspace(0, len(sound) - LENGTH, 12).astype(int):
                groups["no ship"].append(Clip(sound[begin : begin + LENGTH], row.bandwidth_hz, row.path.stem))
    for clip in real_clips():
        name = "live orca" if clip.label == "orca" else "no ship"
        groups[name].append(Clip(clip.samples, clip.bandwidth_hz, clip.source))
    return groups


def _in_the_middle(sound: Samples, noise: Samples, sir_db: float) -> tuple[Samples, Samples]:
    """The call of a clip, and the noise of that clip, in the middle of `noise` at a given SIR. → `[time]` twice."""
    sound = sound * taper(len(sound), 0.03)
    at = (len(noise) - len(sound)) // 2
    span = slice(at, at + len(sound))
    gain = np.sqrt(band_power(noise[span]) * 10 ** (sir_db / 10) / max(band_power(sound), 1e-30))
    call, rest = np.zeros_like(noise), np.zeros_like(noise)
    call[span] = gain * sound
    rest[span] = gain * _without_call(sound)
    return call, rest


def _without_call(sound: Samples) -> Samples:
    """The clip without bins that are 8 dB above the lower quartile of their frequency. Same shape."""
    _, _, spectrum = signal.stft(sound, nperseg=WINDOW, noverlap=WINDOW - HOP)
    power = np.abs(spectrum) ** 2
    rest = power <= 6.0 * np.quantile(power, 0.25, axis=1, keepdims=True)
    return np.asarray(signal.istft(spectrum * rest, nperseg=WINDOW, noverlap=WINDOW - HOP)[1][: len(sound)], np.float32)


# Manipulations


def source_rate(rate_hz: int, *, told: bool) -> Change:
    """Change to a recorder of another sample rate. `told`: the classifier is given the band of that recorder."""

    def change(clip: Clip, _: np.random.Generator) -> Clip | None:
        limit = spectrogram.USABLE_SHARE * rate_hz
        if clip.bandwidth_hz <= limit < HIGHEST_HZ:
            return None
        slow = soxr.resample(soxr.resample(clip.samples, RATE_HZ, rate_hz), rate_hz, RATE_HZ)[:LENGTH]
        return replace(clip, samples=slow, bandwidth_hz=min(limit, clip.bandwidth_hz) if told else clip.bandwidth_hz)

    return change


def on_samples(function: Callable[[Samples, np.random.Generator], NDArray[np.floating]]) -> Change:
    """A manipulation that changes only the samples."""
    return lambda clip, rng: replace(clip, samples=function(clip.samples, rng).astype(np.float32))


def white_floor(x: Samples, rng: np.random.Generator, level_db: float) -> NDArray[np.floating]:
    """Add white noise, at a level relative to the clip, both in 0.5-12 kHz."""
    noise = rng.standard_normal(len(x))
    return x + noise * np.sqrt(band_power(x) * 10 ** (level_db / 10) / band_power(noise))


def line(x: Samples, hz: float, level_db: float) -> NDArray[np.floating]:
    """Add a steady tone, at a level relative to the clip in 0.5-12 kHz."""
    return x + np.sqrt(2 * band_power(x) * 10 ** (level_db / 10)) * np.sin(2 * np.pi * hz * np.arange(len(x)) / RATE_HZ)


def tilted(x: Samples, db_per_octave: float) -> NDArray[np.floating]:
    """Change to a hydrophone whose response rises or falls with frequency."""
    spectrum, hz = np.fft.rfft(x), np.maximum(np.fft.rfftfreq(len(x), 1 / RATE_HZ), 100.0)
    return np.fft.irfft(spectrum * 10 ** (db_per_octave * np.log2(hz / 2500) / 20), len(x))


def resonant(x: Samples, hz: float, gain_db: float) -> NDArray[np.floating]:
    """Change to a hydrophone with a resonance about a third of an octave wide."""
    spectrum, octaves = np.fft.rfft(x), np.log2(np.maximum(np.fft.rfftfreq(len(x), 1 / RATE_HZ), 1.0) / hz)
    return np.fft.irfft(spectrum * 10 ** (gain_db * np.exp(-((octaves / 0.17) ** 2) / 2) / 20), len(x))


def silent_edges(x: Samples, seconds: float, fade_s: float = 0.0) -> NDArray[np.floating]:
    """Replace both ends by digital silence, with a sudden or a faded change."""
    kept = np.zeros(len(x))
    edge = round(seconds * RATE_HZ)
    inside = len(x) - 2 * edge
    kept[edge : edge + inside] = taper(inside, fade_s) if fade_s else 1.0
    return x * kept


def cut_noise(clip: Clip, _: np.random.Generator) -> Clip | None:
    """Remove the noise of the clip of the call if there is a call, and add it if there is none."""
    if clip.cut_noise is None:
        return None
    return replace(clip, samples=clip.samples + (clip.cut_noise if clip.call is None else -clip.cut_noise))


MANIPULATIONS: tuple[tuple[str, str, Change], ...] = (
    ("sample rate of the recorder", "44.1 kHz and back", source_rate(44_100, told=True)),
    ("", "32 kHz and back", source_rate(32_000, told=True)),
    ("", "22.05 kHz, told", source_rate(22_050, told=True)),
    ("", "8 kHz, told", source_rate(8_000, told=True)),
    ("low-pass at a recorder's band", "22.05 kHz, not told", source_rate(22_050, told=False)),
    ("", "16 kHz, not told", source_rate(16_000, told=False)),
    ("", "8 kHz, not told", source_rate(8_000, told=False)),
    ("level", "-60 dB", on_samples(lambda x, _: x * 1e-3)),
    ("noise floor", "white, -20 dB", on_samples(lambda x, rng: white_floor(x, rng, -20))),
    ("", "white, -10 dB", on_samples(lambda x, rng: white_floor(x, rng, -10))),
    ("silence at the edges", "0.3 s, hard", on_samples(lambda x, _: silent_edges(x, 0.3))),
    ("", "0.5 s, hard", on_samples(lambda x, _: silent_edges(x, 0.5))),
    ("", "0.3 s, faded over 0.2 s", on_samples(lambda x, _: silent_edges(x, 0.3, 0.2))),
    ("steady lines", "1 kHz, 0 dB", on_samples(lambda x, _: line(x, 1000, 0))),
    ("", "3 kHz, 0 dB", on_samples(lambda x, _: line(x, 3000, 0))),
    ("", "7 kHz, 0 dB", on_samples(lambda x, _: line(x, 7000, 0))),
    ("frequency response of the hydrophone", "+6 dB an octave", on_samples(lambda x, _: tilted(x, 6))),
    ("", "-6 dB an octave", on_samples(lambda x, _: tilted(x, -6))),
    ("", "+15 dB at 5 kHz", on_samples(lambda x, _: resonant(x, 5000, 15))),
    ("noise in the call's recording", "taken out / put in alone", cut_noise),
)


@dataclass(frozen=True)
class Effect:
    """Effect of a manipulation on a group: median change of P(orca), changed decisions and their direction, clips."""

    median: float
    flipped: Interval
    to_orca: int
    from_orca: int
    clips: int


def probabilities(network: Classifier, clip: Clip) -> NDArray[np.float64]:
    """Probabilities `[class]` of a clip."""
    spectra = spectrogram.stft(torch.from_numpy(np.ascontiguousarray(clip.samples))[None])
    return most_whale(classify_spectra(network, spectra, spectrogram.frequencies_hz() <= clip.bandwidth_hz))


def effect(
    network: Classifier, labels: LabelSettings, clips: list[Clip], before: list[NDArray], change: Change
) -> Effect | None:
    """Classify a group again after a manipulation. None if it applies to none of its clips."""
    pairs, sources = [], []
    for k, clip in enumerate(clips):
        changed = change(clip, np.random.default_rng([SEED, 9, k]))
        if changed is not None:
            pairs.append((before[k], probabilities(network, changed)))
            sources.append(clip.source)
    if not pairs:
        return None
    shift = np.array([after[ORCA] - then[ORCA] for then, after in pairs])
    orca = np.array([[labels.name(p) == "orca" for p in pair] for pair in pairs])
    flipped = orca[:, 0] != orca[:, 1]
    interval = bootstrap(lambda index: float(flipped[index].mean()), sources)
    to_orca = int((flipped & orca[:, 1]).sum())
    return Effect(float(np.median(shift)), interval, to_orca, int(flipped.sum()) - to_orca, len(pairs))


def audit(network: Classifier, groups: dict[str, list[Clip]]) -> tuple[str, list[tuple[str, dict[str, Effect | None]]]]:
    """The tables of groups and manipulations as Markdown, and the effects."""
    labels = load_labels()
    before = {name: [probabilities(network, clip) for clip in clips] for name, clips in groups.items()}
    lines = ["| group | clips | sources | label orca | median P(orca) |", "| --- | --- | --- | --- | --- |"]
    for name, answers in before.items():
        named = sum(labels.name(p) == "orca" for p in answers)
        sources = len({clip.source for clip in groups[name]})
        lines.append(f"| {name} | {len(answers)} | {sources} | {named} | {np.median([p[ORCA] for p in answers]):.3f} |")
    lines += [
        "",
        "| possible confound | manipulation | " + " | ".join(groups) + " |",
        "|" + " --- |" * (2 + len(groups)),
    ]
    found = []
    for confound, what, change in MANIPULATIONS:
        effects = {name: effect(network, labels, clips, before[name], change) for name, clips in groups.items()}
        found.append((what, effects))
        lines.append(f"| {confound} | {what} | " + " | ".join(_cell(e) for e in effects.values()) + " |")
        sys.stderr.write(lines[-1] + "\n")
    return "\n".join(lines), found


def _cell(e: Effect | None) -> str:
    if e is None:
        return "–"
    flips, share = e.to_orca + e.from_orca, e.flipped
    cell = f"{e.median:+.3f}; {flips} of {e.clips}"
    # Without a changed decision the bootstrap has no interval; the page says what that means.
    return (
        cell if not flips else f"{cell} ({100 * share.low:.0f}–{100 * share.high:.0f} %): +{e.to_orca} −{e.from_orca}"
    )


def main() -> None:
    """Run both tests and write the figures into the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--classifier", type=Path, help="another classifier; default: the shipped one")
    parser.add_argument("--clips", type=int, default=165, help="calls in ships, and as many ships alone")
    parser.add_argument("--maps", type=int, default=44, help="clips of each that are occluded")
    parser.add_argument("--print", action="store_true", help="print the figures, write nothing")
    options = parser.parse_args()
    torch.set_num_threads(1)
    weights = options.classifier or shipped_weights("classifier")
    network, card = load_classifier(weights), read_card(weights)
    groups = draw_clips(options.clips)
    if not groups["orca in ships"]:
        sys.exit("the real recordings are absent; set WHALEFINDER_DATA to their folder")
    table, effects = audit(network, groups)
    maps = confound_maps.look(network, groups["orca in ships"], groups["ships alone"], options.maps)
    settings = card.get("settings", {})
    head = f"Weights: seed {settings.get('seed')}, {card.get('step')} steps. `python -m bench.confounds`, dev split."
    text = "\n\n".join([head, table, confound_maps.table(maps)])
    if options.print:
        sys.stdout.write(text + "\n")
        return
    confound_maps.draw(maps, effects, PAGE.with_suffix(".png"))
    page = PAGE.read_text(encoding="utf-8")
    before, rest = page.split(BEGIN)
    PAGE.write_text(before + BEGIN + "\n" + text + "\n" + END + rest.split(END)[1], encoding="utf-8")


if __name__ == "__main__":
    main()
