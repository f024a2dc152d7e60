"""Labelled sound for the classifier: random mixtures for training, and clips of real sound for evaluation.

The network must not recognise a class by the recording from which a sound came. So the background (wind or a real quiet
stretch, boats, nuisances, the response and band of a recorder) is drawn first and does not depend on the class: an
example with a call and one without it have exactly the same background. Of a real call only the bins that stand out of
its clip are used, without the noise and the edges of the clip.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from whalefinder.calls.classification import WINDOW_FRAMES, planes_of, with_mark
from whalefinder.results.records import AMBIENT, BOAT, ORCA, OTHER_CETACEAN
from whalefinder.sea import signals
from whalefinder.sound import spectrogram
from whalefinder.sound.spectrogram import RATE_HZ
from whalefinder.training import clips, stations
from whalefinder.training.framing import LEAST_EVENT, events_in
from whalefinder.training.nuisances import kinds_of, random_nuisance
from whalefinder.training.sounds import band_power, cut, levelled, sounding, wind_slope
from whalefinder.training.sources import Source, Sources, catalogue_calls
from whalefinder.training.sources import build_sources as build_sources  # for those who draw from them

LEAST_MARK = LEAST_EVENT
SIR_DB = (-12.0, 22.0)
"""Power of the call over all other sound, 0.5-12 kHz, in the frames of the call."""
SIR_IN_SONG_DB = (0.0, 22.0)  # the same for a call among other cetaceans, where a fainter one is their sound
ORCAS = 0.6  # share of orcas among the examples with a call; the others are other whales and dolphins
DOMINATES = 2.0  # an example without a call is labelled `boat` if a boat has more than this times the ambient power
EVALUATION_SEED = 1_000_000_000
CLIP_S = 3.0


@dataclass(frozen=True, kw_only=True)
class LabelledClip:
    """A clip of real sound with its label.

    Args:
        samples: `[time]` at `RATE_HZ`.
        label: one of `LABELS`.
        source: name of the clip of the call, or of the background if there is no call. A bootstrap draws sources.
        group: name of the recording of the background. All clips of a group are in the same split.
        snr_db: level of the call over the background, 0.5-12 kHz. NaN without a call or if it is unknown.
        bandwidth_hz: highest frequency of the recorder's band.
        kind: `mixture` or `real`.
    """

    samples: NDArray[np.float32]
    label: str
    source: str
    group: str
    snr_db: float = math.nan
    bandwidth_hz: float = RATE_HZ / 2
    kind: str = "mixture"


@dataclass(frozen=True)
class Info:
    """What one example is made of: name of its call (or ""), names of its boats, level of the call in dB."""

    call: str
    boats: tuple[str, ...]
    snr_db: float


@dataclass(frozen=True)
class Drawn:
    """A batch: planes `[batch, plane, frequency, frame]`, class indices `[batch]`, and one `Info` for each example."""

    planes: Tensor
    labels: Tensor
    info: list[Info]


# Examples ------------------------------------------------------------------------------------------------------------


def class_of(seed: int, index: int, boat_ratio: float | None) -> int | None:
    """Class of the call in example `index`, or None if it has no call. The example need not be drawn for this.

    Args:
        seed: seed of the examples.
        index: number of the example.
        boat_ratio: n for a ratio orca:boat of 1:n. None for pairs: even numbers have a call, odd numbers have none.
    """
    draw = np.random.default_rng([seed, 12, index]).random()
    if boat_ratio is None:
        return None if index % 2 else (ORCA if draw < ORCAS else OTHER_CETACEAN)
    return ORCA if draw < 1 / (1 + boat_ratio) else None


def draw(
    sources: Sources,
    seed: int,
    indices: list[int],
    *,
    augment: int | None = None,
    boat_ratio: float | None = None,
    frames: int = WINDOW_FRAMES,
    marks: bool = False,
) -> Drawn:
    """Draw examples by their numbers. The same number always gives the same example.

    Args:
        sources: the sounds to mix.
        seed: seed of the examples.
        indices: numbers of the examples.
        augment: a number (the step) for random changes of response, band and masks, and for calls that are varied
            (`_varied`). None: no changes.
        boat_ratio: see `class_of`. If it is None, examples 2k and 2k + 1 have the same background.
        frames: length of the examples.
        marks: add a plane that marks the frames of the event, see `Classifier`. Only if `boat_ratio` is None.
    """
    spectra, valid, labels, info, marked = [], [], [], [], []
    background_of = lru_cache(maxsize=4)(
        lambda number: _background(sources, [seed, 13, number], frames, boat_ratio is None)
    )

    @lru_cache(maxsize=4)
    def mixture_of(index: int) -> tuple[Tensor, str, float, tuple[int, int]]:
        pool = sources.orca if class_of(seed, index, boat_ratio) == ORCA else sources.other
        plain, _, _, dominated = background_of(index if boat_ratio is not None else index // 2)
        sir_db = SIR_IN_SONG_DB if dominated == OTHER_CETACEAN else SIR_DB
        return _with_call(
            np.random.default_rng([seed, 14, index]), pool, plain, vary=augment is not None, sir_db=sir_db
        )

    for index in indices:
        background = index if boat_ratio is not None else index // 2
        plain, usable, boats, dominated = background_of(background)
        example = plain
        call = class_of(seed, index, boat_ratio)
        label, name, snr = dominated, "", math.nan
        if call is not None:
            example, name, snr, _ = mixture_of(index)
            label = call if name else label
        if marks:
            # Both examples of a pair have the same mark; or that of the one without a call lies on an event of the
            # background; or beside a call.
            mixture, *_, span = mixture_of(index - index % 2)
            rng = np.random.default_rng([seed, 19, background, augment or 0])
            mark, beside = _marks(rng, span, frames)
            event = None if mark.all() else _on_event(rng, plain, always=dominated == OTHER_CETACEAN)
            if event is not None:
                mark = event if call is None else mark
            elif beside is None:
                example = example + _neighbour(rng, sources, plain, mark, vary=augment is not None)
            elif call is None:
                example, mark = mixture, beside
            marked.append(mark)
        if augment is not None:
            rng = np.random.default_rng([seed, 16, background, augment])
            example, usable = _recoloured(rng, example, usable, plain)
        spectra.append(example * usable[:, None])
        valid.append(usable)
        labels.append(label)
        info.append(Info(name, boats, snr))
    planes = planes_of(torch.stack(spectra)[:, None], torch.stack(valid))
    if augment is not None:
        planes = _masked(np.random.default_rng([seed, 15, augment]), planes)
    if marks:
        planes = torch.stack([with_mark(each, mark) for each, mark in zip(planes, marked, strict=True)])
    return Drawn(planes, torch.tensor(labels), info)


SUNG, RECORDED = 0.2, 0.6  # shares: of backgrounds with another cetacean, and of these with a recording as it is


def _background(
    sources: Sources, seed: list[int], frames: int, whales: bool = False
) -> tuple[Tensor, Tensor, tuple[str, ...], int]:
    """Spectrum, usable bins, names of the boats, and the label of the background. It does not depend on the call.

    Args:
        sources: the sounds to mix.
        seed: of the background.
        frames: its length.
        whales: other cetaceans may be in it.
    """
    rng = np.random.default_rng(seed)
    usable = torch.ones(spectrogram.NUM_BINS, dtype=torch.bool)
    if whales and sources.other and rng.random() < SUNG:
        sung = _sung(rng, sources, frames)
        return sung, usable, (), OTHER_CETACEAN if events_in(sung) else AMBIENT
    total, loudest = _ambient(rng, sources, frames), 0.0
    names = []
    for _ in range(int(rng.choice([0, 1, 2, 3], p=[0.3, 0.4, 0.2, 0.1]))):
        source = sources.boats[int(rng.integers(len(sources.boats)))]
        level = 10 ** (rng.uniform(-6, 30) / 10)
        total = total + cut(rng, source.spectrum, frames) * _smooth_gain(rng, 3.0) * math.sqrt(level)
        names.append(source.name)
        loudest = max(loudest, level)
    if sources.nuisances:
        for _ in range(int(rng.choice([0, 1, 2, 3], p=[0.3, 0.4, 0.2, 0.1]))):
            source = sources.nuisances[int(rng.integers(len(sources.nuisances)))]
            level = 10 ** (rng.uniform(-12, 26) / 20) * (1 + math.sqrt(loudest))
            total = total + cut(rng, source.spectrum, frames) * level
    return total, usable, tuple(names), BOAT if loudest > DOMINATES else AMBIENT


PAUSE_FRAMES = (5, 100)  # between the units of a song


def _sung(rng: np.random.Generator, sources: Sources, frames: int) -> Tensor:
    """Song, whistles or clicks of another cetacean in a quiet sea, `[frequency, frame]`, with power 1 in the band.

    It is a recording as it is, with its own noise, echoes and the units before and after; every recording is equally
    likely, however long it is. Or one sound is repeated with pauses. A call is added to it as to any other background.
    So the recording does not tell the class: the network has to tell the orca from the whale that sings beside it.
    """
    if sources.songs and rng.random() < RECORDED:
        pieces = sources.songs[list(sources.songs)[int(rng.integers(len(sources.songs)))]]
        song = cut(rng, _varied(rng, pieces[int(rng.integers(len(pieces)))].spectrum, pieces), frames)
    else:
        song = _repeated(rng, sources.other[int(rng.integers(len(sources.other)))].spectrum, sources.other, frames)
    return levelled(levelled(song) + _ambient(rng, sources, frames) * 10 ** (rng.uniform(-30, 0) / 20))


def _repeated(rng: np.random.Generator, sound: Tensor, pool: list[Source], frames: int) -> Tensor:
    """A sound of another cetacean again and again with pauses, as the units of a song. → `[frequency, frames]`."""
    unit = _varied(rng, sound, pool)
    pause = int(rng.integers(*PAUSE_FRAMES))
    period = unit.shape[-1] + pause
    tiled = torch.nn.functional.pad(unit, (0, pause)).repeat(1, 1 + math.ceil(frames / period))
    return cut(rng, tiled, frames)


def _ambient(rng: np.random.Generator, sources: Sources, frames: int) -> Tensor:
    """Wind noise of power 1 in the band with a random slope, or a real quiet stretch."""
    if sources.ambient and rng.random() < 0.5:
        source = sources.ambient[int(rng.integers(len(sources.ambient)))]
        return cut(rng, source.spectrum, frames) * _smooth_gain(rng, 3.0)
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    noise = torch.randn(spectrogram.NUM_BINS, frames, dtype=torch.complex64, generator=generator)
    return levelled(noise * wind_slope(rng)[:, None] * _smooth_gain(rng, 4.0))


def _smooth_gain(rng: np.random.Generator, spread_db: float) -> Tensor:
    """A smooth random response over log frequency, amplitude `[frequency, 1]`."""
    knots = rng.normal(0, spread_db, 8)
    hz = spectrogram.frequencies_hz().numpy()
    gain_db = np.interp(np.log(hz), np.linspace(np.log(hz[0]), np.log(hz[-1]), 8), knots)
    return torch.from_numpy(10 ** (gain_db / 20)).float()[:, None]


# Shares: all frames are marked; of the others, a part of the call is, or a call lies beside the mark of the one
# without a call, or else one lies beside the marks of both.
MARKED_WHOLE, MARKED_PART, CALL_BESIDE, NEIGHBOUR = 0.35, 0.5, 0.3, 0.5
ON_EVENT = 0.5  # share of the marks of examples without a call that lie on an event of the background, if it has one
MARKED_EDGE = 0.15  # share of those marks that lie on the begin or end of the event, and mostly outside it


def _marks(rng: np.random.Generator, span: tuple[int, int], frames: int) -> tuple[Tensor, Tensor | None]:
    """The marks of a pair of examples, each `[frame]` of 0 and 1: on the call, and on a stretch beside it or None.

    The first may mark only a part of the call. So a short mark does not tell that there is no call: events are often
    shorter than the call.

    Args:
        rng: random generator.
        span: frames [begin, end) of the call.
        frames: length of the examples.
    """
    if rng.random() < MARKED_WHOLE:
        return torch.ones(frames), None
    begin, end = span
    mark = _mark_on(rng, span, frames)
    room = max((0, begin - LEAST_MARK), (end + LEAST_MARK, frames), key=lambda place: place[1] - place[0])
    if rng.random() > CALL_BESIDE or room[1] - room[0] < LEAST_MARK:
        return mark, None
    length = int(rng.integers(LEAST_MARK, room[1] - room[0] + 1))
    first = int(rng.integers(room[0], room[1] - length + 1))
    beside = torch.zeros(frames)
    beside[first : first + length] = 1.0
    return mark, beside


def _mark_on(rng: np.random.Generator, span: tuple[int, int], frames: int, edge: float = 0.0) -> Tensor:
    """A mark on all of the frames [begin, end), roughly, on a part of them, or on one of their edges. → `[frame]`.

    Args:
        rng: random generator.
        span: begin and end.
        frames: length of the examples.
        edge: share of the marks that lie on an edge, and mostly outside.
    """
    begin, end = span
    place = rng.random()
    if place < MARKED_PART:
        first = begin + int(rng.uniform(0, 1) * max(0, end - begin - LEAST_MARK))
        last = first + int(rng.integers(LEAST_MARK, max(end - first, LEAST_MARK) + 1))
        early, late = rng.integers(-5, 6, 2)
    elif place < MARKED_PART + edge:  # the mask often begins before a loud sound, as an event of its own
        inside, outside = int(rng.integers(8, 21)), int(rng.integers(10, 50))
        first, last = (begin, begin + inside) if rng.random() < 0.5 else (end - inside, end)
        early, late = (outside, 0) if first == begin else (0, outside)
    else:
        first, last = span
        early, late = rng.integers(-10, 40, 2)  # events begin and end roughly where calls do
    mark = torch.ones(frames)
    mark[: max(0, min(first - int(early), last - LEAST_MARK))] = 0.0
    mark[max(last + int(late), first + LEAST_MARK) :] = 0.0
    return mark


def _on_event(rng: np.random.Generator, background: Tensor, *, always: bool) -> Tensor | None:
    """A mark on an event of a background without a call, `[frame]`, or None: there is none, or it is not its turn.

    In the program every mark lies on an event. If training put the marks of examples without a call anywhere, a mark
    that fits a sound would tell that the sound is a call.

    Args:
        rng: random generator.
        background: spectrum without a call.
        always: it is always its turn (in a song). Otherwise in the share `ON_EVENT`.
    """
    if not always and rng.random() > ON_EVENT:
        return None
    events = events_in(background)
    if not events:
        return None
    return _mark_on(rng, events[int(rng.integers(len(events)))], background.shape[-1], MARKED_EDGE)


def _neighbour(rng: np.random.Generator, sources: Sources, background: Tensor, mark: Tensor, *, vary: bool) -> Tensor:
    """Another call beside a mark, or silence. `[frequency, frame]`; both examples of a pair get it.

    So a call is a call also beside a louder one, and beside a call there may be none.
    """
    added = torch.zeros_like(background)
    inside = torch.nonzero(mark)[:, 0]
    first, last = int(inside[0]), int(inside[-1]) + 1
    begin, end = max((0, first), (last, len(mark)), key=lambda place: place[1] - place[0])
    if rng.random() > NEIGHBOUR or end - begin < 4 * LEAST_MARK:
        return added
    pool = sources.orca if rng.random() < ORCAS or not sources.other else sources.other
    there = background[:, begin:end]
    added[:, begin:end] = _with_call(rng, pool, there, vary=vary)[0] - there
    return added


def _with_call(
    rng: np.random.Generator,
    pool: list[Source],
    background: Tensor,
    *,
    vary: bool = False,
    sir_db: tuple[float, float] = SIR_DB,
) -> tuple[Tensor, str, float, tuple[int, int]]:
    """Add a call to the background at a random place and level. An edge may cut off a part of it, even half.

    Args:
        rng: random generator.
        pool: calls to choose from.
        background: spectrum without a call.
        vary: the call is varied before, see `_varied`.
        sir_db: range of its level.

    Returns:
        The mixture, the name of the call ("" if it is silent), its level over the background in dB, and its frames
        [begin, end).
    """
    source = pool[int(rng.integers(len(pool)))]
    spectrum = _varied(rng, source.spectrum, pool) if vary else source.spectrum
    length, frames = spectrum.shape[-1], background.shape[-1]
    at = int(rng.integers(-length // 4, max(1, frames - 3 * length // 4)))
    begin, end = max(0, at), min(frames, at + length)
    call = spectrum[:, begin - at : end - at] * _smooth_gain(rng, 2.0)
    heard = sounding(call)
    power = band_power(call[:, heard])
    if not power > 0:  # no frame of the call sounds: power is 0 or not a number
        return background, "", math.nan, (begin, end)
    noise = band_power(background[:, begin:end][:, heard])
    snr_db = float(rng.uniform(*sir_db))
    mixed = background.clone()
    mixed[:, begin:end] += call * (noise * 10 ** (snr_db / 10) / power).sqrt()
    return mixed, source.name, snr_db, (begin, end)


MOST_PITCH, MOST_PACE = 0.2, 0.25  # natural log; another animal's call may be this much higher and slower
OVERLAPPING, REVERBERANT = 0.15, 0.35  # shares of calls


def _varied(rng: np.random.Generator, spectrum: Tensor, pool: list[Source]) -> Tensor:
    """A call as another animal of its kind would give it, in another sea. Real calls are few, and dialects are many.

    Pitch and pace change independently of each other. Sometimes a second call of the same pool overlaps, and sometimes
    the call reverberates.
    """
    if rng.random() < OVERLAPPING:
        other = pool[int(rng.integers(len(pool)))].spectrum[..., : spectrum.shape[-1]]
        late = int(rng.integers(0, spectrum.shape[-1] - other.shape[-1] + 1))
        spectrum = spectrum.clone()
        spectrum[:, late : late + other.shape[-1]] += other * 10 ** (rng.uniform(-12, 0) / 20)
    spectrum = _warped(spectrum, *np.exp(rng.uniform(-1, 1, 2) * (MOST_PITCH, MOST_PACE)))
    return _reverberant(rng, spectrum) if rng.random() < REVERBERANT else spectrum


def _warped(spectrum: Tensor, pitch: float, pace: float) -> Tensor:
    """Every frequency is multiplied by `pitch`, and every time by `pace`. The nearest bin and frame is taken.

    `[frequency, frame]` → `[frequency, frame * pace]`; what would come from above the highest frequency is 0.
    """
    bins, frames = spectrum.shape
    frame = (torch.arange(max(1, round(frames * pace))) / pace).long().clamp(max=frames - 1)
    low = spectrogram.FIRST_BIN  # the first row is not 0 Hz
    row = ((torch.arange(bins) + low) / pitch - low).round().long()
    inside = (row >= 0) & (row < bins)
    return spectrum[row.clamp(0, bins - 1)][:, frame] * inside[:, None]


def _reverberant(rng: np.random.Generator, spectrum: Tensor) -> Tensor:
    """The call with late, weaker copies of random phase. Their power falls by 60 dB in 0.3 to 2 s."""
    fall_s = rng.uniform(0.3, 2.0)
    late = np.sort(rng.integers(1, max(2, int(0.5 * fall_s / spectrogram.FRAME_S)), size=6))
    whole = torch.nn.functional.pad(spectrum, (0, int(late[-1])))
    first_db = rng.uniform(-20, -3)
    for frames in late:
        gain = 10 ** ((first_db - 60 * frames * spectrogram.FRAME_S / fall_s) / 20)
        phase = torch.from_numpy(rng.uniform(0, 2 * math.pi, len(spectrum))).float()
        whole[:, frames : frames + spectrum.shape[-1]] += gain * spectrogram.phasor(phase)[:, None] * spectrum
    return whole


def _recoloured(
    rng: np.random.Generator, spectrum: Tensor, usable: Tensor, background: Tensor
) -> tuple[Tensor, Tensor]:
    """Change the recorder: its response, its band (known in `usable` or not), its noise floor, a silent begin.

    None of it depends on the call: the noise floor follows the `background`.
    """
    spectrum = spectrum * _smooth_gain(rng, 5.0)
    if rng.random() < 0.45:
        # Every fourth of these is a recorder of 8-10 kHz. In its few bins noise looks like a call more often.
        limit = int(rng.integers(60, spectrogram.NUM_BINS) if rng.random() < 0.75 else rng.integers(60, 96))
        spectrum = spectrum.clone()
        spectrum[limit:] *= 10 ** (-rng.uniform(20, 80) / 20)
        if rng.random() < 0.6:
            usable = usable & (torch.arange(len(usable)) < limit)
    if rng.random() < 0.3:  # white noise, as of quantisation
        floor = spectrogram.power(background).median().sqrt() * 10 ** (-rng.uniform(-15, 20) / 20)
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        spectrum = spectrum + floor * torch.randn(spectrum.shape, dtype=spectrum.dtype, generator=generator)
    if rng.random() < 0.03:
        silent = int(rng.integers(1, spectrum.shape[-1] // 2))
        spectrum = torch.cat([torch.zeros_like(spectrum[:, :silent]), spectrum[:, silent:]], dim=-1)
    return spectrum, usable


def _masked(rng: np.random.Generator, planes: Tensor) -> Tensor:
    """Set a random band to 0 in half of the examples, and a random moment in half of them."""
    for example in planes:
        if rng.random() < 0.5:
            low, width = int(rng.integers(0, planes.shape[-2])), int(rng.integers(2, 25))
            example[:, low : low + width] = 0.0
        if rng.random() < 0.5:
            begin, width = int(rng.integers(0, planes.shape[-1])), int(rng.integers(1, 10))
            example[..., begin : begin + width] = 0.0
    return planes


# Real sound to judge by ----------------------------------------------------------------------------------------------


def evaluation_mixtures(
    split: str, count: int = 200, seed: int = EVALUATION_SEED, sir_db: tuple[float, float] = (-10.0, 10.0)
) -> list[LabelledClip]:
    """Real calls of a split mixed with its real ships, and as many clips of ships alone. Empty if there is no data.

    Both use the same ships. A bootstrap should draw sources (`source`).

    Args:
        split: `dev` or `test`.
        count: number of clips, half of them with a call.
        seed: seed of the mixtures.
        sir_db: range of the level of the call over the ship, 0.5-12 kHz, during the call.
    """
    calls, ships = catalogue_calls(split), clips.find_clips("boats", split)
    if not calls or not ships:
        return []
    sounds, noises = [clip.read() for clip in calls], [clip.read() for clip in ships]
    mixtures = []
    for k in range(count):
        rng = np.random.default_rng([seed, 1 if split == "dev" else 2, k])
        # Every second clip has a call. Calls are used in turn, so that all are used equally often.
        which, ship = (k // 2) % len(calls), int(rng.integers(len(ships)))
        samples = int(CLIP_S * RATE_HZ)
        begin = int(rng.integers(0, max(1, len(noises[ship]) - samples)))
        noise = noises[ship][begin : begin + samples].copy()
        group, bandwidth_hz = ships[ship].path.stem, ships[ship].bandwidth_hz
        if k % 2:
            mixtures.append(
                LabelledClip(samples=noise, label="boat", source=group, group=group, bandwidth_hz=bandwidth_hz)
            )
            continue
        sir = float(rng.uniform(*sir_db))
        mixed = _mix(rng, sounds[which], noise, sir)
        mixtures.append(
            LabelledClip(
                samples=mixed,
                label="orca",
                source=calls[which].path.stem,
                group=group,
                snr_db=sir,
                bandwidth_hz=bandwidth_hz,
            )
        )
    return mixtures


def _mix(
    rng: np.random.Generator, sound: NDArray[np.float32], noise: NDArray[np.float32], sir_db: float
) -> NDArray[np.float32]:
    call = (sound * signals.taper(len(sound), 0.03))[: len(noise)]
    at = int(rng.integers(0, len(noise) - len(call) + 1))
    span = slice(at, at + len(call))
    gain = math.sqrt(signals.band_power(noise[span]) * 10 ** (sir_db / 10) / max(signals.band_power(call), 1e-30))
    mixed = noise.astype(np.float64)
    mixed[span] += gain * call
    return mixed.astype(np.float32)


def station_windows(split: str) -> list[LabelledClip]:
    """All windows of `CLIP_S` of a split's recordings from stations without orcas (`stations`). [] without data."""
    kinds = ((stations.backgrounds, "ambient"), (stations.ships, "boat"), (stations.other_cetaceans, "other_cetacean"))
    windows = []
    for pieces, label in kinds:
        for samples, clip in pieces(split):
            for begin in range(0, len(samples) - int(CLIP_S * RATE_HZ) + 1, int(CLIP_S * RATE_HZ)):
                windows.append(
                    LabelledClip(
                        samples=samples[begin : begin + int(CLIP_S * RATE_HZ)], label=label, source=clip.path.stem,
                        group=clip.path.stem, bandwidth_hz=clip.bandwidth_hz, kind="real",
                    )
                )  # fmt: skip
    return windows


