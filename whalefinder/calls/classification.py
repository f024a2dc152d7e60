"""From an event to its name: the input planes of the classifier, calibrated probabilities, thresholds of the labels.

The planes are made to look the same for every recorder. Levels are relative, for example to the median of the same
frequency. So gain, the response of the hydrophone and steady lines drop out. Above the recorder's band they are 0.
"""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from whalefinder.array.geometry import Floats, HydrophoneArray
from whalefinder.calls.events import Event
from whalefinder.calls.masks import CALL, Masks
from whalefinder.errors import ModelError
from whalefinder.networks.classifier import Classifier
from whalefinder.results.records import (
    AMBIENT,
    BOAT,
    CETACEAN,
    LABELS,
    ORCA,
    OTHER_CETACEAN,
    SHOWN_DIGITS,
    WHALE_LABELS,
    WHALES,
    classes_of,
)
from whalefinder.sound import covariance, spectrogram
from whalefinder.sound.beam import mvdr_beam

WINDOW_S = 3.0
WINDOW_FRAMES = 2 * round(WINDOW_S / spectrogram.FRAME_S / 2)  # 282
HOP_FRAMES = WINDOW_FRAMES // 2  # step between windows over a longer event or clip
POOL_FRAMES = 2  # frames averaged into one: 21 ms, half the work
PLANES = ("contrast", "ripple", "level")
RIPPLE_BINS = 12  # half width of the local mean over frequency, 0.56 kHz
SILENCE = 1e-6  # this share of the mean power is added, so that digital silence is not minus infinity in log
SCALE, LIMIT = 2.0, 5.0
NOISE_CELLS = 6.0  # e-folding of the noise covariance of a beam, 0.5 s


def planes_of(spectra: Tensor, valid: Tensor | None = None) -> Tensor:
    """The input planes of the classifier. They do not depend on gain.

    * *contrast*: log power of a bin relative to the median of its frequency over time.
    * *ripple*: relative to the mean of the neighbouring frequencies. It shows lines and hides broad-band pulses.
    * *level*: relative to the mean over all frequencies. It shows the shape of the noise spectrum.

    Args:
        spectra: complex `[..., channel, frequency, frame]`. The powers of the channels are averaged.
        valid: `[..., frequency]` bool, False for frequencies above the recorder's band. They are 0 in every plane.

    Shape:
        → `[..., plane, frequency, frame // POOL_FRAMES]`.
    """
    power = spectrogram.power(spectra).mean(-3)
    frames = power.shape[-1] // POOL_FRAMES * POOL_FRAMES
    power = (power[..., 0:frames:POOL_FRAMES] + power[..., 1:frames:POOL_FRAMES]) / POOL_FRAMES
    alive = power.new_ones(power.shape[-2]) if valid is None else valid.to(power.dtype)
    alive = alive.expand(power.shape[:-1])[..., None]
    mean = (power * alive).mean((-2, -1), keepdim=True) / alive.mean((-2, -1), keepdim=True).clamp(min=1e-6)
    log = (power + SILENCE * mean + spectrogram.FLOOR).log() * alive
    usual = _median(log)
    overall = (usual * alive).sum(-2, keepdim=True) / alive.sum(-2, keepdim=True).clamp(min=1.0)
    planes = torch.stack([log - usual, log - _local_mean(log, alive), log - overall], dim=-3)
    return planes.div_(SCALE).clamp_(-LIMIT, LIMIT).mul_(alive.unsqueeze(-3))


def _median(log: Tensor) -> Tensor:
    """Median over the last axis, which is kept with length 1. Of two middle values the lower one counts.

    NumPy's partition is five times as fast as PyTorch's median.
    """
    middle = (log.shape[-1] - 1) // 2
    values = np.partition(log.detach().cpu().numpy(), middle, axis=-1)[..., middle : middle + 1]
    return torch.from_numpy(values).to(log.device)


def _local_mean(log: Tensor, alive: Tensor) -> Tensor:
    """Mean over ± `RIPPLE_BINS` usable neighbours of every frequency, `[..., frequency, frame]`."""
    band = neighbours(log.shape[-2]).to(log)
    return (band @ log) / (band @ alive).clamp(min=1e-3)


@lru_cache(maxsize=4)
def neighbours(bins: int) -> Tensor:
    """1 where two frequencies are within ± `RIPPLE_BINS` of each other, else 0. → `[bins, bins]`."""
    with torch.inference_mode(False):  # training may use the cached tensor later
        place = torch.arange(bins)
        return ((place[:, None] - place).abs() <= RIPPLE_BINS).float()


