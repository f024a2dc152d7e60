"""Who hears: the whole program with one classifier or another, the segmenter alone, band energy with entropy.

Each judge says where in a sound it heard something (`Mark`) and how sure it is. The program names what it hears; all
others name by a threshold, which leaves 98 % of the train split's windows without an orca alone.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

import whalefinder
from bench.hearing.kept import Kept, code_of
from bench.hearing.sounds import Samples, Sound
from whalefinder.bearings.judge import Judge, Judgement
from whalefinder.calls.events import Event
from whalefinder.calls.masks import CALL, Masks, masks_of
from whalefinder.calls.scores import event_score
from whalefinder.evaluation import peers
from whalefinder.networks.segmentation import CLASSES
from whalefinder.networks.weights import load_classifier, shipped_weights
from whalefinder.pipeline import Locator
from whalefinder.results.records import LABELS, ORCA
from whalefinder.sound import spectrogram
from whalefinder.sound.recording import Recording, open_recording
from whalefinder.sound.spectrogram import FRAME_S, RATE_HZ

BOAT, AMBIENT = (CLASSES.index(name) for name in ("boat", "ambient"))
WINDOW_S, HOP_S = 3.0, 1.5
SPECIFICITY = 0.98


Pieces = list[tuple[float, Samples]]
NOTHING = -1e9  # score of a window in which a judge heard nothing


@dataclass(frozen=True)
class Mark:
    """Something that a judge heard: when, the score (the higher the more orca), whether it is named orca."""

    begin_s: float
    end_s: float
    score: float
    named: bool = False


# The program ---------------------------------------------------------------------------------------------------------


def code_of_program() -> bytes:
    """The text of all that makes events and names of sound."""
    package = Path(str(whalefinder.__file__)).parent
    files = [file for room in ("sound", "networks", "calls", "bearings") for file in (package / room).glob("*.py")]
    return b"".join(file.read_bytes() for file in [*sorted(files), package / "pipeline.py", package / "labels.toml"])


class Program:
    """`locate` with one hydrophone, as users run it. A mark is an event; its score is the probability of orca.

    Args:
        classifier: weights; None for the shipped ones.
        cache: folder for what the segmenter makes of a sound.
    """

    def __init__(self, classifier: Path | None, cache: Path) -> None:
        weights = classifier or shipped_weights("classifier")
        self.locator = Locator(classifier=load_classifier(weights))
        self._noting = _Noting(self.locator.judge, cache)
        self.locator.judge = self._noting  # type: ignore[assignment]
        card = weights.with_suffix(".json").read_bytes()
        self._kept = Kept(
            cache / "events", weights.read_bytes(), card, shipped_weights("segmenter").read_bytes(), code_of_program()
        )

    def hear(self, sound: Sound, samples: Samples) -> tuple[list[Mark], list[Mark]]:
        """The events and what they are named; the same events with the segmenter's score alone."""
        rows = self._kept.get(lambda: {"rows": self._listen(sound, samples)}, samples, sound.bandwidth_hz)["rows"]
        named = [Mark(begin_s, end_s, p, bool(is_orca)) for begin_s, end_s, _, p, is_orca in rows.tolist()]
        return named, [Mark(begin_s, end_s, score) for begin_s, end_s, score, _, _ in rows.tolist()]

    def _listen(self, sound: Sound, samples: Samples) -> np.ndarray:
        """Begin, end, score, probability of orca, whether it is named so. `[event, 5]`."""
        self._noting.noted.clear()
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            path = sound.path
            if path is None:
                path = Path(folder) / "sound.wav"
                soundfile.write(path, samples, RATE_HZ, subtype="FLOAT")
            found = [d for stretch in self.locator.stream(open_recording(path)) for d in stretch.detections]
        orcas = {round(d.begin_s, 3) for d in found if d.label == LABELS[ORCA]}
        rows = [
            (begin_s, end_s, score, 0.0 if verdict is None else verdict.probabilities[ORCA], round(begin_s, 3) in orcas)
            for begin_s, end_s, score, verdict in self._noting.noted
        ]
        return np.array(rows, np.float64).reshape(-1, 5)


