"""The decision about an event: what it is and where it comes from. The classifier gets the beam towards the event.

`pipeline` uses this for every event of a recording, and `explain` for one event. So both decide in the same way.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch

from whalefinder.array.geometry import HydrophoneArray, spread
from whalefinder.bearings.callers import events_of_callers
from whalefinder.bearings.event_bearing import Look, find_bearing
from whalefinder.bearings.joining import joined, may_go_on
from whalefinder.bearings.refine import Refinement
from whalefinder.bearings.regression import Regression
from whalefinder.bearings.wide import aligned
from whalefinder.calls.classification import (
    BEAM_WEIGHT,
    HOPELESS_ARRAY,
    HOPELESS_SINGLE,
    MOST_FOR,
    LabelSettings,
    classify_event,
    with_event_score,
    without_whales,
)
from whalefinder.calls.events import Event, EventSettings
from whalefinder.calls.hydrophones import MAX_HYDROPHONES, hearing
from whalefinder.calls.masks import Masks, masks_of
from whalefinder.calls.scores import event_score
from whalefinder.networks.classifier import Classifier
from whalefinder.networks.segmentation import SegmentationNetwork
from whalefinder.results.records import WHALE_LABELS, classes_of
from whalefinder.sound import spectrogram
from whalefinder.sound.recording import Recording


@dataclass(frozen=True)
class Heard:
    """A group of hydrophones that are used together.

    Args:
        masks: masks and spectra of these hydrophones.
        array: their geometry, or None if it is unknown or only one hydrophone hears.
        hydrophones: their indices in the channels of the recording, from 0.
    """

    masks: Masks
    array: HydrophoneArray | None
    hydrophones: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """The decision about an event, with its reasons.

    Args:
        label: one of `EVENT_LABELS`.
        probabilities: probability of every label, `[class]` in the order of `LABELS`.
        look: its bearing, or None if there is none.
        score: score of the event (`calls.scores`).
        evidence: the figures from which the score is computed.
        hopeless: the score is so low that the event cannot be a call, whatever the classifier says.
        no_whale: something else shows that the event is no whale, whatever the classifier says: it arrives at all
            hydrophones at once (`Look.at_once`), or it is a machine's (`calls.context`).
    """

    label: str
    probabilities: np.ndarray
    look: Look | None
    score: float
    evidence: dict[str, float]
    hopeless: bool = False
    no_whale: bool = False

    @property
    def probability(self) -> float:
        """Probability of the label, 0 to 1."""
        return float(self.probabilities[list(classes_of(self.label))].sum())

    @property
    def is_call(self) -> bool:
        """Whether the label is that of a whale."""
        return self.label in WHALE_LABELS


class Judge:
    """Computes the masks of groups of hydrophones and decides about their events.

    Args:
        array: geometry, or None if it is unknown.
        network: the segmentation network, ready for inference.
        classifier: the network that names the events.
        labels: thresholds of the names.
        regression: gives the bearings instead of steering, or None.
        refinement: makes the bearings of steering better and their errors true, or None.
        min_probability: replaces the thresholds, see `LabelSettings.name`.
        hopeless_too: also decide about events that cannot be a call.
    """

    def __init__(
        self,
        array: HydrophoneArray | None,
        network: SegmentationNetwork,
        classifier: Classifier,
        *,
        labels: LabelSettings,
        regression: Regression | None = None,
        refinement: Refinement | None = None,
        min_probability: float | None = None,
        hopeless_too: bool = False,
    ) -> None:
        self.array = array
        self.network = network
        self.classifier = classifier
        self.labels = labels
        self.regression = regression
        self.refinement = refinement
        self.min_probability = min_probability
        self.hopeless_too = hopeless_too
        self.excluded: frozenset[int] = frozenset()
        """Channels of the array file, from 0, that bearings and names do without (`health.findings.unusable`)."""
        # If the score is below this, even the surest answer of the classifier cannot make the event a call.
        self.hopeless = min(HOPELESS_ARRAY, _log_odds(labels.least(min_probability)) - BEAM_WEIGHT * MOST_FOR)

    def masks(self, samples: np.ndarray, first_frame: int, recording: Recording) -> list[Masks]:
        """Masks of a stretch of a recording: one for the array, or one for each hydrophone if their places are unknown.

        Args:
            samples: `[channel, time]`, float32 at `spectrogram.RATE_HZ`.
            first_frame: index in the recording of the first frame.
            recording: the recording that the samples are from.
        """
        valid = spectrogram.frequencies_hz() <= recording.bandwidth_hz
        sound = torch.from_numpy(samples)
        heard = torch.zeros(len(samples), dtype=torch.bool)
        heard[hearing(samples, array=self.array is not None)] = True
        pieces = []
        for group in self._groups(recording):
            chosen = sound if len(group) == len(sound) else sound[group]
            if self.array is not None and len(group) > 1 and (self.array.sensitivity_db or self.array.gain_db):
                chosen = chosen * torch.from_numpy(self.array.relative_gain()[group, None])
            pieces.append(masks_of(self.network, chosen, valid, heard[group], first_frame))
        return pieces

    def _groups(self, recording: Recording) -> list[list[int]]:
        """Groups of hydrophones: all of the array together, or each alone."""
        if self.array is None or recording.num_channels == 1:
            return [[m] for m in range(recording.num_channels)]
        return [_chosen(self.array)]

    @staticmethod
    def hydrophones_of(array: HydrophoneArray) -> HydrophoneArray:
        """The hydrophones of an array whose masks are computed together; of a large array, those furthest apart."""
        return array.of(_chosen(array))

    def heard(self, pieces: list[Masks], recording: Recording) -> list[Heard]:
        """The groups of `masks` without deaf hydrophones. Names and bearings use hydrophones that hear all the time."""
        return [self._without_deaf(masks, group) for masks, group in zip(pieces, self._groups(recording), strict=True)]

    def _without_deaf(self, masks: Masks, group: list[int]) -> Heard:
        array = self.array.of(np.array(group)) if self.array is not None and len(group) > 1 else None
        if array is None:
            return Heard(masks, array, tuple(group))
        hears = np.ones(len(group), bool) if masks.heard is None else masks.heard.numpy()
        good = hears & np.array([channel not in self.excluded for channel in array.channels])
        hears = good if good.any() else hears
        if not hears.all():
            left = np.flatnonzero(hears)
            array, group = array.of(left) if len(left) > 1 else None, [group[m] for m in left]
            masks = replace(masks, spectra=masks.spectra[left.tolist()], heard=None)
        return Heard(masks, array, tuple(group))

    def callers(self, event: Event, heard: Heard, settings: EventSettings) -> list[tuple[Event, Heard]]:
        """An event as one event for each animal that calls in it, with the masks of each (`callers`)."""
        if heard.array is None or self.regression is not None:
            return [(event, heard)]
        if heard.array.is_wide:
            own, part, array = aligned(heard.masks, event, heard.array, self.network, settings)
            return [(part, replace(heard, masks=own, array=array))]
        parts = events_of_callers(heard.masks, event, heard.array, settings)
        return [(part, replace(heard, masks=masks)) for masks, part in parts]

    def calls(self, found: list[Event], heard: Heard, settings: EventSettings) -> tuple[list[tuple[Event, Heard]], int]:
        """The first of some events as one event for each animal, with those after it that go on with the same calls.

        Args:
            found: events in order of time, at least one.
            heard: the masks that they are from.
            settings: how masks become events.

        Returns:
            The events with the masks of each, and how many of `found` are in them (`joining`).
        """
        parts, count = self.callers(found[0], heard, settings), 1
        if heard.array is None or heard.array.is_wide or self.regression is not None:
            return parts, count
        while count < len(found) and may_go_on(found[count - 1], found[count]):
            more = self.callers(found[count], heard, settings)
            early, late = ([(own.masks, event) for event, own in each] for each in (parts, more))
            whole = joined(early, late, heard.array, self.network, settings)
            if whole is None:
                break
            parts, count = [(event, replace(heard, masks=masks)) for masks, event in whole], count + 1
        return parts, count

    def calls_with(
        self, found: list[Event], index: int, heard: Heard, settings: EventSettings
    ) -> list[tuple[Event, Heard]]:
        """What `calls` makes of one of the events, which it may join with some before and after it."""
        first = index
        while first > 0 and may_go_on(found[first - 1], found[first]):
            first -= 1
        while True:
            parts, count = self.calls(found[first:], heard, settings)
            if first + count > index:
                return parts
            first += count

    def __call__(self, event: Event, heard: Heard) -> Judgement | None:
        """Decide about an event: by the classifier alone, or with an array by the classifier and the event's score.

        Returns:
            The decision. It is None if only calls are wanted and the event cannot be one, whatever the classifier says.
        """
        masks, array, look = heard.masks, heard.array, None
        if array is not None:
            look = find_bearing(masks, event, array, self.network, self.regression, self.hopeless, self.refinement)
        evidence = {**event.evidence, **({} if look is None else look.evidence)}
        score = event_score(evidence)
        hopeless = score < (HOPELESS_SINGLE if look is None else self.hopeless)
        if hopeless and not self.hopeless_too:
            return None
        if look is not None and look.array is not None:
            masks, array = replace(masks, spectra=look.spectra_of(masks.spectra), heard=None), look.array
        said = classify_event(self.classifier, masks, event, array, None if look is None else look.fix.u)
        no_whale = look is not None and look.at_once
        probabilities = with_event_score(said, score, steered=look is not None, no_whale=no_whale)
        return Judgement(
            label=self.labels.name(probabilities, self.min_probability),
            probabilities=probabilities,
            look=look,
            score=score,
            evidence=evidence,
            hopeless=hopeless,
            no_whale=no_whale,
        )

    def of_a_machine(self, verdict: Judgement) -> Judgement:
        """The decision about an event that is a machine's, although it sounds like a whale."""
        probabilities = without_whales(verdict.probabilities)
        label = self.labels.name(probabilities, self.min_probability)
        return replace(verdict, label=label, probabilities=probabilities, no_whale=True)


def _chosen(array: HydrophoneArray) -> list[int]:
    return [int(m) for m in spread(array.positions_m, MAX_HYDROPHONES)]


def _log_odds(probability: float) -> float:
    inside = min(max(probability, 1e-9), 1 - 1e-9)
    return math.log(inside / (1 - inside))
