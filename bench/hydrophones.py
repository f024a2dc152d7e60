"""`python -m bench.hydrophones`: how often `explain` says that hydrophones disagree, and that one stands out.

It uses simulated arrays in order, and arrays with a fault: the clock of hydrophone 3 is late. No threshold of
`explain.leave_one_out` was chosen on these arrays. The sound is a second of noise from one direction, in independent
noise, with a known mask.
"""

from __future__ import annotations

import sys

import numpy as np
import torch

from whalefinder.array.geometry import HydrophoneArray, direction
from whalefinder.calls.events import Event
from whalefinder.calls.masks import CALL, Masks
from whalefinder.explain.leave_one_out import leave_one_out
from whalefinder.sound.spectrogram import NUM_BINS, frequencies_hz

SEED = 1_000_100_000
ARRAYS = 16
HALF_WIDTH_M = 0.2
AT_FAULT = 2  # hydrophone 3
EVENT = Event(begin=150, end=250, low_hz=375.0, high_hz=12_000.0, evidence={})
FRAMES = 376


def masks_of_noise(array: HydrophoneArray, late_s: float, rng: np.random.Generator) -> Masks:
    """A second of noise from one direction at each hydrophone. Hydrophone 3 gets it `late_s` later."""
    u = direction(rng.uniform(0, 2 * np.pi), rng.uniform(np.radians(-30), np.radians(-2)))
    delays = array.delays_s(u) + late_s * (np.arange(array.num_channels) == AT_FAULT)
    hz = frequencies_hz().numpy()

    def drawn(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape) + 1j * rng.standard_normal(shape)

    spectra = drawn(array.num_channels, NUM_BINS, FRAMES)
    turn = np.exp(-2j * np.pi * np.outer(delays, hz))  # a delay τ turns the spectrum by exp(-j2πfτ)
    falling = 6e3 / hz  # otherwise only the highest frequencies would count
    inside = slice(EVENT.begin, EVENT.end)
    spectra[..., inside] += (falling * turn)[..., None] * drawn(1, NUM_BINS, EVENT.end - EVENT.begin)
    shares = torch.zeros(3, NUM_BINS, FRAMES)
    shares[CALL, :, inside] = 0.9
    valid = torch.ones(NUM_BINS, dtype=torch.bool)
    return Masks(spectra=torch.from_numpy(spectra.astype(np.complex64)), shares=shares, valid=valid)


def trial(hydrophones: int, late_s: float, number: int) -> tuple[bool, bool, bool]:
    """Whether the hydrophones are said to disagree, whether one stands out, and whether it is the right one."""
    rng = np.random.default_rng([SEED, hydrophones, number])
    positions = rng.uniform(-HALF_WIDTH_M, HALF_WIDTH_M, (hydrophones, 3))
    array = HydrophoneArray(name="drawn", positions_m=positions, sound_speed_m_s=1490.0)
    found = leave_one_out(masks_of_noise(array, late_s, rng), EVENT, array, None)
    assert found is not None
    accused = [row.channel for row in found[1] if row.stands_out]
    return any(row.disagrees for row in found[1]), bool(accused), accused == [AT_FAULT + 1]


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    sys.stdout.write(
        f"of {ARRAYS} arrays each:\n| hydrophones | late (µs) | said to disagree | accused | accused rightly |\n"
    )
    for hydrophones in (4, 5, 6):
        for late_us in (0, 40):
            counts = np.sum([trial(hydrophones, late_us * 1e-6, number) for number in range(ARRAYS)], axis=0)
            sys.stdout.write(f"| {hydrophones} | {late_us} | {' | '.join(str(int(n)) for n in counts)} |\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
