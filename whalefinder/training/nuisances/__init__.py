"""Sounds of the sea and of recorders that are not whales but look like them, and so cause false alarms.

Each is a sound `[time]` of `SECONDS` at `RATE_HZ`, with random parameters. They are added to backgrounds, both with and
without a call. There is one file for each origin and one function for each kind.

Most kinds are for training. Some whole kinds are not used in training. They show what the classifier does with kinds of
sound that it never met, as in an unknown sea. Choose settings on `dev`, and report figures of `test`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from whalefinder.errors import OptionError
from whalefinder.sea.signals import Floats
from whalefinder.training.nuisances import (
    animals,
    fish,
    impacts,
    machines,
    recorder,
    sonar,
    tonals,
    voices,
    weather_and_ice,
)
from whalefinder.training.nuisances.parts import SAMPLES, SECONDS

__all__ = ["FAMILIES", "KINDS", "SAMPLES", "SECONDS", "kinds_of", "random_nuisance"]

FAMILIES: dict[str, tuple[Callable[[np.random.Generator], Floats], ...]] = {
    "impacts": impacts.KINDS,
    "tonals": tonals.KINDS,
    "sonar": sonar.KINDS,
    "machines": machines.KINDS,
    "weather and ice": weather_and_ice.KINDS,
    "fish": fish.KINDS,
    "animals": animals.KINDS,
    "voices": voices.KINDS,
    "recorder": recorder.KINDS,
}
KINDS: dict[str, Callable[[np.random.Generator], Floats]] = {
    kind.__name__: kind for kinds in FAMILIES.values() for kind in kinds
}
HELD_OUT: dict[str, tuple[str, ...]] = {
    "dev": ("deterrent", "winch", "ice_cracks", "ice_groans", "repeated_buffer"),
    "test": ("pile_driving", "singing_propeller", "weddell_trills", "bearded_trills", "radio_voice", "birdies"),
}


def kinds_of(split: str) -> tuple[str, ...]:
    """Names of the kinds of `train`, `dev` or `test`.

    Raises:
        OptionError: an unknown split.
    """
    if split == "train":
        return tuple(kind for kind in KINDS if not any(kind in kinds for kinds in HELD_OUT.values()))
    if split not in HELD_OUT:
        raise OptionError(f"split {split!r} is unknown; choose from train, dev, test")
    return HELD_OUT[split]


def random_nuisance(rng: np.random.Generator, kind: str | None = None, split: str = "train") -> tuple[str, Floats]:
    """A sound of the given kind, or of a random kind of the split. → (kind, `[time]` with peak 1)."""
    if kind is None:
        kinds = kinds_of(split)
        kind = kinds[int(rng.integers(len(kinds)))]
    sound = KINDS[kind](rng)
    return kind, sound / max(float(np.abs(sound).max()), 1e-12)
