"""The images of the study: two seconds of a boat; at most half of them have a call too. They are kept in memory.

An image is a spectrogram averaged to 64 frequencies x 47 times. The noise of real calls is removed
(`sounds.clean_call`), and both classes have boats of the same recordings. So only the call shows the class.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from whalefinder.calls.classification import PLANES, POOL_FRAMES, planes_of
from whalefinder.errors import OptionError
from whalefinder.sea.boats import random_boat
from whalefinder.sea.calls import random_call
from whalefinder.sound import spectrogram
from whalefinder.training import clips, sounds

FRAMES = 188  # 2 s
SIMULATED_S = 2.048  # 2^15 x 3 samples: a length with a fast Fourier transform
COARSER = (4, 2)  # bins and pooled frames averaged into one pixel
SIR_DB = (-10.0, 10.0)
AS_HEARD, PER_RECORDING = 0, 1
"""Planes of an image: levels relative to the mean of the clip; every frequency relative to its median in the clip."""
KEPT = [PLANES.index("level"), PLANES.index("contrast")]


@dataclass(frozen=True)
class Source:
    """A call or a boat.

    Args:
        spectrum: complex `[frequency, frame]`.
        name: name of its clip.
        group: call type or vessel; a split keeps a group together.
        origin: sample rate of a call, or kind of a boat.
    """

    spectrum: Tensor
    name: str
    group: str
    origin: str


@dataclass(frozen=True)
class Sources:
    """The calls and boats from which images are mixed."""

    calls: list[Source]
    boats: list[Source]

    def without(self, calls: Sequence[str] = (), boats: Sequence[str] = ()) -> Sources:
        """The sources without these call types and these vessels."""
        return Sources([s for s in self.calls if s.group not in calls], [s for s in self.boats if s.group not in boats])

    def only(self, calls: Sequence[str] = (), boats: Sequence[str] = ()) -> Sources:
        """The sources of these call types and these vessels."""
        return Sources([s for s in self.calls if s.group in calls], [s for s in self.boats if s.group in boats])

    def boats_from(self, origin: str) -> Sources:
        """All calls, and the boats of one origin."""
        return replace(self, boats=[s for s in self.boats if s.origin == origin])


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Images with their labels.

    Args:
        images: `[image, plane, frequency, time]`.
        orca: whether there is a call, `[image]` bool.
        calls, boats: names of the clips from which each is mixed ("" without a call).
        sir_db: level of the call over the boat, `[image]` dB; nan without a call.
    """

    images: Tensor
    orca: Tensor
    calls: list[str]
    boats: list[str]
    sir_db: Tensor

    def __len__(self) -> int:
        return len(self.images)

    def of(self, index: Tensor | np.ndarray) -> Examples:
        """Some of the images, chosen by index."""
        chosen = torch.as_tensor(index)
        calls, boats = ([names[int(k)] for k in chosen] for names in (self.calls, self.boats))
        return Examples(
            images=self.images[chosen], orca=self.orca[chosen], calls=calls, boats=boats, sir_db=self.sir_db[chosen]
        )


def real_sources(split: str) -> Sources:
    """Calls of one split of the catalogue, with ships: of `dev` for `train` and `dev`, of `test` for `test`.

    Two vessels were recorded in both splits. For `train` and `dev` they are left out.

    Raises:
        OptionError: there are no recordings.
    """
    use = {"train": "train"}.get(split, "evaluate")
    calls = [c for c in clips.find_clips("calls", split, use) if "ford" in c.path.parent.name]
    ships = clips.find_clips("boats", "test" if split == "test" else "dev")
    if not calls or not ships:
        raise OptionError(
            f"{clips.data_folder()}: {len(calls)} calls and {len(ships)} ships of split {split}; the study needs both: "
            "set WHALEFINDER_DATA to the folder with manifest.csv"
        )
    vessels = _vessels()
    elsewhere = (
        {vessels.get(ship.path.name) for ship in clips.find_clips("boats", "test")} if split != "test" else set()
    )
    return Sources(
        [Source(_call(c.read()), c.path.stem, c.sublabel, f"{c.rate_hz / 1e3:g} kHz") for c in calls],
        [
            Source(
                sounds.mono_spectrum(ship.read()),
                ship.path.stem,
                vessels.get(ship.path.name, ship.path.stem),
                ship.sublabel,
            )
            for ship in ships
            if vessels.get(ship.path.name) not in elsewhere
        ],
    )


def simulated_boats(count: int, seed: int) -> list[Source]:
    """`count` simulated boats, all different."""
    rng = np.random.default_rng([seed, 43])
    return [_simulated_boat(rng, k) for k in range(count)]


