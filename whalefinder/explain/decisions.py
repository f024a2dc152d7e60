"""The scores that `explain` measures: probability of a label, call share of an event. It finds what they depend on."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from whalefinder.calls.classification import POOL_FRAMES, WINDOW_FRAMES, event_sound, windows_of, with_event_score
from whalefinder.calls.events import Event, EventSettings
from whalefinder.calls.masks import CALL, REACH_FRAMES
from whalefinder.errors import OptionError
from whalefinder.explain.excerpt import Excerpt
from whalefinder.explain.occlusion import HeatMap, Occluder, Report, Score, occlude, silent
from whalefinder.networks.classifier import Classifier
from whalefinder.networks.segmentation import UPSAMPLING, SegmentationNetwork
from whalefinder.results.records import EVENT_LABELS, LABELS, WHALES, classes_of
from whalefinder.sound import features

Place = tuple[slice, slice]
FULL_COLOUR = {"probability": 0.1, "call share": 0.1, "log-odds": 0.4}
"""The loss that is drawn in full colour, for each kind of map. People read probabilities to two decimals, so 0.01 is
drawn pale and 0.1 strong. Log-odds of 0.4 are at most 0.1 of a probability, since dp = p(1 - p) d ln(p/(1 - p))."""
REACH = REACH_FRAMES  # the same number of bins and of frames: all kernels and strides of the network are square


def log_odds(network: Classifier, name: str) -> Score:
    """A score of planes `[batch, plane, frequency, frame]`: the log odds ln(p / (1 - p)) of one label.

    If p is near 1 it hardly changes, but the log odds do. They are computed from the logits, since 1 - p has few digits
    left there: logsumexp(logits of the label) - logsumexp(the other logits), all calibrated.
    """
    classes = list(classes_of(name))
    others = [index for index in range(len(LABELS)) if index not in classes]

    def scored(planes: Tensor) -> Tensor:
        logits = network.calibrated(planes)
        return logits[:, classes].logsumexp(1) - logits[:, others].logsumexp(1)

    return scored


def call_share(network: nn.Module, bins: Tensor, planes: Tensor) -> Score:
    """A score of planes `[batch, plane, frequency, frame]`: the mean call share of the bins of an event.

    The network uses ± `REACH` bins and frames around a bin. So if planes differ from `planes` in one place, only the
    surroundings of this place are computed again. The result is the same (a test compares the two).

    Args:
        network: the segmentation network.
        bins: the bins of the event, `[frequency, frame]` bool.
        planes: the planes with nothing covered, `[plane, frequency, frame]`.
    """
    bottom, right = (-size % UPSAMPLING for size in bins.shape)  # the network's grid
    whole = nn.functional.pad(planes, (0, right, 0, bottom), mode="replicate")
    weight = nn.functional.pad(bins.float() / max(1.0, float(bins.sum())), (0, right, 0, bottom))

    def shares(planes: Tensor) -> Tensor:
        return network(planes.contiguous(memory_format=torch.channels_last)).softmax(1)[:, CALL]  # type: ignore[no-any-return]

    with torch.inference_mode():
        usual = shares(whole[None])[0]

    def score(batch: Tensor) -> Tensor:
        batch = nn.functional.pad(batch, (0, right, 0, bottom), mode="replicate")
        answers = (usual * weight).sum().repeat(len(batch))
        inside = [_moved(changed, weight) for changed in (batch != whole).any(1)]
        asked = [index for index, place in enumerate(inside) if place is not None]
        if not asked:
            return answers
        around = _cut_around([place for place in inside if place is not None], weight.shape)
        cut = shares(torch.stack([batch[index][(..., *place)] for index, place in zip(asked, around, strict=True)]))
        for index, place, change in zip(
            asked, around, cut - torch.stack([usual[place] for place in around]), strict=True
        ):
            core = inside[index]
            assert core is not None
            here = tuple(slice(c.start - p.start, c.stop - p.start) for c, p in zip(core, place, strict=True))
            answers[index] += (change[here] * weight[core]).sum()
        return answers

    return score


def _moved(changed: Tensor, weight: Tensor) -> Place | None:
    """The place where the result can change and counts: within `REACH` of `changed`, among bins with a weight."""
    place = []
    for axis in (1, 0):
        covered, counted = (torch.nonzero(each.any(axis))[:, 0] for each in (changed, weight > 0))
        if len(covered) == 0 or len(counted) == 0:
            return None
        begin = max(int(covered[0]) - REACH, int(counted[0]))
        end = min(int(covered[-1]) + 1 + REACH, int(counted[-1]) + 1)
        if begin >= end:
            return None
        place.append(slice(begin, end))
    return place[0], place[1]


def _cut_around(inside: list[Place], shape: tuple[int, ...]) -> list[Place]:
    """Cuts of one size, on the network's grid. Each holds one place and all bins and frames that its result uses."""
    cuts = []
    for axis, length in enumerate(shape):
        begins = [max(0, place[axis].start - REACH) // UPSAMPLING * UPSAMPLING for place in inside]
        ends = [min(length, place[axis].stop + REACH) for place in inside]
        size = max(end - begin for begin, end in zip(begins, ends, strict=True))
        size += -size % UPSAMPLING
        begins = [min(begin, length - size) for begin in begins]
        cuts.append([slice(begin, begin + size) for begin in begins])
    return list(zip(*cuts, strict=True))


def explain_segmenter(
    excerpt: Excerpt, network: SegmentationNetwork, occluder: Occluder | None = None, report: Report = silent
) -> HeatMap:
    """Heat map of the call share of an event, or of the whole window if there is no event.

    Raises:
        OptionError: captum is not installed.
    """
    begin, end = excerpt.begin // UPSAMPLING * UPSAMPLING, excerpt.end  # on the grid of the network
    planes = features.segmenter_planes(excerpt.masks.spectra, excerpt.masks.valid)[..., begin:end]
    bins = excerpt.masks.valid[:, None].expand(planes.shape[-2:]).clone()
    if excerpt.event is not None:
        bins &= excerpt.masks.shares[CALL, :, begin:end] >= EventSettings().share
        frames = torch.arange(begin, end)
        bins &= (frames >= excerpt.event.begin) & (frames < excerpt.event.end)
    return occlude(
        call_share(network, bins, planes),
        planes,
        occluder,
        first_frame=excerpt.masks.first_frame + begin,
        report=report,
    )


@dataclass(frozen=True)
class Named:
    """A label, its heat map, and the probabilities `[class]` of all `LABELS` in the window that was explained."""

    name: str
    heat: HeatMap
    probabilities: NDArray[np.float64]


def explain_classifier(
    excerpt: Excerpt,
    network: Classifier,
    name: str | None = None,
    occluder: Occluder | None = None,
    report: Report = silent,
    *,
    in_log_odds: bool = False,
) -> Named:
    """Heat map of the probability of a label: on which parts of the sound it depends.

    The sound is the one that the classifier gets in `locate`, in the window that is most likely a whale. With an array
    it is the beam towards the event, and the probability is joined with the score of the event. Without an event it is
    the mean power of the hydrophones, and the probability is that of the classifier alone.

    Args:
        excerpt: from `listen`.
        network: the classifier.
        name: one of `EVENT_LABELS`. None: the label that `locate` gives, or the likeliest label if there is no event.
        occluder: the window that covers, in frames of the spectrum.
        report: is called with (windows done, windows in all).
        in_log_odds: map the log odds of the classifier alone. This helps if the probability is nearly 1.

    Raises:
        OptionError: an unknown label, or captum is not installed.
    """
    if name is not None and name not in EVENT_LABELS:
        raise OptionError(f"label {name!r} is unknown; choose from {', '.join(EVENT_LABELS)}")
    first, spectra = _sound(excerpt)
    event = excerpt.event
    marked = None if event is None or not network.marks else (event.begin - first, event.end - first)
    begins, planes = windows_of(spectra, excerpt.masks.valid, marked)
    with torch.inference_mode():
        said = network.probabilities(planes).double().numpy()
    best = int(said[:, WHALES].sum(1).argmax())
    answer = _joined(excerpt, said[best])
    if name is None:
        name = LABELS[int(answer.argmax())] if excerpt.judgement is None else excerpt.judgement.label
    classes = list(classes_of(name))

    # The plane that marks the event is no sound, so it is not covered.
    sound, mark = planes[best].tensor_split([network.input_channels])

    def with_mark(sound: Tensor) -> Tensor:
        return torch.cat([sound, mark.expand(len(sound), *mark.shape)], dim=1)

    def score(sound: Tensor) -> Tensor:
        said = network.probabilities(with_mark(sound)).double().numpy()
        return torch.from_numpy(np.array([_joined(excerpt, each)[classes].sum() for each in said]))

    odds = log_odds(network, name)
    heat = occlude(
        (lambda sound: odds(with_mark(sound))) if in_log_odds else score,
        sound,
        _pooled(occluder or Occluder()),
        first_frame=excerpt.masks.first_frame + first + begins[best],
        report=report,
    )
    heard = min(WINDOW_FRAMES, spectra.shape[-1] - begins[best])  # the mirrored part of a short sound is not shown
    return Named(name, heat.stretched(POOL_FRAMES).until(heard), answer)


def _sound(excerpt: Excerpt) -> tuple[int, Tensor]:
    """The first frame and the spectra that the classifier gets."""
    event, judgement = excerpt.event, excerpt.judgement
    if event is None:
        event = Event(begin=excerpt.begin, end=excerpt.end, low_hz=0.0, high_hz=0.0, evidence={})
    look = None if judgement is None else judgement.look
    if look is None or look.array is None:
        return event_sound(excerpt.masks, event, excerpt.array, None if look is None else look.fix.u)
    masks = replace(excerpt.masks, spectra=look.spectra_of(excerpt.masks.spectra), heard=None)
    return event_sound(masks, event, look.array, look.fix.u)


def _joined(excerpt: Excerpt, said: NDArray[np.float64]) -> NDArray[np.float64]:
    """The probabilities joined with the score of the event, as in `locate`. `[class]` → `[class]`."""
    judgement = excerpt.judgement
    if judgement is None:
        return said
    steered = judgement.look is not None
    return with_event_score(said, judgement.score, steered=steered, no_whale=judgement.no_whale)


def _pooled(occluder: Occluder) -> Occluder:
    frames, step = (max(1, n // POOL_FRAMES) for n in (occluder.frames, occluder.stride_frames))
    return replace(occluder, frames=frames, stride_frames=step)
