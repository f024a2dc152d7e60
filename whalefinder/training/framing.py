"""Where the events of a sound lie, roughly as the segmenter finds them: the frames in which something stands out."""

from __future__ import annotations

import torch
from torch import Tensor

from whalefinder.training.sounds import without_noise

LEAST_EVENT = 12  # frames, 0.13 s
LEAST_BINS = 4  # of noise alone, 0.3 bins of a frame stand out (`without_noise`)
SHORT_GAP = 5  # frames; a shorter pause does not end an event


def events_in(spectrum: Tensor) -> list[tuple[int, int]]:
    """Frames [begin, end) of all that stands out of its own background, in order of time.

    A sound that goes on through the whole spectrum, such as a boat, is background.

    Args:
        spectrum: complex `[frequency, frame]`.
    """
    bins = (without_noise(spectrum).abs() > 0).sum(0)
    loud = torch.nonzero(bins >= LEAST_BINS)[:, 0].tolist()
    runs: list[list[int]] = []
    for frame in loud:
        if runs and frame - runs[-1][1] <= SHORT_GAP:
            runs[-1][1] = frame + 1
        else:
            runs.append([frame, frame + 1])
    return [(begin, end) for begin, end in runs if end - begin >= LEAST_EVENT]
