"""The pipeline: a recording goes in, calls with bearings come out.

    segments of sound → spectra → masks → events → bearing of each event → detections

Nothing here depends on how long the recording is or how its file is cut into blocks.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import torch

from whalefinder import audio, events, spectrogram
from whalefinder.audio import Recording, open_recording
from whalefinder.bearings import Bearing, find_bearing, to_bearing
from whalefinder.events import Event, EventSettings
from whalefinder.geometry import HydrophoneArray, spread
from whalefinder.masks import CALL, Masks, masks_of
from whalefinder.networks import load_network
from whalefinder.networks.segmentation import SegmentationNetwork
from whalefinder.scores import call_probability

CORE_CELLS, LEAD_CELLS, TAIL_CELLS = 720, 72, 144  # 61 s, with 6 s before and 12 s after
MAX_HYDROPHONES = 16  # of a larger array the most spread ones: covariances grow with the square
CELL_SAMPLES = spectrogram.CELL_FRAMES * spectrogram.HOP


@dataclass(frozen=True)
class Detection:
    """One event: times in seconds from the start of the recording, band in Hz, SNR in dB against all other sound."""

    recording: str
    begin_s: float
    end_s: float
    start_utc: datetime | None
    low_hz: float
    high_hz: float
    label: str
    probability: float
    snr_db: float
    bearing: Bearing | None = None
    channel: int | None = None
    evidence: dict[str, float] = field(default_factory=dict, compare=False)

    @property
    def azimuth_deg(self) -> float | None:
        """Clockwise from true north, [0, 360)."""
        return self.bearing.azimuth_deg if self.bearing else None

    @property
    def elevation_deg(self) -> float | None:
        """Positive up."""
        return self.bearing.elevation_deg if self.bearing else None

    @property
    def azimuth_sd_deg(self) -> float | None:
        """One standard deviation of the azimuth."""
        return self.bearing.azimuth_sd_deg if self.bearing else None

    @property
    def elevation_sd_deg(self) -> float | None:
        """One standard deviation of the elevation."""
        return self.bearing.elevation_sd_deg if self.bearing else None


@dataclass(frozen=True)
class Stretch:
    """Results of one segment as they come: detections, and a picture's worth of its core."""

    detections: list[Detection]
    seconds_done: float
    first_frame: int
    level_db: np.ndarray
    call_share: np.ndarray


