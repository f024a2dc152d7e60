"""Simulated sounds of cetaceans other than killer whales, from published measures. Each function cites its sources.

They are simulated because few recordings have a licence that permits their use. A sound comes from one or more animals
of one species and lasts at most 3.5 s.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from whalefinder.sea.other_cetaceans import baleen, clicks, toothed
from whalefinder.sea.signals import Floats

__all__ = ["SPECIES", "random_cetacean"]

SPECIES: dict[str, Callable[[np.random.Generator], Floats]] = {
    "bottlenose dolphin": toothed.bottlenose_dolphin,
    "common dolphin": toothed.common_dolphin,
    "striped dolphin": toothed.striped_dolphin,
    "pilot whale": toothed.pilot_whale,
    "false killer whale": toothed.false_killer_whale,
    "beluga": toothed.beluga,
    "dolphin clicks": clicks.click_train,
    "dolphin burst pulses": clicks.burst_pulses,
    "sperm whale": clicks.sperm_whale,
    "humpback": baleen.humpback,
    "minke boing": baleen.minke_boing,
    "minke pulse train": baleen.minke_pulse_train,
    "moans": baleen.moans,
}
"""Species, or a kind of sound that several species make → function that generates it."""


def random_cetacean(rng: np.random.Generator, species: str | None = None) -> tuple[str, Floats]:
    """A sound of the given species, or of a random one. → (species, `[time]` at `RATE_HZ` with peak 1)."""
    if species is None:
        species = list(SPECIES)[int(rng.integers(len(SPECIES)))]
    sound = SPECIES[species](rng)
    return species, sound / max(float(np.abs(sound).max()), 1e-12)
