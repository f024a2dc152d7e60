"""`python -m bench.hearing.open_set` compares scores of how unlike every call a sound is.

The classifier has four answers and must give one. Four scores are compared by the area under the ROC curve between calls
and kinds of sound that training never drew:

- *p(orca)*: the calibrated probability. Training draws other sounds as backgrounds, so boat and ambient are its outlier
  class (outlier exposure: Hendrycks, Mazeika and Dietterich 2019).
- *energy*: ln Σ exp(logit), over all classes; low where nothing that is known was heard (Liu et al. 2020).
- *distance*: minus the Mahalanobis distance of the last features to the mean of training orcas, with the covariance that
  the classes share (Lee et al. 2018).
- *neighbours*: minus the distance of the normalised features to the 10th nearest training orca (Sun et al. 2022).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from bench.hearing.__main__ import CACHE
from bench.hearing.mixed import nuisances
from bench.hearing.sounds import Sound
from whalefinder.calls.classification import WINDOW_S, planes_of
from whalefinder.evaluation.metrics import roc
from whalefinder.networks.classifier import Classifier
from whalefinder.networks.weights import load_classifier
from whalefinder.results.records import ORCA
from whalefinder.sound.spectrogram import RATE_HZ, frequencies_hz
from whalefinder.training import labelled
from whalefinder.training.classifier import clip_planes
from whalefinder.training.sounds import mono_spectrum

SEED = 1_000_000_013
NEIGHBOURS = 10
TRAINING = 1024  # examples whose features are kept


def strangeness(features: Tensor, calls: Tensor) -> Tensor:
    """How unlike every known call a sound is: the distance of its features to those of the 10th nearest call.

    Features are normalised to length 1, so the distance of two with the cosine c is √(2 - 2c), from 0 to 2. Sun et al.
    2022, "Out-of-distribution detection with deep nearest neighbors".

    Shape:
        `[batch, feature]`, `[call, feature]` with at least `NEIGHBOURS` calls → `[batch]`.
    """
    cosines = nn.functional.normalize(features, dim=1) @ nn.functional.normalize(calls, dim=1).T
    return (2 - 2 * cosines.topk(NEIGHBOURS, dim=1).values[:, -1]).clamp(min=0).sqrt()


@torch.no_grad()
def answers(network: Classifier, planes: Tensor) -> tuple[Tensor, Tensor]:
    """Logits `[clip, class]` and last features `[clip, feature]` of planes `[clip, plane, frequency, frame]`."""
    features = torch.cat([network.features(part) for part in planes.split(64)])
    return network.head(features), features


class Scores:
    """The four scores, the last two fitted to training examples.

    Args:
        network: in evaluation mode.
        planes: of training examples.
        labels: their classes.
    """

    def __init__(self, network: Classifier, planes: Tensor, labels: Tensor) -> None:
        self.network = network
        _, features = answers(network, planes)
        classes = [features[labels == label] for label in labels.unique()]
        centred = torch.cat([each - each.mean(0) for each in classes]).double()
        covariance = centred.T @ centred / len(centred)
        ridge = 1e-3 * covariance.diagonal().mean() * torch.eye(len(covariance), dtype=torch.float64)
        self.inverse = torch.linalg.inv(covariance + ridge)
        self.mean = features[labels == ORCA].mean(0).double()
        self.orcas = features[labels == ORCA]

    def of(self, planes: Tensor) -> dict[str, np.ndarray]:
        """Every score of every clip, the higher the more like a call that was heard in training."""
        logits, features = answers(self.network, planes)
        off = features.double() - self.mean
        distance = ((off @ self.inverse) * off).sum(1).sqrt()
        return {
            "p(orca)": torch.softmax(logits / self.network.temperature, 1)[:, ORCA].numpy(),
            "energy": logits.logsumexp(1).numpy(),
            "distance": -distance.numpy(),
            "neighbours": -strangeness(features, self.orcas).numpy(),
        }


def window_around(sound: Sound) -> Tensor:
    """Spectrum of 3 s with what `span_s` says in its middle. → `[frequency, frame]`."""
    begin_s, end_s = sound.span_s or (0.0, WINDOW_S)
    samples = sound.read()
    first = int(np.clip((begin_s + end_s - WINDOW_S) / 2, 0, len(samples) / RATE_HZ - WINDOW_S) * RATE_HZ)
    return mono_spectrum(samples[first : first + int(WINDOW_S * RATE_HZ)])


def table(network: Classifier, split: str, cache: Path) -> str:
    """Areas under the ROC curve of calls in ships against other sounds of the split, worst kind first for p(orca)."""
    sources = labelled.build_sources(SEED, num_calls=300, num_boats=60, num_nuisances=300)
    drawn = labelled.draw(sources, SEED, list(range(TRAINING)), marks=network.marks)
    scores = Scores(network, drawn.planes, drawn.labels)
    mixtures = [clip for clip in labelled.evaluation_mixtures(split, 160) if clip.label == "orca"]
    calls = scores.of(torch.stack([clip_planes(clip) for clip in mixtures]))
    groups: dict[str, list[Tensor]] = {}
    for clip in labelled.station_windows(split):
        groups.setdefault(f"stations: {clip.label}", []).append(clip_planes(clip))
    for sound in nuisances(split, 20, cache):
        spectra = window_around(sound)[None]
        planes = planes_of(spectra, frequencies_hz() <= sound.bandwidth_hz)
        groups.setdefault(f"{sound.row}, {sound.column}", []).append(planes)
    rows = []
    for name, clips in groups.items():
        others = scores.of(torch.stack([clip[..., : min(c.shape[-1] for c in clips)] for clip in clips]))
        truth = np.r_[np.ones(len(mixtures)), np.zeros(len(clips))].astype(bool)
        areas = {score: roc(truth, np.r_[calls[score], others[score]]).area for score in calls}
        rows.append((areas["p(orca)"], name, len(clips), areas))
    lines = ["| calls in ships against | clips | " + " | ".join(calls) + " |", "| --- " * (2 + len(calls)) + "|"]
    for _, name, count, areas in sorted(rows, key=lambda row: row[0]):
        lines.append(f"| {name} | {count} | " + " | ".join(f"{area:.3f}" for area in areas.values()) + " |")
    return "\n".join(lines)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.hearing.open_set", description=__doc__)
    parser.add_argument("--classifier", type=Path, help="weights in place of the shipped ones")
    parser.add_argument("--split", choices=("dev", "test"), default="dev")
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder of the simulated nuisances")
    options = parser.parse_args()
    print(table(load_classifier(options.classifier), options.split, options.cache))


if __name__ == "__main__":
    main()
