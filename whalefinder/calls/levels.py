"""Levels of calls: relative to all other sound, and in dB re 1 µPa if the array file gives sensitivity and full scale.

A sample x (full scale is ±1) is the pressure p = x · full_scale_v / 10^(sensitivity_db / 20) in µPa: volts at the
output of the hydrophone, divided by volts per µPa. `docs/conventions.md` says where data sheets give the two numbers.
"""

from __future__ import annotations

import math

from whalefinder.array.geometry import HydrophoneArray
from whalefinder.calls.events import Event
from whalefinder.calls.masks import CALL, Masks
from whalefinder.sound import spectrogram

ONE_SIDED_DB = 10 * math.log10(2)  # spectra hold only the positive frequencies: half of the power


def snr_db(masks: Masks, event: Event) -> float:
    """Power of the call relative to all other sound, in dB: at one hydrophone, 0.5-12 kHz, during the event."""
    span = slice(event.begin, event.end)
    band = spectrogram.in_band()
    power = spectrogram.power(masks.spectra[..., span]).mean(0)[band]
    call = float((power * masks.shares[CALL, band, span]).sum())
    return 10 * math.log10(max(call, 1e-30) / max(float(power.sum()) - call, 1e-30))


def received_level_db(masks: Masks, event: Event, array: HydrophoneArray | None) -> float | None:
    """Received level of the call: r.m.s. over the event, from low_hz to high_hz, without the share of other sound.

    Args:
        masks: shares and spectra. Differences of sensitivity are already removed (`HydrophoneArray.relative_gain`).
        event: the call.
        array: the whole array, even if the masks hold only some of its hydrophones.

    Returns:
        dB re 1 µPa, or None if the array is not calibrated.
    """
    reference_db = None if array is None else array.full_scale_db
    if reference_db is None:
        return None
    span, hz = slice(event.begin, event.end), spectrogram.frequencies_hz()
    band = (hz >= event.low_hz) & (hz <= event.high_hz)
    power = spectrogram.power(masks.spectra[..., span]).mean(0)[band] * masks.shares[CALL, band, span]
    mean_square = float(power.sum(0).mean())
    return None if mean_square <= 0 else 10 * math.log10(mean_square) + ONE_SIDED_DB + reference_db