def nuisance_windows(split: str, each: int = 12, seed: int = EVALUATION_SEED) -> list[LabelledClip]:
    """Sounds of the kinds of nuisance that are kept for a split, in windows of `CLIP_S`, labelled `ambient`.

    Every second one is mixed into a quiet stretch of a station at 0 to 20 dB. The others, and all without data, have
    only the faint noise of a recorder.

    Args:
        split: `dev` or `test`.
        each: how many of each kind.
        seed: of all that is random.
    """
    quiet = [samples for samples, _ in stations.backgrounds(split) if len(samples) >= CLIP_S * RATE_HZ]
    length, windows = int(CLIP_S * RATE_HZ), []
    for kind in kinds_of(split):
        for k in range(each):
            rng = np.random.default_rng([seed, 3, zlib.crc32(kind.encode()), k])
            sound = random_nuisance(rng, kind)[1]
            begin = (len(sound) - length) // 2
            piece: NDArray[np.float32] = sound[begin : begin + length].astype(np.float32)
            if quiet and k % 2:
                bed = quiet[int(rng.integers(len(quiet)))]
                at = int(rng.integers(0, len(bed) - length + 1))
                samples = _mix(rng, piece, bed[at : at + length], float(rng.uniform(0, 20)))
            else:
                samples = (0.5 * piece + 1e-4 * rng.standard_normal(length)).astype(np.float32)
            windows.append(LabelledClip(samples=samples, label="ambient", source=f"{kind} {k}", group=kind))
    return windows


def real_clips(*, other_species: bool = False) -> list[LabelledClip]:
    """Real clips of the dev split, not mixed, with and without a call. Training never uses them.

    Args:
        other_species: True gives the clips of other whales and dolphins instead, with the label `other_cetacean` and
            the species as `source`.
    """
    if other_species:
        rows = [(clip, "other_cetacean") for clip in clips.find_clips("other_species", "dev")]
    else:
        rows = [(clip, "orca") for clip in clips.find_clips("calls", "dev") if "orcaal" in clip.path.parent.name]
        rows += [(clip, "ambient") for clip in clips.find_clips("ambient", "dev") if "orcaal" in clip.path.parent.name]
    return [
        LabelledClip(
            samples=clip.read(), label=label, source=clip.label if other_species else clip.path.stem, group=clip.path.parent.name,
            bandwidth_hz=clip.bandwidth_hz, kind="real",
        )
        for clip, label in rows
    ]  # fmt: skip
