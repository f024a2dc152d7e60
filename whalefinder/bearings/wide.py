"""Wide arrays: the channels are aligned before anything compares them.

Frames of 21 ms show the same sound in all channels only if the array is small against 32 m. Sound takes 135 ms across
200 m. So each event of a wide array is aligned first: every channel is moved by whole samples, by its delay as the
correlations over many frames show it. What is left of the delays is the fraction of a sample, and goes on as in any other
array (`HydrophoneArray.lead_s`).
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch

from whalefinder.array.geometry import HydrophoneArray, distances_m
from whalefinder.bearings.wavefront import FFT
from whalefinder.calls.events import Event, EventSettings, narrowed
from whalefinder.calls.masks import CALL, Masks, shares_of
from whalefinder.networks.segmentation import SegmentationNetwork
from whalefinder.sound import spectrogram
from whalefinder.sound.spectrogram import FLOOR, FRAME_S, HOP, RATE_HZ

CONTEXT_FRAMES = 192  # 2 s before and after the event
GATE = 0.1  # bins with less call than this say nothing about delays


@torch.inference_mode()
def aligned(
    masks: Masks, event: Event, array: HydrophoneArray, network: SegmentationNetwork, settings: EventSettings
) -> tuple[Masks, Event, HydrophoneArray]:
    """The sound around an event with its channels aligned, with masks of their own; the event in it, and the array.

    Args:
        masks: masks and spectra of the array's hydrophones.
        event: the event.
        array: the geometry of these hydrophones.
        network: the segmentation network, for the masks of the aligned sound.
        settings: how masks become events.
    """
    before = masks.first_frame
    part = masks.between(before + event.begin - CONTEXT_FRAMES, before + event.end + CONTEXT_FRAMES)
    moved = replace(event, begin=event.begin + before - part.first_frame, end=event.end + before - part.first_frame)
    late = samples_late(part, moved, array)
    samples = spectrogram.samples_of(part.spectra)
    spectra = spectrogram.stft(torch.stack([_earlier(x, int(k)) for x, k in zip(samples, late, strict=True)]))
    shares = shares_of(network, spectra, masks.valid)
    whole = replace(part, spectra=spectra, shares=shares)
    reach = math.ceil(float(np.abs(late).max()) / HOP)
    wider = replace(moved, begin=max(0, moved.begin - reach), end=min(spectra.shape[-1], moved.end + reach))
    found = narrowed(shares[CALL].numpy(), wider, settings)
    lead = np.zeros(len(late)) if array.lead_s is None else np.array(array.lead_s)
    return whole, found or moved, replace(array, lead_s=tuple((lead + late / RATE_HZ).tolist()))


def _earlier(x: torch.Tensor, steps: int) -> torch.Tensor:
    """The last axis moved to an earlier time; silence comes in at the end, or for negative steps at the begin."""
    steps = max(-x.shape[-1], min(x.shape[-1], steps))
    if steps == 0:
        return x
    cut = x[..., steps:] if steps > 0 else x[..., :steps]
    return torch.nn.functional.pad(cut, (0, steps) if steps > 0 else (-steps, 0))


def samples_late(masks: Masks, event: Event, array: HydrophoneArray) -> np.ndarray:
    """By how many samples each channel hears an event later than one of them does, `[channel]` int.

    That one is the channel in which the event is clearest. The correlation of a channel and this one is computed for every
    delay in frames that the distance allows, and within a frame by the inverse transform of the cross-spectrum summed over
    the event. Bins are weighted by their share of call, and whitened by the power of the noise in each channel, which
    the bins without call give.
    """
    reach = math.ceil(float(distances_m(array.positions_m).max()) / array.sound_speed_m_s / FRAME_S) + 1
    span = slice(max(0, event.begin - reach), min(masks.spectra.shape[-1], event.end + reach))
    share = masks.shares[CALL, :, span]
    rest = (1 - share).square()
    x = masks.spectra[..., span]
    noise = ((spectrogram.power(x) * rest).sum(-1) / rest.sum(-1).clamp(min=1e-3)).clamp(min=FLOOR)
    x = x / noise.sqrt()[..., None] * masks.valid[:, None]
    clearest = int((spectrogram.power(x) * share).sum((1, 2)).argmax())
    first = torch.where(share >= GATE, x[clearest], torch.zeros_like(x[clearest]))
    late = np.zeros(len(x), int)
    for m in (m for m in range(len(x)) if m != clearest):
        apart_s = float(np.linalg.norm(array.positions_m[m] - array.positions_m[clearest])) / array.sound_speed_m_s
        most = math.ceil(apart_s / FRAME_S)
        peaks = [(*_peak(first, _earlier(x[m], k)), k) for k in range(-most, most + 1)]
        _, lag_s, k = max(peaks)
        late[m] = round((k * FRAME_S + lag_s) * RATE_HZ)
    return late


def _peak(first: torch.Tensor, other: torch.Tensor) -> tuple[float, float]:
    """Height and place (s, later is positive) of the highest correlation of two spectra, within half a step of frames."""
    index = (spectrogram.frequencies_hz() / spectrogram.BIN_HZ).round().long()
    cross = torch.zeros(FFT // 2 + 1, dtype=first.dtype)
    cross[index] = (other * first.conj()).sum(-1)
    step_s = 1 / (spectrogram.BIN_HZ * FFT)
    half = math.ceil(FRAME_S / 2 / step_s)
    lags = torch.fft.irfft(cross, FFT)
    height, place = torch.cat([lags[-half:], lags[: half + 1]]).abs().max(0)
    return float(height), (int(place) - half) * step_s
