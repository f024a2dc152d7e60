"""The spectrogram and the sound of one call, small enough to be stored inside a page."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch

from whalefinder.array.geometry import Floats
from whalefinder.errors import RecordingError
from whalefinder.sound import spectrogram
from whalefinder.sound.source import open_source

MARGIN_S = 0.5
LONGEST_S = 8.0  # of a longer call only its begin is used
SOUND_HZ = 24_000
PEAK = 0.7  # the sound is scaled to this peak, since most recordings are too quiet to listen to


@dataclass(frozen=True)
class Cut:
    """One channel of a recording around one call.

    Args:
        level_db: `[frequency, frame]` dB re full scale, on the bins of `spectrogram`.
        begin_s: begin of the cut, in seconds from the start of the recording.
        seconds: length of the cut.
        flac: its sound as a FLAC file: mono, `SOUND_HZ`, peak at `PEAK`.
    """

    level_db: Floats
    begin_s: float
    seconds: float
    flac: bytes

    @property
    def sound(self) -> str:
        """The sound as a `data:` address for a web page."""
        return "data:audio/flac;base64," + base64.b64encode(self.flac).decode("ascii")


def cut_out(path: Path, begin_s: float, end_s: float, channel: int = 1) -> Cut:
    """Cut a call out of its recording, with half a second before and after it.

    Args:
        path: the recording.
        begin_s, end_s: the call, in seconds from the start of the recording.
        channel: channel of the file, from 1.

    Raises:
        RecordingError: the file is missing, unreadable, or ends before the call.
    """
    missing = f"{path}: cannot be read; say where it is with `recordings`"
    try:
        source = open_source(path)
    except RecordingError as reason:
        raise RecordingError(missing) from reason
    try:
        rate = source.rate_hz
        first = max(0, round((begin_s - MARGIN_S) * rate))
        count = round((min(end_s - begin_s, LONGEST_S) + 2 * MARGIN_S) * rate)
        if first >= source.frames or channel > source.channels:
            raise RecordingError(f"{path}: has no sound at {begin_s:.1f} s on channel {channel}; is it the same file?")
        samples = np.concatenate(list(source.blocks(first, first + count, count)))[:, channel - 1]
    except (soundfile.SoundFileError, OSError) as reason:
        raise RecordingError(missing) from reason
    samples = np.nan_to_num(samples)
    spectra = spectrogram.stft(torch.from_numpy(soxr.resample(samples, rate, spectrogram.RATE_HZ))[None])
    level = spectrogram.level_db(spectrogram.power(spectra)[0].double()).numpy()
    return Cut(level, first / rate, len(samples) / rate, _flac(soxr.resample(samples, rate, SOUND_HZ)))


def _flac(samples: np.ndarray) -> bytes:
    samples = samples - samples.mean()
    loudest = float(np.abs(samples).max(initial=0.0))
    buffer = io.BytesIO()
    soundfile.write(buffer, samples * (PEAK / loudest if loudest else 1.0), SOUND_HZ, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()
