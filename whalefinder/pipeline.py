"""The pipeline: a recording goes in, calls with bearings come out.

    segments of sound → spectra → masks → events → bearing and name of each event → its context → detections

The results do not depend on the length of the recording or on how its file is read in blocks.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from whalefinder.array.geometry import HydrophoneArray
from whalefinder.bearings.event_bearing import CONTEXT_CELLS, Look, bearing_of
from whalefinder.bearings.judge import Heard, Judge, Judgement
from whalefinder.bearings.refine import Refinement
from whalefinder.bearings.regression import regression_for
from whalefinder.calls import events
from whalefinder.calls.classification import LabelSettings, load_labels
from whalefinder.calls.context import Context, Signature, signature_of
from whalefinder.calls.events import Event, EventSettings
from whalefinder.calls.levels import received_level_db, snr_db
from whalefinder.calls.masks import CALL, MARGIN_CELLS, Masks
from whalefinder.errors import ArrayError
from whalefinder.health.monitor import Monitor
from whalefinder.networks.classifier import Classifier
from whalefinder.networks.quantised import for_inference
from whalefinder.networks.segmentation import SegmentationNetwork
from whalefinder.networks.weights import load_classifier, load_network
from whalefinder.options import LocateOptions
from whalefinder.results.records import Bearing, Detection
from whalefinder.sound import recording as audio
from whalefinder.sound import spectrogram
from whalefinder.sound.holes import frames_of
from whalefinder.sound.recording import Recording, open_recording
from whalefinder.sound.spectrogram import CELL_FRAMES
from whalefinder.sound.steps import around, level_steps

CORE_CELLS = 720  # 61 s of sound go through the network at once
LEAD_CELLS, TAIL_CELLS = CONTEXT_CELLS, 144  # an event is judged with the 2 s before it and the 12 s after its start
WIDEST_M = 250.0  # a wider array is refused: sound takes longer across than the seconds around an event are tested for
CELL_SAMPLES = CELL_FRAMES * spectrogram.HOP


@dataclass(frozen=True)
class Stretch:
    """The results of one stretch of a recording: detections, and what the picture of the recording shows.

    Args:
        detections: calls that are judged with this stretch, in order of time. They begin a minute or two before its
            end, since the minute after a call says whether it is a machine's (`calls.context`).
        seconds_done: seconds of the recording, or of its part, that are worked on so far.
        pieces: masks of this stretch, one for each group of hydrophones; the picture shows the group with most call.
    """

    detections: list[Detection]
    seconds_done: float
    pieces: tuple[Masks, ...]

    def later(self, seconds: float) -> Stretch:
        """The same stretch with all times moved later by `seconds`, the begin of the part in its recording."""
        return replace(self, detections=[_later(each, seconds) for each in self.detections]) if seconds else self

    @property
    def first_frame(self) -> int:
        """Index of the first frame, counted from the begin of the recording, or of the part that is searched."""
        return self.pieces[0].first_frame

    @cached_property
    def _loudest(self) -> Masks:
        return max(self.pieces, key=lambda masks: float(masks.shares[CALL].square().sum()))

    @cached_property
    def level_db(self) -> np.ndarray:
        """Mean power of the hydrophones, dB, `[frequency, frame]`."""
        return spectrogram.level_db(spectrogram.power(self._loudest.spectra).mean(0)).numpy()

    @property
    def call_share(self) -> np.ndarray:
        """Share of each bin's power that is call, 0 to 1, `[frequency, frame]`."""
        return self._loudest.shares[CALL].numpy()


@dataclass(frozen=True)
class _Candidate:
    """An event whose context is not known yet. `detection` is None if its label is not wanted."""

    verdict: Judgement
    detection: Detection | None


Held = Context[_Candidate]
"""What a search has found and cannot judge yet."""