def _simulated_boat(rng: np.random.Generator, number: int) -> Source:
    name = f"boat {number}"
    return Source(sounds.mono_spectrum(random_boat(rng, SIMULATED_S)), name, name, "simulated")


def simulated_examples(count: int, seed: int, tick: Callable[[int], None] = lambda done: None) -> Examples:
    """`count` independent images, half of them with a call. Each has its own simulated boat and its own simulated call.

    `tick` is called with the number of images drawn.
    """
    rng = np.random.default_rng([seed, 40])
    parts = []
    for k in range(count):
        calls = (
            [] if k % 2 else [Source(_call(random_call(rng)[1], clean=False), f"call {k}", f"call {k}", "simulated")]
        )
        pair = Sources(calls, [_simulated_boat(rng, k)])
        parts.append(draw(pair, 1, orca_share=float(k % 2 == 0), seed=seed * 100_000 + k))
        tick(k + 1)
    return joined(parts)


def joined(parts: Sequence[Examples]) -> Examples:
    """Several sets of images as one."""
    return Examples(
        images=torch.cat([p.images for p in parts]),
        orca=torch.cat([p.orca for p in parts]),
        calls=[name for p in parts for name in p.calls],
        boats=[name for p in parts for name in p.boats],
        sir_db=torch.cat([p.sir_db for p in parts]),
    )


def draw(sources: Sources, count: int, *, orca_share: float = 0.5, seed: int) -> Examples:
    """Mix `count` images, a share `orca_share` of them with a call at SIR -10...10 dB. The same seed draws the same."""
    rng = np.random.default_rng([seed, 41])
    calls = round(count * orca_share)
    with_call = rng.permutation(np.arange(count) < calls)
    images, sir_db, call_names, boat_names = [], [], [], []
    for k in range(count):
        boat = sources.boats[int(rng.integers(len(sources.boats)))]
        call = sources.calls[int(rng.integers(len(sources.calls)))] if with_call[k] else None
        ratio = float(rng.uniform(*SIR_DB)) if call else float("nan")
        images.append(_image(_mixture(rng, boat.spectrum, None if call is None else call.spectrum, ratio)))
        sir_db.append(ratio)
        call_names.append("" if call is None else call.name)
        boat_names.append(boat.name)
    return Examples(
        images=torch.stack(images),
        orca=torch.from_numpy(with_call),
        calls=call_names,
        boats=boat_names,
        sir_db=torch.tensor(sir_db),
    )


def _mixture(rng: np.random.Generator, boat: Tensor, call: Tensor | None, sir_db: float) -> Tensor:
    begin = int(rng.integers(0, boat.shape[-1] - FRAMES + 1))
    window = boat[:, begin : begin + FRAMES].clone()
    if call is None:
        return window
    length = min(call.shape[-1], FRAMES)
    at, start = (int(rng.integers(0, n + 1)) for n in (FRAMES - length, call.shape[-1] - length))
    piece = call[:, start : start + length]
    under = window[:, at : at + length]
    heard = sounds.sounding(piece)
    call_power = sounds.band_power(piece[:, heard]).clamp(min=spectrogram.FLOOR)
    gain = 10 ** (sir_db / 10) * sounds.band_power(under[:, heard]) / call_power
    under += gain.sqrt() * piece
    return window


def _call(samples: np.ndarray, clean: bool = True) -> Tensor:
    """The spectrum of a call, without silent frames at its begin and end."""
    spectrum = sounds.mono_spectrum(samples)
    spectrum = sounds.clean_call(spectrum) if clean else spectrum
    heard = torch.nonzero(sounds.sounding(spectrum))[:, 0]
    return spectrum[:, int(heard[0]) : int(heard[-1]) + 1] if len(heard) else spectrum


def _image(spectrum: Tensor) -> Tensor:
    planes = planes_of(spectrum[None])[KEPT]
    return torch.nn.functional.avg_pool2d(planes, COARSER)


IMAGE = (spectrogram.NUM_BINS // COARSER[0], FRAMES // POOL_FRAMES // COARSER[1])


def _vessels() -> dict[str, str]:
    """Name of the vessel for the file name of each recording of a ship, read from the notes of the manifest."""
    with (clips.data_folder() / "manifest.csv").open(newline="") as rows:
        notes = {row["path"]: row["note"] for row in csv.DictReader(rows) if row["kind"] == "boats"}
    found = {path.rsplit("/", 1)[-1]: re.match(r"meta: *\d+,\d+,([^,]+),", note) for path, note in notes.items()}
    return {path: match[1].strip() for path, match in found.items() if match}
