"""Where to put hydrophones in a frame, so that the error to expect is smallest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import differential_evolution

from whalefinder.array.geometry import COINCIDENT_M, Floats, HydrophoneArray, distances_m, equal_area_grid
from whalefinder.array.physics import check
from whalefinder.errors import ArrayError, OptionError
from whalefinder.planning.conditions import Conditions
from whalefinder.planning.outliers import Sphere, sphere_of
from whalefinder.planning.predict import LARGEST_RAD, predict

DIRECTIONS_STEP_RAD = 0.55
STEPS_PER_LOBE = 3
"""The search looks at lobes through a coarser grid than a prediction."""
POPULATION = 6
"""Candidates per unknown."""
CROWDED = 10.0
"""An error grows by this factor times the share that is lacking in the smallest distance."""
MARGIN = 1.0005
"""The search keeps this much more than the smallest distance, since positions are rounded in the end."""
DIGITS = 4
"""Positions are given to 0.1 mm."""


@dataclass(frozen=True, kw_only=True)
class Frame:
    """A box, centred on the origin of the array, with hydrophones in it.

    Args:
        size_m: extent east, north and up, in metres; 0 where the frame is flat.
        number: how many hydrophones.
        spacing_m: no two are closer than this.
        lowest_deg: elevation of the lowest direction that matters.
    """

    size_m: tuple[float, float, float]
    number: int
    spacing_m: float = 0.05
    lowest_deg: float = -90.0

    def __post_init__(self) -> None:
        size = ",".join(f"{extent:g}" for extent in self.size_m)
        if not all(0 <= extent < np.inf for extent in self.size_m) or sum(extent > 0 for extent in self.size_m) < 2:
            raise OptionError(
                f"`frame` {size} must be 0 or more, and above 0 along two axes or three; "
                "give the extent east, north and up in metres: 0.6,0.6,0.6"
            )
        diagonal = float(np.linalg.norm(self.size_m))
        if not COINCIDENT_M <= self.spacing_m <= diagonal:
            raise OptionError(
                f"`spacing` {self.spacing_m:g} m must be {COINCIDENT_M:g} m or more, and not above the diagonal of the "
                f"frame, which is {diagonal:.3g} m; give a smaller `spacing` or a larger `frame`"
            )


def place(
    frame: Frame,
    like: HydrophoneArray,
    conditions: Conditions,
    *,
    generations: int = 100,
    seed: int = 0,
    report: Callable[[int, str], None] = lambda done, note: None,
) -> HydrophoneArray:
    """Place hydrophones by differential evolution (Storn and Price 1997), the best of the last generation by gradient.

    What is made small is the root-mean-square great-circle error, lobes included, over all azimuths and the elevations
    from `frame.lowest_deg` to the highest of the array.

    Args:
        frame: the box and the number of hydrophones.
        like: an array whose sound speed, depth and errors the new one has. Its positions do not matter.
        conditions: call, ambient and boats.
        generations: how long to search, at most.
        seed: the same seed gives the same array.
        report: is called with (generations done, a note).

    Raises:
        ArrayError: so many hydrophones do not fit into the frame at their smallest distance.
        OptionError: no direction is left.
    """
    u = equal_area_grid(DIRECTIONS_STEP_RAD, like.max_elevation_rad())
    u = u[u[:, 2] >= np.sin(np.radians(frame.lowest_deg)) - 1e-12]
    if not len(u):
        raise OptionError(
            f"`lowest` {frame.lowest_deg:g}° leaves no direction below the highest elevation of the array, "
            f"{np.degrees(like.max_elevation_rad()):.3g}°; give a lower one"
        )
    extent = np.array(frame.size_m)
    free = np.flatnonzero(extent)
    done = 0

    def positions(unknowns: Floats) -> Floats:
        placed = np.zeros((frame.number, 3))
        placed[:, free] = (unknowns.reshape(frame.number, -1) - 0.5) * extent[free]
        return placed

    # One grid for all candidates: that of the widest array that the frame can hold.
    widest = _array_at(like, np.stack([-extent / 2, extent / 2, np.zeros(3)]))
    sphere = None if widest.is_wide else sphere_of(widest, conditions, STEPS_PER_LOBE)

    def cost(unknowns: Floats) -> float:
        return _cost(positions(unknowns), frame, like, conditions, u, sphere)

    def after(best: Floats, convergence: float) -> None:
        nonlocal done
        done += 1
        report(done, f"error {np.degrees(cost(best)):.3g}°")

    found = differential_evolution(
        cost,
        [(0.0, 1.0)] * (frame.number * len(free)),
        popsize=POPULATION,
        maxiter=generations,
        init="sobol",
        seed=seed,
        callback=after,
        polish=True,
        tol=1e-3,
    )
    placed = np.round(positions(found.x), DIGITS) + 0.0  # no -0.0 in the file
    nearest = _nearest_m(placed)
    if nearest < frame.spacing_m * (1 - 1e-9):
        raise ArrayError(
            f"{frame.number} hydrophones do not fit into the frame: the best search left two {nearest:.3g} m apart, with "
            f"`spacing` {frame.spacing_m:g} m; give fewer, a smaller `spacing` or a larger `frame`"
        )
    return check(_array_at(like, _in_order(placed)))


def _cost(
    positions: Floats, frame: Frame, like: HydrophoneArray, conditions: Conditions, u: Floats, sphere: Sphere | None
) -> float:
    """Root-mean-square error in radians; more where hydrophones are too close."""
    lacking = max(0.0, 1.0 - _nearest_m(positions) / (MARGIN * frame.spacing_m))
    worst = (1 + CROWDED * lacking) * LARGEST_RAD
    if _nearest_m(positions) < COINCIDENT_M:
        return float(worst)
    array = _array_at(like, positions)
    if array.shape == "line":
        return float(worst)
    rms = np.sqrt(np.mean(predict(array, conditions, u, sphere=sphere).rms_rad ** 2))
    return float(rms * (1 + CROWDED * lacking))


def _nearest_m(positions: Floats) -> float:
    return float(distances_m(positions)[np.triu_indices(len(positions), 1)].min())


def _array_at(like: HydrophoneArray, positions: Floats) -> HydrophoneArray:
    return replace(
        like, positions_m=positions, channels=(), unused_channels=(), sensitivity_db=None, full_scale_v=None, lead_s=None
    )


def _in_order(positions: Floats) -> Floats:
    """From the top down, each layer clockwise from north, so that the file is easy to follow at the frame."""
    layer = np.round(-positions[:, 2], 2)
    azimuth = np.arctan2(positions[:, 0], positions[:, 1]) % (2 * np.pi)
    return positions[np.lexsort((azimuth, layer))]
