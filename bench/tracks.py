"""`python -m bench --parts tracks`: methods that follow the direction of a whale, on simulated swims and a real whale.

Seeds start at 10^9; training and tuning use small seeds. Every method gets the same fixes.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rayleigh

from bench import grid_bayes, imm, rivals
from whalefinder.array.geometry import Floats, azimuth_from_anticlockwise_east, direction, great_circle_rad, tangents
from whalefinder.networks.tracker import Tracker
from whalefinder.networks.weights import load_tracker
from whalefinder.tracks import follow as tracking
from whalefinder.tracks.association import animals
from whalefinder.tracks.find import MAX_SILENCE_S
from whalefinder.tracks.fixes import Fixes, Steps, merge
from whalefinder.tracks.live import animals_so_far
from whalefinder.training.clips import data_folder
from whalefinder.training.swims import SCENARIOS, Swim, draw_crossing, draw_swim

SEED = 1_000_000_000
CROSSING_SEED = 2_000_000_000
WHALEDO_SEED = 3_000_000_000
LOST_DEG = 10.0

Method = Callable[[Steps], Floats]
Methods = dict[str, tuple[Method, Method | None]]
Association = Callable[[Fixes], NDArray[np.intp]]


def deep_grid(steps: Steps, smoother: bool) -> Floats:
    """The Bayes filter on a grid for an array on the sea floor, where animals are above the array."""
    settings = grid_bayes.GRID_SMOOTHER if smoother else grid_bayes.GRID_CAUSAL
    return grid_bayes.grid_bayes(steps, replace(settings, ceiling_rad=np.pi / 2), smoother)


def _reference(steps: Steps, causal: bool) -> Floats:
    """Our hypotheses and Kalman filter without a network. For archives this is the shipped method."""
    return tracking.reference(steps, causal=causal).u


def _network(steps: Steps, name: str | None, sea_floor: bool = False) -> Floats:
    return tracking.follow(steps, _tracker(name), sea_floor=sea_floor).u


@lru_cache
def _tracker(name: str | None = None) -> Tracker:
    """The shipped tracker, or one that was trained for comparison (`train tracker --cell elman`, `--smoother`)."""
    return load_tracker(Path(__file__).with_name("weights") / f"{name}.safetensors" if name else None)


METHODS: Methods = {
    "raw fixes": (rivals.raw, rivals.raw_smoother),
    "Kalman, gated": (rivals.kalman_causal, rivals.kalman_smoother),
    "IMM": (imm.imm, lambda steps: imm.imm(steps, smoother=True)),
    "grid Bayes": (grid_bayes.grid_bayes, lambda steps: grid_bayes.grid_bayes(steps, smoother=True)),
    "ours, no network": (partial(_reference, causal=True), partial(_reference, causal=False)),
    "ours, Elman cell": (partial(_network, name="elman"), None),
    "ours, LSTM": (partial(_network, name=None), partial(_network, name="lstm_smoother")),
}
"""Name → (causal method, smoother or None). The shipped methods are the causal LSTM, and for archives no network."""

WHALEDO_METHODS: Methods = {
    **METHODS,
    "grid Bayes": (partial(deep_grid, smoother=False), partial(deep_grid, smoother=True)),
    "ours, Elman cell": (partial(_network, name="elman", sea_floor=True), None),
    "ours, LSTM": (
        partial(_network, name=None, sea_floor=True),
        partial(_network, name="lstm_smoother", sea_floor=True),
    ),
}
"""The same methods for arrays on the sea floor."""


def as_heard(fixes: Fixes) -> NDArray[np.intp]:
    """Animals as `locate --causal` assigns them: number of the animal for each fix, `[fix]`; -1 for none."""
    label = np.full(len(fixes), -1, dtype=np.intp)
    for number, animal in enumerate(animals_so_far(fixes, MAX_SILENCE_S)):
        label[animal.fixes] = number
    return label


ASSOCIATIONS: dict[str, Association] = {
    "nearest neighbour": rivals.nearest_neighbour,
    "ours": animals,
    "ours, causal": as_heard,
}


# --- errors -----------------------------------------------------------------------------------------------------------


def steps_and_truth(swims: list[Swim]) -> tuple[Steps, Floats]:
    """Steps of swims of one animal each, and the true directions `[batch, step, 3]` (zero if none is wanted)."""
    steps = merge([swim.fixes for swim in swims], [swim.grid_s for swim in swims])
    truth = np.zeros_like(steps.u)
    for row, swim in enumerate(swims):
        truth[row, steps.asked[row]] = swim.truth[0]
    return steps, truth


def rms_deg(u: Floats, steps: Steps, truth: Floats) -> Floats:
    """R.m.s. great-circle error over the wanted times. `[batch, step, 3]` → `[batch]` degrees."""
    squared = np.where(steps.asked, great_circle_rad(u, truth) ** 2, 0.0)
    return np.degrees(np.sqrt(squared.sum(axis=1) / steps.asked.sum(axis=1)))


def interval_of_median(errors: Floats, draws: int = 1000) -> tuple[float, float]:
    """95 % bootstrap interval of the median over swims."""
    picked = np.random.default_rng(0).choice(errors, (draws, len(errors)))
    low, high = np.quantile(np.median(picked, axis=1), [0.025, 0.975])
    return float(low), float(high)


# --- simulated swims --------------------------------------------------------------------------------------------------


def scenario_errors(swims: int, which: int, methods: Methods) -> dict[str, dict[str, Floats]]:
    """R.m.s. errors of every swim in degrees, by scenario and method; `which` is 0 for causal methods, else 1."""
    errors: dict[str, dict[str, Floats]] = {}
    for number, (name, plan) in enumerate(SCENARIOS.items()):
        seeds = (SEED + 1_000_000 * number + k for k in range(swims))
        steps, truth = steps_and_truth([draw_swim(np.random.default_rng(seed), plan) for seed in seeds])
        chosen = {method: pair[which] for method, pair in methods.items()}
        errors[name] = {method: rms_deg(f(steps), steps, truth) for method, f in chosen.items() if f is not None}
    return errors


def table(swims: int, methods: Methods | None = None) -> str:
    """The tables of causal methods, smoothers, stated errors and crossings as Markdown."""
    methods = methods or METHODS
    blocks = [
        f"## Tracks\n\nEvery scenario has {swims} simulated swims, the same for every method. The settings of the other methods were "
        "tuned on training swims. An entry is the median over swims of the r.m.s. great-circle error, taken every second. In "
        f"brackets is the share of swims with an error above {LOST_DEG:g}°. The best two have 95 % bootstrap intervals over swims. "
        "Raw fixes are the bearings without a filter; IMM is an interacting-multiple-model filter."
    ]
    for which, title in enumerate(("Causal", "Smoother")):
        blocks.append(f"### {title}\n\n{_errors_table(scenario_errors(swims, which, methods))}")
    return "\n\n".join([*blocks, coverage_table(swims), crossing_table(swims)])


def coverage_table(swims: int) -> str:
    """The table of how many errors the stated regions hold, over all wanted seconds of all swims."""
    lines = [
        "### Stated uncertainty of the shipped trackers",
        "",
        "| scenario | "
        + " | ".join(f"{kind}, {p} % region" for kind in ("causal", "smoother") for p in (50, 90))
        + " |",
        "|" + " --- |" * 5,
    ]
    held: dict[str, list[Floats]] = {}
    for name, plan in SCENARIOS.items():
        steps, truth = steps_and_truth([draw_swim(np.random.default_rng(SEED + k), plan) for k in range(swims)])
        for causal in (True, False):
            held.setdefault(name, []).append(_in_sds(steps, truth, causal))
    held["all"] = [np.concatenate(parts) for parts in zip(*held.values(), strict=True)]
    for name, kinds in held.items():
        # With a normal distribution of two dimensions, the distance has Rayleigh's distribution.
        shares = [np.mean(sds < rayleigh.ppf(p)) for sds in kinds for p in (0.5, 0.9)]
        lines.append(f"| {name} | " + " | ".join(f"{100 * share:.0f} %" for share in shares) + " |")
    return "\n".join(lines)


def _in_sds(steps: Steps, truth: Floats, causal: bool) -> Floats:
    """Errors at the wanted seconds, in stated standard deviations, `[second]`."""
    followed = tracking.follow(steps, _tracker()) if causal else tracking.look_back(steps)
    error = np.stack([(truth * axis).sum(-1) for axis in tangents(followed.u)], axis=-1) / followed.sd_rad
    return np.asarray(np.linalg.norm(error, axis=-1)[steps.asked])


def _errors_table(errors: dict[str, dict[str, Floats]]) -> str:
    methods = list(next(iter(errors.values())))
    lines = ["| scenario | " + " | ".join(methods) + " |", "|" + " --- |" * (len(methods) + 1)]
    for name, row in errors.items():
        best = sorted(methods, key=lambda method: float(np.median(row[method])))[:2]
        entries = [_entry(row[method], method in best) for method in methods]
        lines.append(f"| {name} | " + " | ".join(entries) + " |")
    return "\n".join(lines)


def _entry(errors: Floats, with_interval: bool) -> str:
    text = f"{np.median(errors):.2f}° ({100 * (errors > LOST_DEG).mean():.0f} %)"
    return text + ("<br>{:.2f}–{:.2f}°".format(*interval_of_median(errors)) if with_interval else "")


# --- which animal is it ----------------------------------------------------------------------------------------------


def identity_switches(labels: NDArray[np.intp], source: NDArray[np.intp]) -> int:
    """How often the label changes along the fixes of each true animal. Fixes without a label (-1) are left out.

    >>> identity_switches(np.array([0, 1, 0, -1, 2]), np.array([0, 1, 0, 0, 0]))
    1
    """
    switches = 0
    for animal in np.unique(source[source >= 0]):
        own = labels[(source == animal) & (labels >= 0)]
        switches += int((np.diff(own) != 0).sum())
    return switches


def crossing_table(swims: int, associations: dict[str, Association] | None = None) -> str:
    """The table of two animals whose bearings cross: switches of identity, share of their fixes that are in a track.

    One track for all fixes would never switch, but its purity ("kept apart") would be low.
    """
    lines = [
        "### Two whales crossing",
        "",
        "| association | identity switches per swim | fixes of the animals kept | kept apart | tracks per swim |",
        "|" + " --- |" * 5,
    ]
    crossings = [draw_crossing(np.random.default_rng(CROSSING_SEED + k)) for k in range(swims)]
    for name, associate in (associations or ASSOCIATIONS).items():
        labels = [associate(swim.fixes) for swim in crossings]
        switches = np.array([identity_switches(k, s.source) for k, s in zip(labels, crossings, strict=True)])
        own = [k[s.source >= 0] for k, s in zip(labels, crossings, strict=True)]
        kept = np.mean(np.concatenate(own) >= 0)
        apart = np.mean([purity(k, s.source[s.source >= 0]) for k, s in zip(own, crossings, strict=True)])
        # A track needs three fixes or more, so a single false fix does not count as one.
        tracks = np.mean([(np.bincount(k[k >= 0]) >= 3).sum() for k in labels])
        lines.append(f"| {name} | {switches.mean():.2f} | {100 * kept:.0f} % | {100 * apart:.0f} % | {tracks:.1f} |")
    return "\n".join(lines)


# --- a real beaked whale ----------------------------------------------------------------------------------------------

DELAY_STEP_S = 10e-6
EDGE_M = 1.0
DEEP_SOUND_SPEED_M_S = 1490.0
WHALEDO_SD_RAD = DEEP_SOUND_SPEED_M_S * DELAY_STEP_S / np.sqrt(12) / (np.sqrt(2) * EDGE_M)
"""Error of a fix from delays rounded to 10 µs: 3.0 mrad, 0.17°.

