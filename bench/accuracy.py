"""Accuracy of all methods in all cells. All methods get the same recordings."""

from __future__ import annotations

import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile
import torch

from bench import peers
from bench.scenes import SECONDS, Cell, make_array, recording_of
from whalefinder.array.geometry import Floats, HydrophoneArray, direction, great_circle_rad
from whalefinder.array.limit import median_error_deg
from whalefinder.bearings.bound import cramer_rao
from whalefinder.bearings.event_bearing import MARGIN_FRAMES, find_bearing
from whalefinder.bearings.regression import Regression, load_regressor
from whalefinder.calls.events import Event
from whalefinder.calls.masks import CALL, Masks, masks_of
from whalefinder.evaluation.metrics import Interval, bootstrap, match
from whalefinder.networks.weights import load_network
from whalefinder.pipeline import Locator
from whalefinder.results.records import Detection
from whalefinder.sea.scene import Faults, SimulatedRecording
from whalefinder.sound import covariance, spectrogram
from whalefinder.sound.recording import open_recording

BEYOND_DEG = 10.0
SLOW_PEERS_EVERY = 2  # pyroomacoustics takes longer than all others, so it gets only every second recording


@dataclass
class Trial:
    """The results of one recording.

    Args:
        clip: name of the clip of the call.
        errors: error in degrees by method; 180 if the call was missed.
        extra: detections that are not the call.
        bound_deg: median error at the Cramér-Rao bound.
        sd_deg: stated standard deviation of our bearing.
    """

    clip: str
    errors: dict[str, float]
    extra: int
    bound_deg: float
    sd_deg: float = np.nan


def run_trial(cell: Cell, split: str, number: int, with_peers: bool, weights: Path | None = None) -> Trial:
    """Simulate one recording, and find the direction of its call by all methods."""
    torch.set_num_threads(1)
    scene, clip, sea = recording_of(cell, split, number)
    truth, array = sea.truth[0], scene.array
    true_u = direction(np.radians(truth.azimuth_deg), np.radians(truth.elevation_deg))
    network = load_network(weights)

    def error(u: Floats | None) -> float:
        return 180.0 if u is None else float(np.degrees(great_circle_rad(true_u, u)))

    errors: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scene.wav"
        soundfile.write(path, (sea.samples / np.abs(sea.samples).max() / 2).T, spectrogram.RATE_HZ, subtype="FLOAT")
        recording = open_recording(path, array)
        calls = [d for stretch in Locator(array, network).stream(recording) for d in stretch.detections]
    hit = match(truth, calls)
    ours = None
    if hit is not None and hit.bearing is not None and hit.bearing.elevation_deg is not None:
        ours = direction(np.radians(hit.bearing.azimuth_deg), np.radians(hit.bearing.elevation_deg))
    errors["ours"] = error(ours)
    valid = torch.ones(spectrogram.NUM_BINS, dtype=torch.bool)
    masks = masks_of(network, torch.from_numpy(sea.samples).float(), valid)
    regression = regression_for(array)
    if regression is not None:
        errors["regressor"] = error(None if hit is None else _regressed(hit, masks, regression))
    spectra, share, noise = _truth_of(sea)
    begin = max(0, int(truth.begin_s / spectrogram.FRAME_S))
    end = min(spectra.shape[-1], int(truth.end_s / spectrogram.FRAME_S) + 2)
    event = Event(begin=begin, end=end, low_hz=0.0, high_hz=0.0, evidence={})
    look = find_bearing(Masks(spectra=spectra, shares=share[None].repeat(3, 1, 1), valid=valid), event, array, None)
    errors["true masks"] = error(None if look is None else look.fix.u)
    if with_peers:
        errors |= {name: error(u) for name, u in _peers(spectra, sea, masks, begin, end, array).items()}
        if number % SLOW_PEERS_EVERY == 0:
            window = spectra[..., begin:end]
            errors["SRP-PHAT"] = error(peers.pyroomacoustics_direction("SRP", window, array))
            errors["NormMUSIC"] = error(peers.pyroomacoustics_direction("NormMUSIC", window, array))
    bound = _bound(sea, noise, begin, end, _stated(array, cell.faults), true_u)
    trial = Trial(clip, errors, len(calls) - (hit is not None), bound)
    if hit is not None and hit.bearing is not None and hit.bearing.elevation_sd_deg is not None:
        level = hit.bearing.azimuth_sd_deg * np.cos(np.radians(hit.bearing.elevation_deg or 0.0))
        trial.sd_deg = float(np.sqrt((level**2 + hit.bearing.elevation_sd_deg**2) / 2))
    return trial


def _truth_of(sea: SimulatedRecording) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    spectra, call, boats, ambient = (
        spectrogram.stft(torch.from_numpy(x).float()) for x in (sea.samples, sea.calls, sea.boats, sea.ambient)
    )
    powers = [spectrogram.power(x).mean(0) for x in (call, boats, ambient)]
    return spectra, powers[0] / sum(powers).clamp(min=1e-30), boats + ambient  # type: ignore[attr-defined]


