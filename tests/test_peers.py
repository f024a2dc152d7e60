"""The benchmark's peers are no straw men: in quiet water each finds the direction."""

import numpy as np
import pytest
import torch

from bench import peers
from tests.helpers import array
from tests.test_steering import plane_wave_spectra
from whalefinder.array.geometry import direction, great_circle_rad
from whalefinder.sound import spectrogram


@pytest.mark.parametrize(
    ("name", "within_deg"), [("SRP", 2.0), ("NormMUSIC", 2.0), ("gcc", 0.5), ("srp", 0.5), ("call-free", 0.3)]
)
def test_peers_find_a_plane_wave(name, within_deg):
    hydrophones, u = array(), direction(np.radians(60.0), np.radians(-20.0))
    clean, noise = plane_wave_spectra(hydrophones.positions_m, u, 1490.0, seconds=1.0, snr_db=10.0)
    clean[:, :12_000] = clean[:, -12_000:] = 0.0  # call-free sound before and after
    x = spectrogram.stft(torch.from_numpy(clean + noise).float())
    gate = torch.ones(x.shape[1:])
    gate[:, :24] = gate[:, -24:] = 0.0
    gate[: int(600 / spectrogram.BIN_HZ)] = 0.0
    gate[int(5700 / spectrogram.BIN_HZ) :] = 0.0
    found = {
        "SRP": lambda: peers.pyroomacoustics_direction("SRP", x[..., 26:-26], hydrophones),
        "NormMUSIC": lambda: peers.pyroomacoustics_direction("NormMUSIC", x[..., 26:-26], hydrophones),
        "gcc": lambda: peers.gcc_phat(x, gate, hydrophones),
        "srp": lambda: peers.srp_phat(x, gate, hydrophones),
        "call-free": lambda: peers.call_free_likelihood(x, 24, x.shape[-1] - 24, hydrophones),
    }[name]()
    assert np.degrees(great_circle_rad(found, u)) < within_deg
