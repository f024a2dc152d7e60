"""Simulated sounds of cetaceans that are no killer whales, from published measures; each function cites its own.

Permissive recordings of them are few. A sound here is of one species: one or more animals, at most 3.5 s.
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
"""Species, or a kind of sound that several share → generator."""


def random_cetacean(rng: np.random.Generator, species: str | None = None) -> tuple[str, Floats]:
    """A sound of the given or a random species. → (species, `[time]` at `RATE_HZ`, peak 1)."""
    if species is None:
        species = list(SPECIES)[int(rng.integers(len(SPECIES)))]
    sound = SPECIES[species](rng)
    return species, sound / max(float(np.abs(sound).max()), 1e-12)
