"""The pipeline: a recording goes in, calls with bearings come out.

    segments of sound → spectra → masks → events → bearing of each event → detections

Nothing here depends on how long the recording is or how its file is cut into blocks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from whalefinder import audio, events, spectrogram, steering
from whalefinder.audio import Recording, open_recording
from whalefinder.events import Event, EventSettings
from whalefinder.geometry import HydrophoneArray, angles, tangents
from whalefinder.networks import load_network
from whalefinder.networks.segmentation import CLASSES, SegmentationNetwork
from whalefinder.scores import call_probability

CORE_CELLS, LEAD_CELLS, TAIL_CELLS = 720, 72, 144  # 61 s, with 6 s before and 12 s after
CELL_SAMPLES = spectrogram.CELL_FRAMES * spectrogram.HOP
CALL, BOAT, AMBIENT = (CLASSES.index(name) for name in ("call", "boat", "ambient"))
MARGIN_FRAMES = 2
LOBE_MARGIN = 6.0
"""A second direction that is less than this (log likelihood) behind is named in `ambiguity`."""


@dataclass(frozen=True)
class Bearing:
    """A direction in the outside convention, degrees."""

    azimuth_deg: float
    elevation_deg: float | None
    azimuth_sd_deg: float
    elevation_sd_deg: float | None
    ambiguity: str = ""
    range_m: float | None = None


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


@dataclass(frozen=True)
class Masks:
    """What the network made of a segment: spectra, shares `[class, frequency, frame]`, followed noise covariance."""

    spectra: Tensor
    shares: Tensor
    noise: Tensor | None


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
        samples = torch.from_numpy(segment.samples)
        valid = spectrogram.frequencies_hz() <= recording.bandwidth_hz
        array, alive = self.array, np.ptp(segment.samples, axis=1) > 0
        if not alive.any():
            masks = None
        elif array is None:
            masks = _best_channel([masks_of(self.network, s[None], valid) for s in samples[torch.from_numpy(alive)]])
        else:
            array = _without_dead(array, alive)
            masks = masks_of(self.network, samples[torch.from_numpy(alive)], valid)
        first_frame = segment.first_sample // spectrogram.HOP
        begin, end = (round(sample / spectrogram.HOP) - first_frame for sample in segment.core)
        detections = []
        if masks is not None:
            for event in events.find_events(masks.shares[CALL].numpy(), self.settings):
                if begin <= event.begin < end:
                    detection = self._detection(event, masks, array, recording, first_frame)
                    if detection is not None:
                        detections.append(detection)
            level = 10 * np.log10(spectrogram.power(masks.spectra).mean(0).numpy()[:, begin:end] + 1e-20)
            share = masks.shares[CALL].numpy()[:, begin:end]
        else:
            level = np.full((spectrogram.NUM_BINS, end - begin), -200.0)
            share = np.zeros_like(level)
        return Stretch(detections, segment.core[1] / spectrogram.RATE_HZ, first_frame + begin, level, share)

    def _detection(
        self, event: Event, masks: Masks, array: HydrophoneArray | None, recording: Recording, first_frame: int
    ) -> Detection | None:
        fix = None
        if array is not None and masks.noise is not None and array.num_channels > 1:
            fix = find_bearing(masks, event, array)
        evidence = {**event.evidence, **_spatial_evidence(fix, event)}
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
            bearing=None if fix is None or array is None else to_bearing(fix, array),
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
        RecordingError: the file cannot be used at all, or is damaged (its message says what is kept).
    """
    recording = open_recording(path, array)
    locator = Locator(array, network, settings, all_events=all_events)
    return [detection for stretch in locator.stream(recording) for detection in stretch.detections]


@torch.inference_mode()
def masks_of(network: SegmentationNetwork, samples: Tensor, valid: Tensor) -> Masks:
    """Spectra, planes, shares, and the noise covariance that follows from them.

    Args:
        samples: `[channel, time]` of hydrophones of one array, or one hydrophone alone.
        valid: `[frequency]`, False above the recorder's band.
    """
    spectra = spectrogram.stft(samples)
    planes = spectrogram.features(spectra, valid)[None].contiguous(memory_format=torch.channels_last)
    shares = network(planes)[0].softmax(0) * valid[:, None]
    noise = None
    if len(spectra) > 1:
        noise = spectrogram.covariance(spectra, (1 - shares[CALL]).square(), spectrogram.SHORT_CELLS)
    return Masks(spectra, shares, noise)


def find_bearing(masks: Masks, event: Event, array: HydrophoneArray) -> steering.Fix | None:
    """The direction of one event, from the bins of its mask."""
    begin = max(0, event.begin - MARGIN_FRAMES)
    end = min(masks.spectra.shape[-1], event.end + MARGIN_FRAMES)
    share = masks.shares[CALL, :, begin:end]
    share = torch.where(share >= steering.GATE, share, 0.0)
    assert masks.noise is not None
    cells = steering.gather_cells(masks.spectra[..., begin:end], share, masks.noise, begin)
    return steering.find_direction(cells, array)


