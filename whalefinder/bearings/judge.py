"""What an event is and where it comes from, decided together: the beam towards it is what the classifier hears.

`pipeline` asks for every event of a recording, `explain` for one: the same questions of the same sound, so both say the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch

from whalefinder.array.geometry import HydrophoneArray, spread
from whalefinder.bearings.event_bearing import Look, find_bearing
from whalefinder.bearings.regression import Regression
from whalefinder.calls.classification import (
    BEAM_WEIGHT,
    HOPELESS_ARRAY,
    HOPELESS_SINGLE,
    MOST_FOR,
    LabelSettings,
    classify_event,
    with_event_score,
)
from whalefinder.calls.events import Event
from whalefinder.calls.hydrophones import MAX_HYDROPHONES, hearing
from whalefinder.calls.masks import Masks, masks_of
from whalefinder.calls.scores import event_score
from whalefinder.networks.classifier import Classifier
from whalefinder.networks.segmentation import SegmentationNetwork
from whalefinder.results.records import LABELS, WHALE_LABELS
from whalefinder.sound import spectrogram
from whalefinder.sound.recording import Recording


@dataclass(frozen=True)
class Heard:
    """Hydrophones that are taken together.

    Args:
        masks: of these hydrophones.
        array: their places; None where these are unknown, or a single one hears.
        hydrophones: which they are, indices of the recording's channels.
    """

    masks: Masks
    array: HydrophoneArray | None
    hydrophones: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What an event is, and why.

    Args:
        label: one of `LABELS`.
        probabilities: of every label, `[class]`.
        look: where it comes from; None where no direction is known.
        score: of the event (`calls.scores`).
        evidence: the figures that the score is made of.
    """

    label: str
    probabilities: np.ndarray
    look: Look | None
    score: float
    evidence: dict[str, float]

    @property
    def probability(self) -> float:
        """Of the label."""
        return float(self.probabilities[LABELS.index(self.label)])

    @property
    def is_call(self) -> bool:
        """Whether the label is a whale's."""
        return self.label in WHALE_LABELS


class Judge:
    """Hears a stretch of a recording as groups of hydrophones, and says what their events are.

    Args:
        array: geometry, or None where it is not known.
        network: the segmenter, ready for inference.
        classifier: names the events.
        labels: thresholds of the names.
        regression: gives bearings in place of steering.
        min_probability: stands in place of the thresholds, see `LabelSettings.name`.
        hopeless_too: judge also what can be no call.
    """

    def __init__(
        self,
        array: HydrophoneArray | None,
        network: SegmentationNetwork,
        classifier: Classifier,
        *,
        labels: LabelSettings,
        regression: Regression | None = None,
        min_probability: float | None = None,
        hopeless_too: bool = False,
    ) -> None:
        self.array = array
        self.network = network
        self.classifier = classifier
        self.labels = labels
        self.regression = regression
        self.min_probability = min_probability
        self.hopeless_too = hopeless_too
        # The best that a classifier can say lifts no score below this to a call.
        self.hopeless = min(HOPELESS_ARRAY, _log_odds(labels.least(min_probability)) - BEAM_WEIGHT * MOST_FOR)

    def masks(self, samples: np.ndarray, first_frame: int, recording: Recording) -> list[Masks]:
        """Masks of a stretch of a recording: of the array as one, or of every hydrophone alone where places are unknown.

        Args:
            samples: `[channel, time]`, float32 at `spectrogram.RATE_HZ`.
            first_frame: of the recording.
        """
        valid = spectrogram.frequencies_hz() <= recording.bandwidth_hz
        sound = torch.from_numpy(samples)
        heard = torch.zeros(len(samples), dtype=torch.bool)
        heard[hearing(samples)] = True
        pieces = []
        for group in self._groups(recording):
            chosen = sound if len(group) == len(sound) else sound[group]
            if self.array is not None and len(group) > 1 and self.array.sensitivity_db is not None:
                chosen = chosen * torch.from_numpy(self.array.relative_gain()[group, None])
            pieces.append(masks_of(self.network, chosen, valid, heard[group], first_frame))
        return pieces

    def _groups(self, recording: Recording) -> list[list[int]]:
        """Hydrophones that are mixed: those of the array, or each alone."""
        if self.array is None or recording.num_channels == 1:
            return [[m] for m in range(recording.num_channels)]
        return [[int(m) for m in spread(self.array.positions_m, MAX_HYDROPHONES)]]

    def heard(self, pieces: list[Masks], recording: Recording) -> list[Heard]:
        """What `masks` gave, without hydrophones that are deaf: names and bearings rest on those that heard all of it."""
        return [self._without_deaf(masks, group) for masks, group in zip(pieces, self._groups(recording), strict=True)]

    def _without_deaf(self, masks: Masks, group: list[int]) -> Heard:
        array = self.array.of(np.array(group)) if self.array is not None and len(group) > 1 else None
        if array is not None and masks.heard is not None and not bool(masks.heard.all()):
            left = np.flatnonzero(masks.heard.numpy())
            array, group = array.of(left) if len(left) > 1 else None, [group[m] for m in left]
            masks = replace(masks, spectra=masks.spectra[masks.heard])
        return Heard(masks, array, tuple(group))

    def __call__(self, event: Event, heard: Heard) -> Judgement | None:
        """What an event is: the classifier's word, and with an array the event's score besides.

        None where it is not worth asking the classifier: it would be no call whatever that says, and only calls are wanted.
        """
        masks, array, look = heard.masks, heard.array, None
        if array is not None:
            look = find_bearing(masks, event, array, self.network, self.regression, self.hopeless)
        evidence = {**event.evidence, **({} if look is None else look.evidence)}
        score = event_score(evidence)
        if score < (HOPELESS_SINGLE if look is None else self.hopeless) and not self.hopeless_too:
            return None
        said = classify_event(self.classifier, masks, event, array, None if look is None else look.fix.u)
        probabilities = with_event_score(said, score, steered=look is not None)
        label = self.labels.name(probabilities, self.min_probability)
        return Judgement(label=label, probabilities=probabilities, look=look, score=score, evidence=evidence)


def _log_odds(probability: float) -> float:
    inside = min(max(probability, 1e-9), 1 - 1e-9)
    return math.log(inside / (1 - inside))