class Locator:
    """Finds calls and their bearings. Build it once and use it for many recordings.

    Args:
        array: geometry, or None to detect calls without bearings.
        network: the segmentation network, or None for the shipped one.
        settings: how masks become events.
        all_events: also keep events that are probably not calls, labelled `boat` or `ambient`.
        method: `network` for bearings that the refiner makes from those of steering, `steering` without it, or `regressor`
            for bearings from a network trained for one array. When a hydrophone of the array is deaf, the regressor does
            not fit any more and steering gives the bearings.
        regressor: path of weights for `regressor`, or None for the shipped weights.
        refiner: path of weights for `network`, or None for the shipped weights.
        classifier: the network that names the events, or None for the shipped one.
        labels: thresholds of the names, or None for the shipped thresholds (`labels.toml`).

    Raises:
        ArrayError: the array is wider than `WIDEST_M`, or the regressor was trained for another array.
        ModelError: weights cannot be used.
        OptionError: an unknown method, or `regressor` without an array.
    """

    def __init__(
        self,
        array: HydrophoneArray | None = None,
        network: SegmentationNetwork | None = None,
        settings: EventSettings | None = None,
        *,
        all_events: bool = False,
        method: str = "network",
        regressor: Path | str | None = None,
        refiner: Path | str | None = None,
        classifier: Classifier | None = None,
        labels: LabelSettings | None = None,
    ) -> None:
        if array is not None and array.aperture_m > WIDEST_M:
            raise ArrayError(
                f"array {array.name!r}: {array.aperture_m:.0f} m wide, more than {WIDEST_M:g} m; "
                "use hydrophones that are nearer to each other"
            )
        self.array = array
        self.all_events = all_events
        self.settings = settings or EventSettings()
        regression = regression_for(array, method, regressor)
        refinement = Refinement.of(refiner) if array is not None and method == "network" else None
        self.judge = Judge(
            array,
            for_inference(network or load_network()),
            (classifier or load_classifier()).folded(),
            labels=labels or load_labels(),
            regression=regression,
            refinement=refinement,
            min_probability=self.settings.min_probability,
            hopeless_too=all_events,
        )

    @classmethod
    def of(cls, array: HydrophoneArray | None, options: LocateOptions) -> Locator:
        """Build a locator from options.

        Raises:
            ArrayError, ModelError, OptionError: as for the class.
        """
        settings = EventSettings()
        if options.min_probability is not None:
            settings = replace(settings, min_probability=options.min_probability)
        return cls(
            array,
            load_network(options.segmenter),
            settings,
            all_events=options.all_events,
            method=options.method,
            regressor=options.regressor,
            refiner=options.refiner,
            classifier=load_classifier(options.classifier),
        )

    def monitor_of(self, recording: Recording) -> Monitor | None:
        """A monitor of the hydrophones that a search uses, or None if the recording has not all of them."""
        if self.array is None or recording.num_channels != self.array.num_channels:
            return None
        return Monitor(self.judge.hydrophones_of(self.array), recording.begin_s)

    def stream(
        self, recording: Recording, held: Held | None = None, monitor: Monitor | None = None
    ) -> Iterator[Stretch]:
        """Work through a recording piece by piece, and yield the results of each stretch.

        Args:
            recording: the recording.
            held: keeps the events that wait for the minute after them. If the search is stopped, `rest` takes them out.
            monitor: hears the health of the array as the search goes on. Bearings do without the channels that it finds
                inverted, late, drifting or swapped, from the minute on in which it finds it.

        Every frame goes through the network once; only the frames at the edges of a piece go through it twice. The
        search for events uses a window that slides over the masks, so the end of a piece does not cut an event.
        """
        # Memory grows with the number of channels, so arrays of many hydrophones are read in shorter pieces.
        core = max(72, CORE_CELLS // max(1, recording.num_channels // 6))
        margin = MARGIN_CELLS * CELL_SAMPLES
        window: list[Masks] = []
        held = Held() if held is None else held
        done, taken = 0, dict[int, int]()
        self.judge.excluded = frozenset()
        for segment in audio.segments(recording, core * CELL_SAMPLES, margin, margin):
            pieces = self._masks(segment, recording)
            if monitor is not None:
                monitor.add(pieces[0].spectra, pieces[0].first_frame)
                self.judge.excluded = monitor.unusable()
            window = [a.followed_by(b) for a, b in zip(window, pieces, strict=True)] if window else pieces
            until = window[0].end - TAIL_CELLS * CELL_FRAMES
            if until > done:
                yield self._stretch(window, done, until, recording, held, taken).later(recording.begin_s)
                done = until
                window = [masks.between(done - LEAD_CELLS * CELL_FRAMES, masks.end) for masks in window]
        if window:
            yield self._stretch(window, done, window[0].end, recording, held, taken, last=True).later(recording.begin_s)

    def rest(self, recording: Recording, held: Held) -> list[Detection]:
        """What a stopped search still held back, judged by what it knew; [] if the search was not stopped."""
        return [_later(detection, recording.begin_s) for detection in self._judged(held, math.inf)]

    def _masks(self, segment: audio.Segment, recording: Recording) -> list[Masks]:
        """Masks of the core of one segment, one for each group of hydrophones."""
        last = segment.first_sample + segment.samples.shape[1] == segment.core[1]
        # The frame centred on a piece's last sample belongs to the next piece, if there is one. So cells stay whole.
        samples = segment.samples if last else segment.samples[:, :-1]
        begin, end = (round(sample / spectrogram.HOP) for sample in segment.core)
        pieces = self.judge.masks(samples, segment.first_sample // spectrogram.HOP, recording)
        steps = level_steps([masks.spectra for masks in pieces], pieces[0].valid)
        first = pieces[0].first_frame
        recording.add_steps([(first + step) * spectrogram.FRAME_S for step in steps if begin <= first + step < end])
        gaps = [*frames_of(recording.holes, recording.begin_s), *around(steps, first)]
        return [masks.between(begin, masks.end if last else end).without_calls(gaps) for masks in pieces]

    def _stretch(
        self,
        window: list[Masks],
        begin: int,
        end: int,
        recording: Recording,
        held: Held,
        taken: dict[int, int],
        *,
        last: bool = False,
    ) -> Stretch:
        """Results of frames [begin, end): the events that begin there are held, and those that can be judged come out."""
        held.add(self._candidates(window, begin, end, recording, taken), end * spectrogram.FRAME_S)
        found = self._judged(held, math.inf if last else end * spectrogram.FRAME_S)
        seconds = min(recording.duration_s, end * spectrogram.FRAME_S)
        return Stretch(found, seconds, tuple(masks.between(begin, end) for masks in window))

    def _judged(self, held: Held, known_s: float) -> list[Detection]:
        """Detections whose context is known when all is known up to the time `known_s`."""
        found: list[Detection] = []
        for batch in held.settled(known_s):
            found += _likeliest([each for each in itertools.starmap(self._settled, batch) if each is not None])
        return found

    def _candidates(
        self, window: list[Masks], begin: int, end: int, recording: Recording, taken: dict[int, int]
    ) -> list[tuple[Signature | None, _Candidate]]:
        """The events that begin in frames [begin, end), each with its signature. What cannot be a call has none.

        `taken` is the frame of each group up to which events are parts of those found before; this moves it.
        """
        found: list[tuple[Signature | None, _Candidate]] = []
        for group, heard in enumerate(self.judge.heard(window, recording)):
            first = heard.masks.first_frame
            wholes = events.find_events(heard.masks.shares[CALL].numpy(), self.settings)
            wholes = [whole for whole in wholes if first + whole.begin >= max(begin, taken.get(group, 0))]
            while wholes and first + wholes[0].begin < end:
                parts, count = self.judge.calls(wholes, heard, self.settings)
                for event, own in parts:
                    found += self._candidate(event, own, group, recording)
                taken[group], wholes = first + wholes[count - 1].end, wholes[count:]
        return found

    def _candidate(
        self, event: Event, heard: Heard, group: int, recording: Recording
    ) -> list[tuple[Signature | None, _Candidate]]:
        """An event that may be a call, or []."""
        verdict = self.judge(event, heard)
        if verdict is None:
            return []
        kept = verdict.is_call or self.all_events
        detection = self._detection(event, verdict, heard, recording) if kept else None
        fix = () if verdict.look is None else (verdict.look.fix.u, verdict.look.fix.covariance)
        signature = None if verdict.hopeless else signature_of(heard.masks, event, group, *fix)
        return [(signature, _Candidate(verdict, detection))]

    def _settled(self, candidate: _Candidate, machine: bool) -> Detection | None:
        """The detection of an event, or None if it is not wanted. What is a machine's gets no whale's label."""
        detection = candidate.detection
        if detection is None or not (machine and detection.is_call):
            return detection
        verdict = self.judge.of_a_machine(candidate.verdict)
        return replace(detection, label=verdict.label, probability=verdict.probability) if self.all_events else None

    def _detection(self, event: Event, verdict: Judgement, heard: Heard, recording: Recording) -> Detection:
        masks, array, look = heard.masks, heard.array, verdict.look
        begin_s = max(0.0, (masks.first_frame + event.begin - 0.5) * spectrogram.FRAME_S)
        end_s = min(recording.duration_s, (masks.first_frame + event.end - 0.5) * spectrogram.FRAME_S)
        alone = self.array is None and recording.num_channels > 1
        return Detection(
            recording=recording.name,
            begin_s=begin_s,
            end_s=end_s,
            start_utc=recording.begin_utc(recording.begin_s + begin_s, recording.begin_s + end_s),
            low_hz=event.low_hz,
            high_hz=event.high_hz,
            label=verdict.label,
            probability=verdict.probability,
            snr_db=snr_db(masks, event),
            bearing=None if look is None or array is None else self._bearing(look, array),
            channel=recording.labels[heard.hydrophones[0]] - 1 if alone else None,
            evidence=verdict.evidence,
            level_db=received_level_db(masks, event, self.array if array is not None else None),
        )

    def _bearing(self, look: Look, array: HydrophoneArray) -> Bearing:
        """The bearing of an event. It says which channels it does without."""
        bearing = bearing_of(look, array)
        whole = self.judge.hydrophones_of(self.array) if self.array is not None else array
        left_out = [str(channel + 1) for channel in whole.channels if channel not in array.channels]
        if not left_out:
            return bearing
        remark = f"without channel {' and '.join(left_out)}: silent, a copy, or not in order"
        return replace(bearing, remark="; ".join(filter(None, (bearing.remark, remark))))


def locate(
    path: Path | str,
    array: HydrophoneArray | None = None,
    *,
    network: SegmentationNetwork | None = None,
    settings: EventSettings | None = None,
    all_events: bool = False,
    method: str = "network",
    regressor: Path | str | None = None,
    begin_s: float = 0.0,
    end_s: float | None = None,
) -> list[Detection]:
    """Find the calls of one recording.

    Args:
        path: WAV, W64, RF64, BW64, AIFF or FLAC.
        array: from `load_array`, or None to detect calls without bearings.
        network: the segmentation network, or None for the shipped one.
        settings: how masks become events, or None for the shipped settings.
        all_events: also report events that are probably not calls, labelled `boat` or `ambient`.
        method: `network`, `steering` or `regressor` (see `Locator`).
        regressor: path of weights for `regressor`, or None for the shipped weights.
        begin_s, end_s: search this part only, in seconds from the begin of the recording. None: to its end.

    Returns:
        The calls in order of time, each with a bearing if there is an array.

    Raises:
        RecordingError: the file cannot be used at all, or it ends before the part begins.
        ArrayError: the regressor was trained for another array.
        ModelError: weights cannot be used.
        OptionError: an unknown method, `regressor` without an array, or a part that ends before it begins.

    Warns:
        UserWarning: the file is damaged; what could be read is returned.
    """
    recording = open_recording(path, array).part(begin_s, end_s)
    locator = Locator(array, network, settings, all_events=all_events, method=method, regressor=regressor)
    heard = locator.stream(recording, monitor=locator.monitor_of(recording))
    found = [detection for stretch in heard for detection in stretch.detections]
    for line in recording.problems:
        warnings.warn(line, stacklevel=2)
    return found


def _later(detection: Detection, seconds: float) -> Detection:
    """The detection with seconds of the file; its time of day is right already."""
    return replace(detection, begin_s=detection.begin_s + seconds, end_s=detection.end_s + seconds)


def _likeliest(found: list[Detection]) -> list[Detection]:
    """Keep the likeliest of the detections of several hydrophones that overlap in time: they can hear the same call."""
    kept: list[Detection] = []
    for call in sorted(found, key=lambda d: -d.probability):
        others = [other for other in kept if other.channel != call.channel]
        if all(call.end_s <= other.begin_s or other.end_s <= call.begin_s for other in others):
            kept.append(call)
    return sorted(kept, key=lambda d: d.begin_s)
