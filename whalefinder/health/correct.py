"""Corrections: what can be mended in a recording without doubt is mended, if the user says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from whalefinder.array.geometry import HydrophoneArray
from whalefinder.health.findings import Finding
from whalefinder.sound.recording import Recording


def corrected(
    recording: Recording, array: HydrophoneArray, findings: Sequence[Finding]
) -> tuple[Recording, HydrophoneArray, list[Finding]]:
    """The recording and its array with polarity, gain, constant delay and order mended.

    What changes in the middle of a recording is left alone, and so is a pair of which nobody knows which one is inverted.

    Args:
        recording: opened with `array`.
        array: the geometry.
        findings: from a `Monitor` of the recording.

    Returns:
        The recording, the array, and the findings that were mended.
    """
    numbers = [channel + 1 for channel in array.channels]
    factors, late = np.ones(len(numbers)), np.zeros(len(numbers))
    places_of, mended = list(range(len(numbers))), []
    for finding in findings:
        if not finding.always or any(channel not in numbers for channel in finding.channels):
            continue
        places = [numbers.index(channel) for channel in finding.channels]
        if finding.kind == "polarity" and len(places) == 1:
            factors[places[0]] *= -1.0
        elif finding.kind == "gain" and finding.value is not None:
            factors[places[0]] /= 10 ** (finding.value / 20)
        elif finding.kind == "delay" and finding.value is not None:
            late[places[0]] = finding.value * 1e-6
        elif finding.kind == "order" and len(finding.order) == len(numbers):
            places_of = [numbers.index(channel) for channel in finding.order]
        else:
            continue
        mended.append(finding)
    if not mended:
        return recording, array, []
    # A channel that is late by δ hears a plane wave at τ(u) + δ: a delay of -δ was taken out of it.
    # Gain, polarity and delay belong to a channel, and move with it where the order is mended.
    known = np.zeros(len(numbers)) if array.lead_s is None else np.array(array.lead_s)
    lead = tuple((known - late)[places_of].tolist()) if (known - late).any() else None
    better = replace(
        recording,
        columns=tuple(recording.columns[place] for place in places_of),
        labels=tuple(recording.labels[place] for place in places_of),
        factors=tuple(factors[places_of].tolist()),
    )
    return better, replace(array, lead_s=lead), mended