@torch.inference_mode()
def classify_spectra(
    network: Classifier, spectra: Tensor, valid: Tensor | None = None, marked: tuple[int, int] | None = None
) -> NDArray[np.float64]:
    """Calibrated probabilities of every window of `WINDOW_S`, at steps of `HOP_FRAMES`.

    Args:
        network: the classifier.
        spectra: complex `[channel, frequency, frame]`. If they are shorter than a window, there is one short window.
        valid: `[frequency]` bool, as for `planes_of`.
        marked: frames [begin, end) of the event, for a network with `marks`; None for all frames.

    Shape:
        → `[window, class]` in the order of `LABELS`.
    """
    planes = windows_of(spectra, valid, marked if network.marks else None)[1]
    return network.probabilities(planes).double().numpy()  # type: ignore[no-any-return]


def windows_of(
    spectra: Tensor, valid: Tensor | None = None, marked: tuple[int, int] | None = None
) -> tuple[list[int], Tensor]:
    """Cut spectra into windows of `WINDOW_S` at steps of `HOP_FRAMES`, as planes for the classifier.

    Args:
        spectra: complex `[channel, frequency, frame]`.
        valid: `[frequency]` bool, as for `planes_of`.
        marked: frames [begin, end) of the event. They become one more plane.

    Shape:
        → the frame at which each window begins, and the planes `[window, plane, frequency, frame // POOL_FRAMES]`.
    """
    sounding = sounding_frames(spectra)
    mark = _mark(spectra.shape[-1], marked)[sounding]
    spectra, mark = _long_enough(spectra[..., sounding]), _long_enough(mark)
    begins = window_begins(spectra.shape[-1], WINDOW_FRAMES)
    planes = torch.stack([planes_of(spectra[..., begin : begin + WINDOW_FRAMES], valid) for begin in begins])
    if marked is not None:
        planes = torch.stack(
            [with_mark(each, mark[begin : begin + WINDOW_FRAMES]) for each, begin in zip(planes, begins, strict=True)]
        )
    return [sounding.start + begin for begin in begins], planes


