"""Steps of the level: a gain that is switched changes all frequencies and all channels at once and alike, and stays."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from whalefinder.sound.spectrogram import FRAME_S, level_db, power

LEAST_DB = 4.0
ALIKE_DB = 2.5  # no channel and no band steps by more or less than this besides the others
BANDS = 8
STEADY_FRAMES, SUDDEN_FRAMES = 24, 4  # 0.26 s before and after tell by how much, 0.04 s that it is sudden
GUARD = 2  # frames on each side whose windows reach over the step
SUDDEN_SHARE = (0.7, 1.4)  # the sudden step is the lasting one
LASTING_FRAMES, LEAST_FRAMES, QUIET = 280, 186, 0.15  # the quietest frames of 3 s on both sides; of 2 s at the least
STEP_S = 1.5
"""So long before and after a step, the level and the noise that a network compares with are those of the other side."""


@torch.inference_mode()
def level_steps(spectra: Sequence[Tensor], valid: Tensor) -> list[int]:
    """Frames at which the level of all channels steps.

    Args:
        spectra: complex `[channel, frequency, frame]` of groups of hydrophones.
        valid: usable bins, `[frequency]` bool.
    """
    bins = valid.nonzero()[:, 0]
    if len(bins) < BANDS or spectra[0].shape[-1] < 2 * (STEADY_FRAMES + GUARD):
        return []
    level = torch.cat([level_db(_bands(power(each), bins)) for each in spectra])  # [channel, band, frame]
    steady = _difference(level, STEADY_FRAMES).flatten(0, 1)
    step = steady.mean(0)
    sudden = _difference(level, SUDDEN_FRAMES).flatten(0, 1).mean(0)
    alike = (steady - step).abs().amax(0) < ALIKE_DB
    least, most = SUDDEN_SHARE
    found = (step.abs() >= LEAST_DB) & alike & (sudden / step > least) & (sudden / step < most)
    # Where it is most sudden. A burst, which is sudden on both sides, does not last there.
    highest = torch.nn.functional.max_pool1d(sudden.abs()[None], 2 * STEADY_FRAMES + 1, 1, STEADY_FRAMES)[0]
    frames = (found & (sudden.abs() == highest)).nonzero()[:, 0].tolist()
    return [frame for frame in frames if _lasts(level.flatten(0, 1), frame, float(step[frame]))]


def _lasts(level: Tensor, frame: int, step_db: float) -> bool:
    """Whether the quietest moments after a frame are louder than those before it by as much, in every channel and band.

    The begin or the end of a call is sudden too, but the sea between its parts and after it is as loud as before.
    """
    before = level[:, max(0, frame - GUARD - LASTING_FRAMES) : max(0, frame - GUARD)]
    after = level[:, frame + GUARD + 1 : frame + GUARD + 1 + LASTING_FRAMES]
    if min(before.shape[-1], after.shape[-1]) < LEAST_FRAMES:
        return False
    quietest = after.quantile(QUIET, -1) - before.quantile(QUIET, -1)
    return bool(((quietest - step_db).abs() < ALIKE_DB).all())


def _bands(powers: Tensor, bins: Tensor) -> Tensor:
    """Mean power in `BANDS` bands of equal width. `[channel, frequency, frame]` → `[channel, band, frame]`."""
    return torch.stack([powers[:, part].mean(1) for part in bins.tensor_split(BANDS)], 1)


def _difference(level: Tensor, frames: int) -> Tensor:
    """Mean of the frames after each frame less that of the frames before it, 0 near the ends. The same shape."""
    total = torch.nn.functional.pad(level.double().cumsum(-1), (1, 0))
    mean = (total[..., frames:] - total[..., :-frames]) / frames  # mean[k] is that of frames [k, k + frames)
    reach = frames + GUARD
    difference = mean[..., reach + GUARD + 1 :] - mean[..., : -(reach + GUARD + 1)]
    return torch.nn.functional.pad(difference, (reach, level.shape[-1] - reach - difference.shape[-1]))


def around(steps: Sequence[int], first_frame: int) -> list[tuple[int, int]]:
    """Frames [first, end) of the recording around steps whose frames count from `first_frame`."""
    reach = round(STEP_S / FRAME_S)
    return [(first_frame + step - reach, first_frame + step + reach + 1) for step in steps]