class Locator:
    """Finds calls and bearings; build once, use for many recordings.

    Args:
        array: geometry, or None for detection alone.
        network: a segmenter, or None for the shipped one.
        settings: how masks become events.
        all_events: keep events that are probably no call, labelled `other`.
    """

    def __init__(
        self,
        array: HydrophoneArray | None = None,
        network: SegmentationNetwork | None = None,
        settings: EventSettings | None = None,
        *,
        all_events: bool = False,
    ) -> None:
        self.array = array
        self.network = (network or load_network()).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.settings = settings or EventSettings()
        self.all_events = all_events

    def stream(self, recording: Recording) -> Iterator[Stretch]:
        """Work through a recording segment by segment."""
        lengths = (CORE_CELLS, LEAD_CELLS, TAIL_CELLS)
        # Memory grows with the channels: many hydrophones are taken in shorter cores.
        shrink = max(1, recording.num_channels // 6)
        core, lead, tail = (cells * CELL_SAMPLES for cells in (max(72, lengths[0] // shrink), *lengths[1:]))
        for segment in audio.segments(recording, core, lead, tail):
            yield self.in_segment(segment, recording)

    def in_segment(self, segment: audio.Segment, recording: Recording) -> Stretch:
        """Detections that begin in the core of one segment."""
        valid = spectrogram.frequencies_hz() <= recording.bandwidth_hz
        array = self.array if recording.num_channels > 1 else None
        alive = hearing(segment.samples)
        masks: Masks | None
        if array is not None and len(alive) > 1:
            alive = alive[spread(array.positions_m[alive], MAX_HYDROPHONES)]
            array = array.of(alive)
            samples = segment.samples[alive] * array.relative_gain()[:, None]
            masks = together = masks_of(self.network, torch.from_numpy(samples), valid)
            found = self._detections(together, array, segment, recording, None)
        else:
            masks, found = self._each_alone(alive, segment, recording, valid)
        first_frame = segment.first_sample // spectrogram.HOP
        begin, end = _core_frames(segment)
        level = np.full((spectrogram.NUM_BINS, end - begin), -200.0)
        share = np.zeros_like(level)
        if masks is not None:
            level = 10 * np.log10(spectrogram.power(masks.spectra).mean(0).numpy()[:, begin:end] + 1e-20)
            share = masks.shares[CALL].numpy()[:, begin:end]
        return Stretch(found, segment.core[1] / spectrogram.RATE_HZ, first_frame + begin, level, share)

    def _each_alone(
        self, alive: np.ndarray, segment: audio.Segment, recording: Recording, valid: torch.Tensor
    ) -> tuple[Masks | None, list[Detection]]:
        """Hydrophones at unknown places are not mixed: each is scored, and of what overlaps the likeliest counts."""
        best: Masks | None = None
        found: list[Detection] = []
        for m in alive:
            masks = masks_of(self.network, torch.from_numpy(segment.samples[[m]]), valid)
            channel = recording.labels[m] - 1 if recording.num_channels > 1 else None
            found += self._detections(masks, None, segment, recording, channel)
            if best is None or masks.shares[CALL].square().sum() > best.shares[CALL].square().sum():
                best = masks
        kept: list[Detection] = []
        for call in sorted(found, key=lambda d: -d.probability):
            if all(call.end_s <= other.begin_s or other.end_s <= call.begin_s for other in kept):
                kept.append(call)
        return best, sorted(kept, key=lambda d: d.begin_s)

    def _detections(
        self,
        masks: Masks,
        array: HydrophoneArray | None,
        segment: audio.Segment,
        recording: Recording,
        channel: int | None,
    ) -> list[Detection]:
        first_frame = segment.first_sample // spectrogram.HOP
        begin, end = _core_frames(segment)
        found = []
        for event in events.find_events(masks.shares[CALL].numpy(), self.settings):
            if begin <= event.begin < end:
                detection = self._detection(event, masks, array, recording, first_frame)
                if detection is not None:
                    found.append(replace(detection, channel=channel))
        return found

    def _detection(
        self, event: Event, masks: Masks, array: HydrophoneArray | None, recording: Recording, first_frame: int
    ) -> Detection | None:
        look = None if array is None else find_bearing(masks, event, array, self.network)
        evidence = {**event.evidence, **({} if look is None else look.evidence)}
        probability = call_probability(evidence)
        is_call = probability >= self.settings.min_probability
        if not is_call and not self.all_events:
            return None
        begin_s = max(0.0, (first_frame + event.begin - 0.5) * spectrogram.FRAME_S)
        end_s = min(recording.duration_s, (first_frame + event.end - 0.5) * spectrogram.FRAME_S)
        start = recording.start_utc
        return Detection(
            recording=recording.name,
            begin_s=begin_s,
            end_s=end_s,
            start_utc=None if start is None else start + timedelta(seconds=begin_s),
            low_hz=event.low_hz,
            high_hz=event.high_hz,
            label="call" if is_call else "other",
            probability=probability,
            snr_db=_snr_db(masks, event),
            bearing=None if look is None or array is None else to_bearing(look.fix, array),
            evidence=evidence,
        )


def locate(
    path: Path | str,
    array: HydrophoneArray | None = None,
    *,
    network: SegmentationNetwork | None = None,
    settings: EventSettings | None = None,
    all_events: bool = False,
) -> list[Detection]:
    """Calls of one recording, in order of time, with a bearing each where `array` is given.

    Args:
        path: WAV, W64, RF64 or FLAC.
        array: from `load_array`.
        all_events: also what is probably no call, labelled `other`.

    Raises:
        RecordingError: the file cannot be used at all.

    Warns:
        UserWarning: the file is damaged; what could be read is returned.
    """
    recording = open_recording(path, array)
    locator = Locator(array, network, settings, all_events=all_events)
    found = [detection for stretch in locator.stream(recording) for detection in stretch.detections]
    for line in recording.problems:
        warnings.warn(line, stacklevel=2)
    return found


DEAF = 1e-2  # a hydrophone 40 dB below the others hears nothing; steering with it would point nowhere


def hearing(samples: np.ndarray) -> np.ndarray:
    """Indices of the channels that are neither constant nor 40 dB quieter than the median one, `[channel, time]`."""
    # Differences, since a constant or slow offset is no sound; of every 7th sample, since this is no spectrum.
    swing = np.diff(samples[:, ::7], axis=1).std(axis=1)
    usual = np.median(swing[swing > 0]) if swing.any() else 0.0
    return np.flatnonzero((swing > 0) & (swing > DEAF * usual))


def _core_frames(segment: audio.Segment) -> tuple[int, int]:
    """The core of a segment in its own frames."""
    first_frame = segment.first_sample // spectrogram.HOP
    begin, end = (round(sample / spectrogram.HOP) - first_frame for sample in segment.core)
    return begin, end


def _snr_db(masks: Masks, event: Event) -> float:
    """Power of the call over everything else, at one hydrophone, 0.5-12 kHz, over the event."""
    span = slice(event.begin, event.end)
    hz = spectrogram.frequencies_hz()
    band = (hz >= 500) & (hz <= 12_000)
    power = spectrogram.power(masks.spectra[..., span]).mean(0)[band]
    call = float((power * masks.shares[CALL, band, span]).sum())
    return 10 * math.log10(max(call, 1e-30) / max(float(power.sum()) - call, 1e-30))
