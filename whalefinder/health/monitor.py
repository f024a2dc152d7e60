"""The monitor listens to spectra piece by piece, and keeps the little from which the findings are made."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from whalefinder.array.geometry import Floats, HydrophoneArray
from whalefinder.calls.hydrophones import copies
from whalefinder.health.findings import MOST_WINDOWS, Finding, find_all, unusable
from whalefinder.health.windows import FRAMES, Window, clearness, window_of
from whalefinder.sound import spectrogram
from whalefinder.sound.recording import Recording, segments

PIECE_FRAMES = 60 * FRAMES  # 61 s
PER_MINUTE = 16  # windows of a minute whose wavefront is computed: the clearest of every few seconds
ENOUGH, LATER_PER_MINUTE = 40, 5  # once so many are known, fewer tell of what changes
LEAST = 4  # of a piece, however short
RECENT = 600  # seconds


class Monitor:
    """Watches the hydrophones of one recording.

    Args:
        array: the geometry.
        begin_s: where in the recording the part begins that is heard. Times of findings count from the recording's start.
    """

    def __init__(self, array: HydrophoneArray, begin_s: float = 0.0) -> None:
        self.array = array
        self.begin_s = begin_s
        self.windows: list[Window] = []
        self.time_s: list[float] = []
        self.level_db: list[np.ndarray] = []
        self.copies = np.zeros((array.num_channels, array.num_channels), int)

    @torch.inference_mode()
    def add(self, spectra: torch.Tensor, first_frame: int) -> None:
        """Listen to the next piece.

        Args:
            spectra: complex `[channel, frequency, frame]` of all hydrophones.
            first_frame: index of the first frame in the recording.
        """
        pieces = [
            (
                self.begin_s + (first_frame + begin + FRAMES / 2) * spectrogram.FRAME_S,
                spectra[..., begin : begin + FRAMES],
            )
            for begin in range(0, spectra.shape[-1] - FRAMES + 1, FRAMES)
        ]
        if not pieces:
            return
        clear = []
        for time_s, piece in pieces:
            self.time_s.append(time_s)
            power = spectrogram.power(piece[:, spectrogram.in_band()]).mean((1, 2))
            self.level_db.append(spectrogram.level_db(power).numpy())
            clear.append(clearness(piece))
        per_minute = PER_MINUTE if len(self.windows) < ENOUGH else LATER_PER_MINUTE
        most = max(LEAST, round(per_minute * len(pieces) * FRAMES * spectrogram.FRAME_S / 60))
        for part in np.array_split(np.arange(len(pieces)), min(most, len(pieces))):  # spread, so that changes are seen
            index = int(part[np.argmax(np.array(clear)[part])])
            time_s, piece = pieces[index]
            # The diagonal counts the seconds that were compared.
            self.copies += copies(piece.flatten(1).numpy()) | np.eye(len(piece), dtype=bool)
            if not self.array.is_wide and clear[index] > 0 and (window := window_of(piece, time_s)) is not None:
                self.windows.append(window)

    def unusable(self) -> frozenset[int]:
        """Channels, from 0, that bearings should do without, by the last minutes: the time that it takes is bounded."""
        level_db = np.array(self.level_db[-RECENT:]).reshape(-1, self.array.num_channels)
        recent = self.windows[-MOST_WINDOWS:]
        return unusable(find_all(recent, np.array(self.time_s[-RECENT:]), level_db, self.copies, self.array))

    def findings(self) -> list[Finding]:
        """What is wrong with the array, by all that was heard so far."""
        return find_all(self.windows, np.array(self.time_s), self.levels_db, self.copies, self.array)

    @property
    def levels_db(self) -> Floats:
        """Level of every channel in every second, dB re full scale, `[second, channel]`."""
        return np.array(self.level_db) if self.level_db else np.zeros((0, self.array.num_channels))


def listen(
    recording: Recording, array: HydrophoneArray, report: Callable[[float], None] = lambda seconds_done: None
) -> Monitor:
    """Hear a whole recording for the health of its array; no network is needed.

    Args:
        recording: opened with `array`.
        array: the geometry.
        report: is called with the seconds that are done.

    Raises:
        RecordingError: the file cannot be read.
    """
    monitor = Monitor(array, recording.begin_s)
    for segment in segments(recording, PIECE_FRAMES * spectrogram.HOP, 0, 0):
        spectra = spectrogram.stft(torch.from_numpy(segment.samples * array.relative_gain()[:, None]))
        monitor.add(spectra, segment.first_sample // spectrogram.HOP)
        report(min(recording.duration_s, segment.core[1] / spectrogram.RATE_HZ))
    return monitor
