"""The methods with which the classifier is compared, on the same clips: a simple rule, a linear model, our segmenter.

Each gives every clip a score that is higher for orcas. Its threshold is chosen on the dev clips
(`metrics.best_threshold`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d
from scipy.special import entr
from torch import Tensor

from whalefinder.calls import events
from whalefinder.calls.classification import (
    PLANES,
    POOL_FRAMES,
    WINDOW_FRAMES,
    classify_samples,
    planes_of,
    window_begins,
)
from whalefinder.calls.masks import CALL, masks_of
from whalefinder.calls.scores import event_score
from whalefinder.networks.classifier import Classifier
from whalefinder.networks.segmentation import SegmentationNetwork
from whalefinder.optional import needs
from whalefinder.results.records import ORCA
from whalefinder.sound import spectrogram
from whalefinder.training.labelled import LabelledClip
from whalefinder.training.sounds import mono_spectrum

Samples = NDArray[np.float32]
SMOOTH_FRAMES = 9  # 0.1 s
NO_EVENT = -20.0  # score of a clip in which the segmentation network finds no event


class ByNetwork:
    """The classifier: its calibrated probability of orca."""

    name = "whalefinder classifier"

    def __init__(self, network: Classifier) -> None:
        self.network = network

    def probabilities(self, samples: Samples, bandwidth_hz: float) -> NDArray[np.float64]:
        """Probabilities of a clip, `[time]` at `RATE_HZ` → `[class]`."""
        return classify_samples(self.network, samples, bandwidth_hz)

    def score(self, samples: Samples, bandwidth_hz: float) -> float:
        """Probability of orca of a clip `[time]`."""
        return float(self.probabilities(samples, bandwidth_hz)[ORCA])


class ByEnergy:
    """Band energy with spectral entropy: a short rise of power in few frequencies counts as a call.

    The power of every frequency is first divided by its median in the clip. For every frame, the mean of this is
    multiplied by 1 - H / ln N, where H is the entropy over its N bins. The score is the log of the largest smoothed
    product.
    """

    name = "band energy and entropy"

    def score(self, samples: Samples, bandwidth_hz: float) -> float:
        """Score of a clip `[time]`."""
        power = spectrogram.power(mono_spectrum(samples))[spectrogram.in_band(bandwidth_hz)].numpy()
        ratio = power / np.maximum(np.median(power, axis=1, keepdims=True), spectrogram.FLOOR)
        share = ratio / np.maximum(ratio.sum(0), spectrogram.FLOOR)  # a silent frame has no share anywhere
        order = 1 - entr(share).sum(0) / np.log(len(share))
        return float(np.log(uniform_filter1d(ratio.mean(0) * order, SMOOTH_FRAMES).max() + 1e-9))


class ByFlatImage:
    """Logistic regression on the flattened spectrogram, where every pixel has its own weight (docs/paper.md, 4).

    Args:
        planes: training examples, `[clip, plane, frequency, frame]` of `classification.planes_of`.
        orca: whether each is an orca, `[clip]` bool.
    """

    name = "logistic regression, flattened"

    def __init__(self, planes: Tensor, orca: NDArray[np.bool_]) -> None:
        needs("sklearn", what="logistic regression")
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        # C was not tuned. There are about as many pixels as clips, so regularisation is strong.
        self.model = make_pipeline(StandardScaler(), LogisticRegression(C=1e-3, max_iter=300))
        self.model.fit(_flat(planes), orca)

    def score(self, samples: Samples, bandwidth_hz: float) -> float:
        """Log odds of orca of a clip `[time]`: the largest of its windows."""
        spectrum, valid = mono_spectrum(samples), spectrogram.frequencies_hz() <= bandwidth_hz
        begins = window_begins(spectrum.shape[-1], WINDOW_FRAMES)
        planes = [planes_of(spectrum[None, :, b : b + WINDOW_FRAMES], valid) for b in begins]
        return float(self.model.decision_function(_flat(torch.stack(planes))).max())


PIXEL = (8, 4)  # bins and pooled frames that are averaged: an image has 32 frequencies x 35 times


def _flat(planes: Tensor) -> NDArray[np.float32]:
    """The contrast of windows as rows of pixels `[clip, pixel]`. Shorter windows are filled up with zeros."""
    length = WINDOW_FRAMES // POOL_FRAMES
    contrast = planes[:, PLANES.index("contrast"), :, :length]
    contrast = torch.nn.functional.pad(contrast, (0, length - contrast.shape[-1]))
    return torch.nn.functional.avg_pool2d(contrast, PIXEL).flatten(1).numpy()  # type: ignore[no-any-return]


class BySegmenter:
    """The call share of the segmentation network alone: the highest score (`scores.event_score`) of an event."""

    name = "segmenter's call share"

    def __init__(self, network: SegmentationNetwork) -> None:
        self.network = network

    def score(self, samples: Samples, bandwidth_hz: float) -> float:
        """Score of a clip `[time]`."""
        valid = spectrogram.frequencies_hz() <= bandwidth_hz
        masks = masks_of(self.network, torch.from_numpy(samples)[None], valid)
        found = events.find_events(masks.shares[CALL].numpy(), events.EventSettings())
        return max((event_score(event.evidence) for event in found), default=NO_EVENT)


Judge = ByNetwork | ByEnergy | ByFlatImage | BySegmenter


def scores_of(
    judge: Judge, clips: Sequence[LabelledClip], tick: Callable[[], None] = lambda: None
) -> NDArray[np.float64]:
    """Scores of clips by one method, `[clip]`. `tick` is called after each clip."""
    scores = []
    for clip in clips:
        scores.append(judge.score(clip.samples, clip.bandwidth_hz))
        tick()
    return np.array(scores)