def regression_for(array: HydrophoneArray) -> Regression | None:
    """The shipped regressor, also for other arrays with the same number of hydrophones, which `locate` refuses."""
    own = load_regressor(make_array("tetrahedron", 1.5))
    return replace(own, array=array) if array.num_channels == own.array.num_channels else None


def _regressed(hit: Detection, masks: Masks, regression: Regression) -> Floats | None:
    """The direction by the regressor of a call that we found."""
    begin, end = (round(seconds / spectrogram.FRAME_S + 0.5) for seconds in (hit.begin_s, hit.end_s))
    span = (..., slice(max(0, begin - MARGIN_FRAMES), end + MARGIN_FRAMES))
    fix = regression.find_direction(masks.spectra[span], masks.shares[CALL][span])
    return None if fix is None else fix.u


def _peers(spectra, sea, masks, begin, end, array) -> dict[str, Floats]:
    window = spectra[..., begin:end]
    everything = torch.ones(window.shape[1:])
    mask = (masks.shares[CALL, :, begin:end] > 0.5).float()
    band = _band(sea, begin, end)[:, None].expand_as(everything)
    return {
        "GCC-PHAT": peers.gcc_phat(window, everything, array),
        "call-free ML": peers.call_free_likelihood(spectra, begin, end, array),
        "SRP, our mask": peers.srp_phat(window, mask, array),
        "GCC, our mask": peers.gcc_phat(window, mask, array),
        "SRP, true band": peers.srp_phat(window, band, array),
        "GCC, true band": peers.gcc_phat(window, band, array),
    }


def _band(sea: SimulatedRecording, begin: int, end: int) -> torch.Tensor:
    """Frequencies between the 2 % and 98 % points of the energy of the true call, as a contour detector would give."""
    call = spectrogram.stft(torch.from_numpy(sea.calls).float())[..., begin:end]
    growth = spectrogram.power(call).sum((0, 2)).cumsum(0)
    low, high = torch.searchsorted(growth, growth[-1] * torch.tensor([0.02, 0.98]))
    index = torch.arange(spectrogram.NUM_BINS)
    return ((index >= low) & (index <= high)).float()


def _stated(array: HydrophoneArray, faults: Faults) -> HydrophoneArray:
    """The array as a file describes it that states the faults: for the bound alone, methods are not told."""
    return replace(
        array,
        position_error_m=faults.position_m,
        timing_error_s=faults.timing_s,
        sound_speed_error_m_s=faults.sound_speed_m_s,
    )


def _bound(sea, noise, begin, end, array, true_u) -> float:
    """Median great-circle error in degrees at the Cramér-Rao bound, with the true covariance of the noise.

    Errors that the array states are nuisances with their priors (`array.cramer_rao`).
    """
    first = begin // spectrogram.CELL_FRAMES
    q = covariance.noise_covariance(noise, None, covariance.SHORT_CELLS)[
        ..., first : -(-end // spectrogram.CELL_FRAMES)
    ]
    call = spectrogram.stft(torch.from_numpy(sea.calls).float())
    power = spectrogram.power(call).mean(0)[:, first * spectrogram.CELL_FRAMES : end]
    return median_error_deg(cramer_rao(power, q, array, true_u))


def run_cell(
    cell: Cell, split: str, trials: int, *, with_peers: bool = True, weights: Path | None = None, workers: int = 2
) -> list[Trial]:
    """Run `trials` recordings of a cell, in `workers` processes."""
    with ProcessPoolExecutor(workers) as pool:
        jobs = [pool.submit(run_trial, cell, split, k, with_peers, weights) for k in range(trials)]
        return [job.result() for job in jobs]


@dataclass(frozen=True)
class Row:
    """Median error and share beyond 10°, with 95 % intervals from a bootstrap over source clips."""

    median: Interval
    beyond: Interval


def summarise(trials: list[Trial], method: str, seed: int = 0) -> Row:
    """Median and share beyond 10° of one method, with a bootstrap over clips.

    It does not draw single mixtures, since twenty mixtures of one clip are not twenty independent calls.
    """
    heard = [trial for trial in trials if method in trial.errors]
    errors, clips = np.array([trial.errors[method] for trial in heard]), [trial.clip for trial in heard]
    median = bootstrap(lambda index: float(np.median(errors[index])), clips, seed=seed)
    beyond = bootstrap(lambda index: float(np.mean(errors[index] > BEYOND_DEG)), clips, seed=seed)
    return Row(median, beyond)


def bound_of(trials: list[Trial]) -> float:
    """Median of the bound over trials, degrees."""
    return sorted(trial.bound_deg for trial in trials)[len(trials) // 2]


def over_bound(trials: list[Trial], method: str = "ours") -> float:
    """Median error over the median of the bound."""
    return summarise(trials, method).median.value / bound_of(trials)


def extra_per_minute(trials: list[Trial]) -> float:
    """Detections that are not the call, per minute of recording."""
    return sum(trial.extra for trial in trials) / (len(trials) * SECONDS / 60)


METHODS = (
    "ours",
    "regressor",
    "SRP-PHAT",
    "NormMUSIC",
    "GCC-PHAT",
    "call-free ML",
    "SRP, our mask",
    "GCC, our mask",
    "SRP, true band",
    "GCC, true band",
    "true masks",
)
