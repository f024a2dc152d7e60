"""Where to put hydrophones in a frame, so that the error to expect is smallest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import differential_evolution, minimize

from whalefinder.array.geometry import COINCIDENT_M, Floats, HydrophoneArray, distances_m
from whalefinder.array.physics import check
from whalefinder.errors import ArrayError, OptionError
from whalefinder.planning.conditions import Conditions
from whalefinder.planning.outliers import outliers, sphere_of
from whalefinder.planning.predict import LARGEST_RAD, near_covariance, variance_of
from whalefinder.planning.separation import Separation
from whalefinder.planning.sky import all_round

DIRECTIONS_STEP_RAD = 0.55
POPULATION = 6
"""Candidates per unknown."""
TOLERANCE = 1e-3
WALL = 0.01
"""Places so near to a wall of the frame, in its extents, are tried on the wall too."""
HOPELESS = 1.2
"""A candidate is not looked at further if its error without lobes is this many times that of the best with lobes."""
MARGIN = 1.0005
"""The search keeps this much more than the smallest distance, since positions are rounded in the end."""
DENSEST = {2: np.pi / np.sqrt(12), 3: np.pi / np.sqrt(18)}
"""Share of the plane, or of space, that equal discs or balls can fill."""
LOOKS = 80
"""Arrays that Powell's method looks at, per unknown."""
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
        self._check_spacing()

    def _check_spacing(self) -> None:
        diagonal = float(np.linalg.norm(self.size_m))
        if not COINCIDENT_M <= self.spacing_m <= diagonal:
            raise OptionError(
                f"`spacing` {self.spacing_m:g} m must be {COINCIDENT_M:g} m or more, and not above the diagonal of the "
                f"frame, which is {diagonal:.3g} m; give a smaller `spacing` or a larger `frame`"
            )
        # Balls round the hydrophones lie in the frame grown by half a ball on each side, and fill a share of it at most.
        axes = [extent for extent in self.size_m if extent > 0]
        ball = np.pi / 4 * self.spacing_m**2 if len(axes) == 2 else np.pi / 6 * self.spacing_m**3
        if self.number * ball > DENSEST[len(axes)] * np.prod([extent + self.spacing_m for extent in axes]):
            raise OptionError(
                f"`phones` {self.number} do not fit into the frame {self.spacing_m:g} m apart; give fewer, a smaller "
                "`spacing` or a larger `frame`"
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
    """Place hydrophones by differential evolution (Storn and Price 1997); the best is polished by Powell's method.

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
        ArrayError: so many hydrophones do not fit into the frame at their smallest distance, or the frame cannot be
            where it is.
        OptionError: no direction is left.
    """
    search = _Search(frame, like, conditions)
    done = 0

    def after(best: Floats, convergence: float) -> None:
        nonlocal done
        done += 1
        report(done, f"r.m.s. error {np.degrees(search.best):.3g}°")

    box = [(0.0, 1.0)] * (frame.number * len(search.free))
    found = differential_evolution(
        search.cost, box, popsize=POPULATION, maxiter=generations, init="latinhypercube", seed=seed, callback=after, polish=False,
        tol=TOLERANCE,
    )  # fmt: skip
    report(generations, "polishing")
    polished = minimize(
        search.cost,
        found.x,
        method="Powell",
        bounds=box,
        options={"xtol": 1e-3, "ftol": TOLERANCE, "maxfev": LOOKS * len(box)},
    )
    # Powell's line searches end just before a wall, where hydrophones often belong.
    at_wall = np.where(np.abs(polished.x - 0.5) > 0.5 - WALL, np.round(polished.x), polished.x)
    best = min((found.x, polished.x, at_wall), key=search.cost)
    placed = np.round(search.positions(best), DIGITS) + 0.0  # no -0.0 in the file
    nearest = _nearest_m(placed)
    if nearest < frame.spacing_m * (1 - 1e-9):
        raise ArrayError(
            f"{frame.number} hydrophones do not fit into the frame: the best search left two {nearest:.3g} m apart, with "
            f"`spacing` {frame.spacing_m:g} m; give fewer, a smaller `spacing` or a larger `frame`"
        )
    return check(_array_at(like, _in_order(placed)))


def read_frame(text: str) -> tuple[float, float, float]:
    """The extent of a frame from a text such as `0.6,0.6,0.4`: metres east, north and up.

    Raises:
        OptionError: the text is no extent.
    """
    try:
        east, north, up = (float(part) for part in text.split(","))
    except ValueError as reason:
        raise OptionError(
            f"`frame` {text!r} is no extent; give three numbers, metres east, north and up: 0.6,0.6,0.4"
        ) from reason
    return east, north, up


class _Search:
    """The cost of places: unknowns from 0 to 1, one for each hydrophone and axis along which the frame extends."""

    def __init__(self, frame: Frame, like: HydrophoneArray, conditions: Conditions) -> None:
        self.frame, self.like, self.conditions = frame, like, conditions
        self.u = all_round(like, frame.lowest_deg, DIRECTIONS_STEP_RAD)
        if not len(self.u):
            raise OptionError(
                f"`lowest` {frame.lowest_deg:g}° leaves no direction below the highest elevation of the array, "
                f"{np.degrees(like.max_elevation_rad()):.3g}°; give a lower one"
            )
        self.extent = np.array(frame.size_m)
        self.free = np.flatnonzero(self.extent)
        self.best = np.inf
        if like.depth_m is not None and self.extent[2] / 2 > like.depth_m:
            raise OptionError(
                f"`frame` is {self.extent[2]:g} m high, so it rises above the water from its middle at `depth` "
                f"{like.depth_m:g} m; give a lower frame, or {self.extent[2] / 2:g} m or more"
            )
        # One grid for all candidates: that of the widest array that the frame can hold.
        widest = check(_array_at(like, np.stack([-self.extent / 2, self.extent / 2, np.zeros(3)])))
        self.sphere = None if widest.is_wide else sphere_of(widest, conditions, rough=True)

    def positions(self, unknowns: Floats) -> Floats:
        """Places `[channel, 3]` in metres."""
        placed = np.zeros((self.frame.number, 3))
        placed[:, self.free] = (unknowns.reshape(self.frame.number, -1) - 0.5) * self.extent[self.free]
        return placed

    def cost(self, unknowns: Floats) -> float:
        """Root-mean-square error in radians; more where hydrophones are too close."""
        positions = self.positions(unknowns)
        lacking = 1.0 - _nearest_m(positions) / (MARGIN * self.frame.spacing_m)
        if lacking > 0:
            return LARGEST_RAD * (1 + float(lacking))  # worse than any array that keeps the distance
        array = _array_at(self.like, positions)
        if array.shape == "line":
            return LARGEST_RAD
        separation = Separation(array, self.conditions)
        variance = variance_of(near_covariance(separation, self.u))
        cost = float(np.sqrt(variance.mean()))
        # Without lobes the error is smaller. Where it is bad already, the lobes do not matter.
        if self.sphere is not None and cost < HOPELESS * self.best:
            lobe, _, square = outliers(separation, self.u, self.sphere)
            cost = float(np.sqrt(((1 - lobe) * variance + square).mean()))
            self.best = min(self.best, cost)
        return cost


def _nearest_m(positions: Floats) -> float:
    return float(distances_m(positions)[np.triu_indices(len(positions), 1)].min())


def _array_at(like: HydrophoneArray, positions: Floats) -> HydrophoneArray:
    return replace(
        like,
        positions_m=positions,
        channels=(),
        unused_channels=(),
        sensitivity_db=None,
        full_scale_v=None,
        lead_s=None,
    )


def _in_order(positions: Floats) -> Floats:
    """From the top down, each layer clockwise from north, so that the file is easy to follow at the frame."""
    layer = np.round(-positions[:, 2], 2)
    azimuth = np.arctan2(positions[:, 0], positions[:, 1]) % (2 * np.pi)
    return positions[np.lexsort((azimuth, layer))]