def _best_channel(masks: list[Masks]) -> Masks:
    """Of hydrophones at unknown places, the one that hears most of a call."""
    return max(masks, key=lambda m: float(m.shares[CALL].square().sum()))


def _without_dead(array: HydrophoneArray, alive: np.ndarray) -> HydrophoneArray | None:
    """The array without hydrophones that are constant in this segment; None when fewer than two are left."""
    if alive.all():
        return array
    if alive.sum() < 2:
        return None
    return replace(array, positions_m=array.positions_m[alive], channels=tuple(np.array(array.channels)[alive]))


def _spatial_evidence(fix: steering.Fix | None, event: Event) -> dict[str, float]:
    if fix is None:
        return {}
    area = max(math.exp(event.evidence["log_area"]), 1.0)
    return {
        "log_likelihood": math.log(max(fix.log_likelihood, 1e-2)),
        "likelihood_per_bin": max(fix.log_likelihood, 0.0) / area,
        "margin": math.log(max(min(fix.margin, 1e4), 1e-2)),
    }


def _snr_db(masks: Masks, event: Event) -> float:
    """Power of the call over everything else, at one hydrophone, 0.5-12 kHz, over the event."""
    span = slice(event.begin, event.end)
    hz = spectrogram.frequencies_hz()
    band = (hz >= 500) & (hz <= 12_000)
    power = spectrogram.power(masks.spectra[..., span]).mean(0)[band]
    call = float((power * masks.shares[CALL, band, span]).sum())
    return 10 * math.log10(max(call, 1e-30) / max(float(power.sum()) - call, 1e-30))


def to_bearing(fix: steering.Fix, array: HydrophoneArray) -> Bearing:
    """A fix in the outside convention, with what the array cannot tell apart put in words."""
    if array.shape == "line":
        return _cone(fix, array)
    azimuth, elevation = (float(np.degrees(angle)) for angle in angles(fix.u))
    level_sd, up_sd = np.degrees(np.sqrt(np.diag(fix.covariance)))
    azimuth_sd = min(180.0, level_sd / max(math.cos(math.radians(elevation)), 1e-3))
    ambiguity = ""
    if array.shape == "plane":
        normal = array.principal_axes()[1][2]
        mirrored = fix.u - 2 * (fix.u @ normal) * normal
        if mirrored[2] <= np.sin(array.max_elevation_rad()) and np.linalg.norm(mirrored - fix.u) > 0.05:
            other = [float(np.degrees(angle)) for angle in angles(mirrored)]
            ambiguity = f"plane: or azimuth {other[0]:.1f} elevation {other[1]:.1f}"
    elif fix.margin < LOBE_MARGIN:
        ambiguity = f"lobe: another direction is nearly as likely (log likelihood {fix.margin:.1f} less)"
    return Bearing(azimuth % 360.0, elevation, azimuth_sd, min(90.0, float(up_sd)), ambiguity, fix.range_m)


def _cone(fix: steering.Fix, array: HydrophoneArray) -> Bearing:
    """A pair or a line: the angle from its axis, and the two azimuths that this allows at elevation 0."""
    axis = array.principal_axes()[1][0]
    angle = float(np.arccos(np.clip(fix.u @ axis, -1, 1)))
    # The tangent at u towards the axis is the only direction in which the fix knows anything.
    towards = axis - (axis @ fix.u) * fix.u
    level, up = tangents(fix.u)
    weights = np.array([towards @ level, towards @ up]) / max(float(np.linalg.norm(towards)), 1e-9)
    sd = math.degrees(math.sqrt(float(weights @ fix.covariance @ weights)))
    axis_azimuth, axis_elevation = (float(np.degrees(a)) for a in angles(axis))
    words = f"cone: {math.degrees(angle):.1f} deg from axis azimuth {axis_azimuth:.1f} elevation {axis_elevation:.1f}"
    # At elevation 0: cos(angle) = cos(el_axis) cos(az - az_axis).
    ratio = math.cos(angle) / max(math.cos(math.radians(axis_elevation)), 1e-9)
    if abs(ratio) > 1:
        return Bearing(math.degrees(angles(fix.u)[0]) % 360, None, 180.0, None, words + "; none at elevation 0")
    offset = math.degrees(math.acos(ratio))
    first, second = sorted([(axis_azimuth + offset) % 360, (axis_azimuth - offset) % 360])
    words += f"; azimuth {first:.1f} or {second:.1f} at elevation 0"
    return Bearing(first, None, min(180.0, sd), None, words)