class _Noting:
    """A `Judge` that keeps the segmenter's masks and notes every event that it is asked about."""

    def __init__(self, judge: Judge, cache: Path) -> None:
        self._judge = judge
        self._kept = Kept(cache / "masks", shipped_weights("segmenter").read_bytes(), self._likeness())
        self.noted: list[tuple[float, float, float, Judgement | None]] = []

    def __getattr__(self, name: str) -> Any:
        """All else is the judge's own."""
        return getattr(self._judge, name)

    def _likeness(self) -> bytes:
        """The shares of a made sound, coarsely: other code that gives the same is the same code."""
        rng = np.random.default_rng(1)
        time_s = np.arange(4 * RATE_HZ) / RATE_HZ
        sound = (
            rng.standard_normal(len(time_s)) / 50 + np.sin(2e3 * np.pi * time_s * (1 + time_s / 4)) * (time_s > 2) / 20
        )
        valid = spectrogram.frequencies_hz() <= RATE_HZ / 2
        made = masks_of(self._judge.network, torch.from_numpy(sound.astype(np.float32))[None], valid)
        coarse = torch.nn.functional.avg_pool2d(made.shares[None], 32)[0]
        return np.round(coarse.numpy(), 2).tobytes()

    def masks(self, samples: np.ndarray, first_frame: int, recording: Recording) -> list[Masks]:
        """As `Judge.masks` of one hydrophone; the spectra are made again, the shares are kept."""

        def make() -> dict[str, np.ndarray]:
            (masks,) = self._judge.masks(samples, first_frame, recording)
            # Half precision: shares to 0.05 % of themselves, in half of the space; new and kept ones alike.
            shares = masks.shares[[CALL, BOAT]].numpy().astype(np.float16)
            return {"shares": shares, "valid": masks.valid.numpy()}

        kept = self._kept.get(make, samples, recording.bandwidth_hz)
        valid = torch.from_numpy(kept["valid"])
        call, boat = torch.from_numpy(kept["shares"].astype(np.float32))
        shares = torch.zeros(3, *call.shape)
        shares[CALL], shares[BOAT] = call, boat
        shares[AMBIENT] = (valid[:, None].float() - call - boat).clamp(min=0)
        spectra = spectrogram.stft(torch.from_numpy(samples))
        return [Masks(spectra=spectra, shares=shares, valid=valid, first_frame=first_frame)]

    def __call__(self, event: Event, heard: Any) -> Judgement | None:
        verdict = self._judge(event, heard)
        first = heard.masks.first_frame
        begin_s, end_s = (max(0.0, (first + frame - 0.5) * FRAME_S) for frame in (event.begin, event.end))
        self.noted.append((begin_s, end_s, event_score(event.evidence), verdict))
        return verdict


# The rivals ----------------------------------------------------------------------------------------------------------


def windows_of(samples: Samples, span_s: tuple[float, float] | None = None) -> Pieces:
    """Windows of `WINDOW_S`, each beginning `HOP_S` after the one before; a shorter sound is one window.

    Args:
        span_s: only those that overlap it.
    """
    length, last = int(WINDOW_S * RATE_HZ), max(0, len(samples) - int(WINDOW_S * RATE_HZ))
    begins = sorted({*range(0, last, int(HOP_S * RATE_HZ)), last})
    pieces = [(begin / RATE_HZ, samples[begin : begin + length]) for begin in begins]
    if span_s is None:
        return pieces
    return [(begin, piece) for begin, piece in pieces if begin < span_s[1] and begin + WINDOW_S > span_s[0]]


class Energy:
    """Band energy with spectral entropy (`evaluation.peers.ByEnergy`), window by window."""

    def __init__(self, cache: Path) -> None:
        self._kept = Kept(cache / "energy", code_of(peers, spectrogram))
        self._judge = peers.ByEnergy()

    def hear(self, sound: Sound, samples: Samples) -> list[Mark]:
        """A mark a window."""
        pieces = windows_of(samples, sound.span_s)

        def make() -> dict[str, np.ndarray]:
            return {"score": np.array([self._judge.score(piece, sound.bandwidth_hz) for _, piece in pieces])}

        scores = self._kept.get(make, samples, sound.bandwidth_hz, sound.span_s)["score"]
        return marks_of_windows(pieces, scores)


def marks_of_windows(pieces: Pieces, scores: np.ndarray) -> list[Mark]:
    """A mark a window."""
    return [
        Mark(begin_s, begin_s + len(piece) / RATE_HZ, float(score))
        for (begin_s, piece), score in zip(pieces, scores, strict=True)
    ]


def level_in(marks: Sequence[Mark], begin_s: float, end_s: float) -> float:
    """The highest score of what overlaps a span."""
    return max((m.score for m in marks if m.begin_s < end_s and m.end_s > begin_s), default=NOTHING)


def spans_of(seconds: float) -> list[tuple[float, float]]:
    """A sound in windows of `WINDOW_S` side by side; the last may be longer, by less than a window."""
    count = max(1, int(seconds / WINDOW_S))
    edges = [k * WINDOW_S for k in range(count)] + [seconds]
    return list(pairwise(edges))


def threshold_of(heard: Sequence[tuple[float, Sequence[Mark]]]) -> float:
    """The score that leaves `SPECIFICITY` of the windows of sounds without an orca below it.

    Args:
        heard: seconds and marks of each sound.
    """
    levels = [level_in(marks, *span) for seconds, marks in heard for span in spans_of(seconds)]
    return float(np.nextafter(np.quantile(levels, SPECIFICITY, method="higher"), np.inf))


def with_names(marks: Sequence[Mark], threshold: float) -> list[Mark]:
    """Marks from the threshold on are named; windows that follow each other are one mark."""
    named: list[Mark] = []
    for mark in marks:
        if mark.score < threshold:
            named.append(mark)
        elif named and named[-1].named and mark.begin_s < named[-1].end_s:
            joined = replace(named[-1], end_s=mark.end_s, score=max(mark.score, named[-1].score))
            named[-1] = joined
        else:
            named.append(replace(mark, named=True))
    return named
