"""Scores of every method on the same clips. Thresholds are chosen on the dev clips, scores come from the others."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from whalefinder.calls.classification import LabelSettings
from whalefinder.evaluation.metrics import best_threshold
from whalefinder.evaluation.peers import ByEnergy, ByFlatImage, ByNetwork, BySegmenter, Judge, scores_of
from whalefinder.evaluation.sets import Report, Sets, windows
from whalefinder.networks.classifier import Classifier
from whalefinder.networks.weights import load_network
from whalefinder.pipeline import Locator
from whalefinder.results.records import LABELS, ORCA
from whalefinder.sound.recording import open_recording
from whalefinder.training import labelled

Floats = NDArray[np.float64]
CLIP_SETS = ("mixtures", "live", "species")
PEER_SEED = 5
PEER_CLIPS = 1500


@dataclass(frozen=True)
class Alarm:
    """A false alarm: an orca is reported in a recording without one. Recording, time in seconds, score."""

    recording: str
    begin_s: float
    score: float


@dataclass(kw_only=True)
class Verdict:
    """The answers of one method.

    Args:
        judge: name of the method.
        threshold: a clip counts as orca if its score is at least this.
        scores: scores `[clip]` by set.
        alarms: its false alarms in recordings without a call.
        seconds_alone: length of those recordings.
    """

    judge: str
    threshold: float
    scores: dict[str, Floats] = field(default_factory=dict)
    alarms: list[Alarm] = field(default_factory=list)
    seconds_alone: float = 0.0


def peers(report: Report) -> list[Judge]:
    """The other methods. The linear model is fitted to mixtures of training sounds."""
    report(0, PEER_CLIPS, "drawing examples for the linear rival")
    sources = labelled.build_sources(PEER_SEED, num_calls=150, num_boats=60, num_nuisances=120)
    planes, orca = [], []
    for begin in range(0, PEER_CLIPS, 50):
        drawn = labelled.draw(sources, PEER_SEED, list(range(begin, begin + 50)))
        planes.append(drawn.planes)
        orca.append(drawn.labels.numpy() == ORCA)
        report(begin + 50, PEER_CLIPS, "drawing examples for the linear rival")
    flat = ByFlatImage(torch.cat(planes), np.concatenate(orca))
    return [ByEnergy(), flat, BySegmenter(load_network().folded())]


def hear(judge: Judge, sets: Sets, threshold: float | None, report: Report) -> Verdict:
    """The scores of one method on all sets.

    Args:
        judge: the method.
        sets: the clips.
        threshold: its threshold, or None to choose it on the dev mixtures.
        report: is called with (done, total, name).
    """
    clips = {name: getattr(sets, name) for name in ("dev", *CLIP_SETS)}
    total = sum(map(len, clips.values())) + len(sets.alone)
    done = 0

    def tick() -> None:
        nonlocal done
        done += 1
        report(done, total, judge.name)

    scores = {name: scores_of(judge, items, tick) for name, items in clips.items()}
    dev = scores.pop("dev")
    if threshold is None:
        threshold = best_threshold([clip.label == LABELS[ORCA] for clip in sets.dev], dev)
    verdict = Verdict(judge=judge.name, threshold=threshold, scores=scores)
    for clip, label in sets.alone:
        pieces = list(windows(clip, label))
        level = scores_of(judge, pieces)
        verdict.alarms += _alarms(clip.path.stem, level, threshold)
        verdict.seconds_alone += _seconds(clip.path)
        tick()
    return verdict


def _alarms(recording: str, scores: Floats, threshold: float) -> list[Alarm]:
    """One alarm for each run of windows at or above the threshold."""
    runs, _ = ndimage.label(scores >= threshold)
    # Windows are 1.5 s apart.
    return [Alarm(recording, 1.5 * run.start, float(scores[run].max())) for (run,) in ndimage.find_objects(runs)]


PIPELINE = "whole pipeline (locate)"


def hear_pipeline(network: Classifier, labels: LabelSettings, sets: Sets, report: Report) -> Verdict:
    """Alarms of `locate` in the recordings without a call: every detection with the label `orca`."""
    verdict, locator = Verdict(judge=PIPELINE, threshold=labels.orca), Locator(classifier=network, labels=labels)
    for done, (clip, _) in enumerate(sets.alone, start=1):
        recording = open_recording(clip.path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = [d for stretch in locator.stream(recording) for d in stretch.detections]
        calls = [d for d in found if d.label == LABELS[ORCA]]
        verdict.alarms += [Alarm(clip.path.stem, d.begin_s, d.probability) for d in calls]
        verdict.seconds_alone += recording.duration_s
        report(done, len(sets.alone), PIPELINE)
    return verdict


def names_of(network: Classifier, sets: Sets, settings: LabelSettings) -> dict[str, list[str]]:
    """The label that the classifier gives to every clip, by set."""
    judge = ByNetwork(network)
    return {
        name: [settings.name(judge.probabilities(clip.samples, clip.bandwidth_hz)) for clip in getattr(sets, name)]
        for name in CLIP_SETS
    }


def _seconds(path: Path) -> float:
    return open_recording(path).duration_s