def window_begins(length: int, window: int) -> list[int]:
    """Begins of the windows that cover a sound. Each begins in the middle of the one before.

    The last one ends with the sound.

    >>> window_begins(10, 4), window_begins(3, 4)
    ([0, 2, 4, 6], [0])
    """
    last = max(0, length - window)
    return sorted({*range(0, last, window // 2), last})


def with_mark(planes: Tensor, mark: Tensor) -> Tensor:
    """The planes and, after them, one plane more that marks the frames of the event.

    Shape:
        `[plane, frequency, frame // POOL_FRAMES]`, `[frame]` of 0 or 1 → `[plane + 1, frequency, frame // POOL_FRAMES]`.
    """
    pooled = mark[: planes.shape[-1] * POOL_FRAMES].reshape(-1, POOL_FRAMES).amax(-1)
    return torch.cat([planes, pooled.expand_as(planes[:1])])


def _mark(frames: int, marked: tuple[int, int] | None) -> Tensor:
    mark = torch.ones(frames)
    if marked is not None:
        mark[: max(0, marked[0])] = 0.0
        mark[marked[1] :] = 0.0
    return mark


def sounding_frames(spectra: Tensor) -> slice:
    """Frames of spectra `[channel, frequency, frame]` without digital silence at the begin and the end.

    Digital silence is padding and not sound of the sea. The frame next to it is left out too, since its window reaches
    into the silence. If there is only silence, all frames are returned.
    """
    power = spectrogram.power(spectra).mean((-3, -2))
    sounding = torch.nonzero(power > SILENCE * power.mean() + spectrogram.FLOOR)[:, 0]
    if len(sounding) == 0:
        return slice(0, len(power))
    first, last = int(sounding[0]), int(sounding[-1])
    begin = first + 1 if first > 0 else 0
    end = last if last < len(power) - 1 else len(power)
    return slice(begin, end) if begin < end else slice(0, len(power))


SHORTEST_FRAMES = 94  # 1 s; shorter spectra are continued by their mirror image


def _long_enough(spectra: Tensor) -> Tensor:
    while spectra.shape[-1] < SHORTEST_FRAMES:
        spectra = torch.cat([spectra, spectra.flip(-1)], -1)
    return spectra


def classify_samples(
    network: Classifier, samples: NDArray[np.floating], bandwidth_hz: float | None = None
) -> NDArray[np.float64]:
    """Calibrated probabilities of a clip of one hydrophone: those of the window that is most likely a whale.

    Args:
        network: the classifier.
        samples: `[time]` at `RATE_HZ`, any gain.
        bandwidth_hz: highest frequency of the recorder's band, or None for all frequencies.

    Shape:
        → `[class]` in the order of `LABELS`, summing to 1.
    """
    spectra = spectrogram.stft(torch.from_numpy(np.ascontiguousarray(samples, np.float32))[None])
    valid = None if bandwidth_hz is None else spectrogram.frequencies_hz() <= bandwidth_hz
    return most_whale(classify_spectra(network, spectra, valid))


def most_whale(windows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities of the window that is most likely a whale of any kind. `[window, class]` → `[class]`."""
    return windows[int(windows[:, list(WHALES)].sum(1).argmax())]  # type: ignore[no-any-return]


def event_frames(event: Event, frames: int) -> tuple[int, int]:
    """Frames [begin, end) of at least `WINDOW_S` with the event in the middle, within the `frames` that exist."""
    short = max(0, WINDOW_FRAMES - (event.end - event.begin))
    begin = max(0, min(event.begin - short // 2, frames - WINDOW_FRAMES))
    return begin, min(frames, max(event.end, begin + WINDOW_FRAMES))


def classify_event(
    network: Classifier, masks: Masks, event: Event, array: HydrophoneArray | None = None, u: Floats | None = None
) -> NDArray[np.float64]:
    """Calibrated probabilities `[class]` of an event.

    Args:
        network: the classifier.
        masks: masks and spectra of the hydrophones that hear the event.
        event: the event.
        array, u: geometry, and unit vector `[3]` to the event. With both, the classifier gets the best beam towards the
            event, which holds the same call with less boat. Without them it gets the mean power of the hydrophones.
    """
    begin, spectra = event_sound(masks, event, array, u)
    return most_whale(classify_spectra(network, spectra, masks.valid, (event.begin - begin, event.end - begin)))


@torch.inference_mode()
def event_sound(
    masks: Masks, event: Event, array: HydrophoneArray | None = None, u: Floats | None = None
) -> tuple[int, Tensor]:
    """The sound that the classifier gets for an event: the beam towards `u`, or the hydrophones. See `classify_event`.

    Shape:
        → the frame of `masks` at which the sound begins, and its spectra, complex `[channel, frequency, frame]`.
    """
    begin, end = event_frames(event, masks.spectra.shape[-1])
    spectra = masks.spectra[..., begin:end]
    if array is not None and u is not None:
        noise = covariance.noise_covariance(spectra, (1 - masks.shares[CALL, :, begin:end]).square(), NOISE_CELLS)
        spectra = mvdr_beam(spectra, noise, array, u)[None]
    return begin, spectra


BEAM_WEIGHT = 2.0
MOST_AGAINST, MOST_FOR = 3.0, 0.75  # log odds
HOPELESS_ARRAY = -BEAM_WEIGHT * MOST_FOR  # with a lower score the joint probability stays below 0.5 for any beam
HOPELESS_SINGLE = (
    -2.0
)  # score of an event at one hydrophone; no call of the validation lies below it, but half of the events of a ship do


def with_array_score(probabilities: NDArray[np.float64], score: float) -> NDArray[np.float64]:
    """Join the classifier's probabilities of the beam with the score of the event.

    The score (`scores`) comes from the mask and from the direction of the noise. The log odds of a whale, as the
    classifier gives them, are added to it with a weight. They may lower the score by more than they may raise it. The
    reason: the classifier's window also holds the sound beside the event, and a boat's event one second after a call
    must not be named after the call. Only the classifier decides which whale it is.

    Shape:
        `[class]`, summing to 1 → the same.
    """
    whale = call_share(probabilities)
    odds = math.log(max(whale, 1e-6) / max(1 - whale, 1e-6))
    joint = score + BEAM_WEIGHT * max(-MOST_AGAINST, min(MOST_FOR, odds))
    joint = 1.0 / (1.0 + math.exp(-max(-50.0, min(50.0, joint))))
    scale = np.full(len(LABELS), (1 - joint) / max(1 - whale, 1e-9))
    scale[list(WHALES)] = joint / max(whale, 1e-9)
    return probabilities * scale  # type: ignore[no-any-return]


def with_event_score(
    heard: NDArray[np.float64], score: float, *, steered: bool, no_whale: bool = False
) -> NDArray[np.float64]:
    """Join the classifier's probabilities with the score of the event. `[class]` → `[class]`.

    Args:
        heard: probabilities of the classifier alone.
        score: log odds of a call from `scores.event_score`.
        steered: whether the classifier got a beam, so that the score includes the direction of the noise.
        no_whale: something else shows that the event is no whale.
    """
    joint = with_array_score(heard, score) if steered else heard
    hopeless = not steered and score < HOPELESS_SINGLE
    return without_whales(joint) if no_whale or hopeless else joint


def without_whales(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities of boat and ambient alone, for an event that cannot be a call. `[class]` → `[class]`, sum 1.

    The two keep their ratio; where both are 0 they get one half each.
    """
    rest = probabilities.copy()
    rest[list(WHALES)] = 0.0
    if rest.sum() < 1e-9:
        rest[[BOAT, AMBIENT]] = 1.0
    return rest / rest.sum()  # type: ignore[no-any-return]


def call_share(probabilities: NDArray[np.float64]) -> float:
    """Probability of a whale of any kind. `[class]` → 0...1."""
    return float(probabilities[list(WHALES)].sum())


@dataclass(frozen=True)
class LabelSettings:
    """Thresholds of the whale labels. `labels.toml` holds the shipped ones and says how they were chosen.

    An event may surely be a whale while it is unclear which: neither probability reaches its threshold, and both
    together reach that of `cetacean`.

    Args:
        orca: smallest probability for the label `orca`.
        other_cetacean: smallest probability for the label `other_cetacean`, if the event is not named `orca`.
        cetacean: smallest sum of both for the label `cetacean`, if the event gets neither of the other labels.
    """

    orca: float
    other_cetacean: float
    cetacean: float

    def name(self, probabilities: NDArray[np.float64], min_probability: float | None = None) -> str:
        """The label of an event with these probabilities `[class]`, one of `EVENT_LABELS`.

        Args:
            probabilities: `[class]` in the order of `LABELS`.
            min_probability: replaces all thresholds. The likelier whale is the label if its probability, rounded as in
                the tables, reaches this value. If only both whales together do, it is `cetacean`. Otherwise the label
                is the likelier of `boat` and `ambient`.
        """
        if min_probability is not None:
            likelier = LABELS[max(WHALES, key=lambda whale: probabilities[whale])]
            for label in (likelier, CETACEAN):
                shown = round(float(probabilities[list(classes_of(label))].sum()), SHOWN_DIGITS)
                if shown >= min_probability and shown > 0:
                    return label
            return _no_whale(probabilities)
        orca, other = probabilities[ORCA], probabilities[OTHER_CETACEAN]
        if orca >= self.orca and orca >= other:
            return LABELS[ORCA]
        if other >= self.other_cetacean:
            return LABELS[OTHER_CETACEAN]
        if call_share(probabilities) >= self.cetacean:
            return CETACEAN
        return _no_whale(probabilities)

    def least(self, min_probability: float | None = None) -> float:
        """The lowest probability of a whale of any kind (`call_share`) with which an event can get a whale's label."""
        return min(self.orca, self.other_cetacean, self.cetacean) if min_probability is None else min_probability


def _no_whale(probabilities: NDArray[np.float64]) -> str:
    return LABELS[AMBIENT if probabilities[AMBIENT] > probabilities[BOAT] else BOAT]


def load_labels(path: Path | str | None = None) -> LabelSettings:
    """Read thresholds from a TOML file with one table for each label, or the shipped ones.

    Raises:
        ModelError: the file cannot be read, a label is unknown or missing, or a threshold is outside 0...1.
    """
    file = Path(path) if path else Path(str(resources.files("whalefinder") / "labels.toml"))
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as reason:
        raise ModelError(f"{file}: thresholds cannot be read ({reason}); reinstall, or correct the file") from reason
    for name in tables:
        if name not in WHALE_LABELS:
            raise ModelError(f"{file}: label {name!r} has no threshold; allowed are {', '.join(WHALE_LABELS)}")
    thresholds = {name: _threshold(file, name, tables.get(name)) for name in WHALE_LABELS}
    return LabelSettings(**thresholds)


def _threshold(file: Path, name: str, table: object) -> float:
    value = table.get("threshold") if isinstance(table, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ModelError(f"{file}: [{name}] needs threshold = a number from 0 to 1, not {value!r}")
    return float(value)