Rounding to steps of s has variance s²/12. The baselines H of the six pairs of a tetrahedron with edges a give
HᵀH = 2a² I. So u = c H⁺ τ has the error c s / √12 / (√2 a) along each axis.
"""
GAP_S, GAP_EVERY_S = 60.0, 180.0


def whaledo(folder: Path, methods: Methods | None = None) -> str:
    """The table of a beaked whale: directions of one array, compared with the position by two arrays together."""
    lines = [
        "## A real beaked whale",
        "",
        "Track 389: directions of one array, compared with the position that both arrays gave together. An entry is the median / "
        "95 % error.",
        "",
    ]
    methods = methods or WHALEDO_METHODS
    named = [
        (f"{name}, {kind}", f)
        for name, pair in methods.items()
        for kind, f in zip(("causal", "smoother"), pair, strict=True)
    ]
    columns = [name for name, f in named if f is not None]
    lines += ["| array, fixes | " + " | ".join(columns) + " |", "|" + " --- |" * (len(columns) + 1)]
    heard = {array: read_whaledo(folder, array) for array in ("EE", "EW")}
    cases = [(array, name, *case) for array in heard for name, case in whaledo_cases(heard[array][0]).items()]
    steps = merge([given for _, _, given, _ in cases], [heard[array][0].time_s[asked] for array, _, _, asked in cases])
    found = [f(steps) for _, f in named if f is not None]
    for row, (array, name, _, asked) in enumerate(cases):
        truth, at = heard[array][1][asked], steps.asked[row]
        entries = [_quantiles(great_circle_rad(u[row, at], truth)) for u in found]
        lines.append(f"| {array}, {name} | " + " | ".join(entries) + " |")
    return "\n".join([*lines, "", whaledo_animals(folder)])


def _quantiles(error_rad: Floats) -> str:
    median, most = np.degrees(np.quantile(error_rad, [0.5, 0.95]))
    return f"{median:.2f} / {most:.2f}°"


def read_whaledo(folder: Path, array: str) -> tuple[Fixes, Floats]:
    """Read the fixes of one array, and the directions to the stored positions `[fix, 3]`."""
    with (folder / "track389_localizations.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    columns = ["t_days"] + [
        f"{array}_{kind}_{angle}_deg" for kind in ("doa", "pos") for angle in ("azimuth", "elevation")
    ]
    values = np.array([[float(row[column] or "nan") for column in columns] for row in rows])
    values = values[np.isfinite(values).all(axis=1)]
    values = values[np.argsort(values[:, 0], kind="stable")]
    heard, found = (_theirs(values[:, k], values[:, k + 1]) for k in (1, 3))
    return _plain_fixes(86_400 * (values[:, 0] - values[0, 0]), heard), found


def _theirs(azimuth_deg: Floats, elevation_deg: Floats) -> Floats:
    """Unit vectors from angles of the data set, whose azimuth is anticlockwise from east."""
    return direction(azimuth_from_anticlockwise_east(np.radians(azimuth_deg)), np.radians(elevation_deg))


def _plain_fixes(time_s: Floats, u: Floats) -> Fixes:
    """Fixes of clicks of beaked whales, with the error of rounding, and the same SNR and band for all."""
    same = np.ones(len(time_s))
    return Fixes(
        time_s=time_s,
        u=u,
        sd_rad=np.full((len(u), 2), WHALEDO_SD_RAD),
        snr_db=10 * same,
        low_hz=20_000 * same,
        high_hz=60_000 * same,
    )


def whaledo_cases(fixes: Fixes) -> dict[str, tuple[Fixes, NDArray[np.intp]]]:
    """Cases by name: the fixes that are given, and the rows whose times are wanted."""
    rng = np.random.default_rng(WHALEDO_SEED)
    every = np.arange(len(fixes))
    wrong = rng.random(len(fixes)) < 0.2
    anywhere = direction(rng.uniform(0, 2 * np.pi, len(fixes)), np.arcsin(rng.uniform(-1, 1, len(fixes))))
    withheld = (fixes.time_s - fixes.time_s[0]) % GAP_EVERY_S > GAP_EVERY_S - GAP_S
    # After the last fix that is given there is no gap: the track ends there.
    withheld &= fixes.time_s < fixes.time_s[~withheld][-1]
    return {
        "as they are": (fixes, every),
        "every 10th": (fixes.of(every % 10 == 0), every),
        "20 % outliers": (replace(fixes, u=np.where(wrong[:, None], anywhere, fixes.u)), every),
        "60-s gaps": (fixes.of(~withheld), np.flatnonzero(withheld)),
    }


def whaledo_animals(folder: Path, associations: dict[str, Association] | None = None) -> str:
    """The table of array EW, which heard two animals at once: how well the methods separate the labelled animals."""
    with (folder / "track389_cleaned_EW.csv").open(newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: float(row["TDet"]))
    values = np.array([[float(row[c]) for c in ("TDet", "azimuth_deg", "elevation_deg", "Label")] for row in rows])
    values = values[np.isfinite(values).all(axis=1)]
    _, source = np.unique(values[:, 3], return_inverse=True)
    fixes = _plain_fixes(86_400 * (values[:, 0] - values[0, 0]), _theirs(values[:, 1], values[:, 2]))
    lines = [
        "| association, array EW | labelled fixes | animals | tracks | identity switches | kept apart |",
        "|" + " --- |" * 6,
    ]
    for name, associate in (associations or ASSOCIATIONS).items():
        labels = associate(fixes)
        lines.append(
            f"| {name} | {len(fixes)} | {source.max() + 1} | {len(np.unique(labels[labels >= 0]))} | "
            f"{identity_switches(labels, source)} | {100 * purity(labels, source):.0f} % |"
        )
    return "\n".join(lines)


def purity(labels: NDArray[np.intp], source: NDArray[np.intp]) -> float:
    """Share of fixes that belong to the main animal of their track."""
    pure = sum(
        np.bincount(source[(labels == k) & (source >= 0)]).max(initial=0) for k in np.unique(labels[labels >= 0])
    )
    return float(pure / len(labels))


# --- command line -----------------------------------------------------------------------------------------------------


def real_table() -> str:
    """The table of the beaked whale, if the data folder exists."""
    folder = data_folder() / "arrays" / "whaledo_tetra_hydrophones"
    return whaledo(folder) if folder.is_dir() else "## A real beaked whale\n\nNo data folder."
