"""What recorders do to sound, through the whole search: it is said with its seconds, and it is never a whale."""

import csv

import numpy as np

from tests.helpers import write
from whalefinder.archive.run import Archive
from whalefinder.options import Crew, LocateOptions
from whalefinder.run import run_locate

RATE = 48_000


def wind(seconds, seed):
    """Noise that falls by 17 dB a decade."""
    rng = np.random.default_rng(seed)
    count = seconds * RATE
    spectrum = np.fft.rfft(rng.standard_normal(count)) / np.maximum(np.fft.rfftfreq(count, 1 / RATE), 100) ** 0.85
    samples = np.fft.irfft(spectrum, count)
    return 0.01 * samples / samples.std()


def test_gaps_steps_and_wrong_samples_are_said_and_are_no_whales(tmp_path):
    gaps, rough = wind(24, 1), wind(24, 2)
    for begin_s, seconds in ((3.0, 0.3), (7.5, 2.2), (14.0, 0.05)):
        gaps[round(begin_s * RATE) : round((begin_s + seconds) * RATE)] = 0
    begin, end = 18 * RATE, round(18.6 * RATE)
    gaps[begin:end] = gaps[begin]
    rough[6 * RATE : 15 * RATE] *= 3.5
    for time_s in (2.0, 11.1, 20.7):
        rough[round(time_s * RATE)] = 0.9
    spliced = np.concatenate([wind(6, 3), wind(8, 4), wind(7, 5)])
    paths = [
        write(tmp_path / f"{name}_20260701_120000.wav", np.clip(samples, -1, 1)[:, None])
        for name, samples in (("gaps", gaps), ("rough", rough), ("spliced", spliced))
    ]
    said: list[str] = []
    summary = run_locate(paths, None, tmp_path / "out", LocateOptions(), pictures=False, say=said.append)
    assert summary.calls == 0 and summary.failures == 0
    with (tmp_path / "out" / "health.csv").open() as file:
        rows = {(row["recording"].split("_")[0], row["kind"]): row for row in csv.DictReader(file)}
    assert set(rows) == {("gaps", "gap"), ("gaps", "held"), ("rough", "level"), ("rough", "wrong")}
    assert float(rows["gaps", "gap"]["value"]) == 2.55 and rows["gaps", "gap"]["seen"] == "3"
    assert float(rows["gaps", "held"]["value"]) == 0.6
    assert rows["rough", "wrong"]["seen"] == "3" and rows["rough", "level"]["seen"] == "2"
    assert any("2.55 s of digital silence in 3 places" in line for line in said)


def test_an_archive_says_what_locate_says(tmp_path):
    samples = wind(14, 6)
    samples[6 * RATE :] *= 4
    samples[round(2.5 * RATE) : 3 * RATE] = 0
    samples[RATE] = 0.9
    sound = tmp_path / "sound"
    sound.mkdir()
    write(sound / "a_20260701_120000.wav", np.clip(samples, -1, 1)[:, None])
    Archive([str(sound)], None, tmp_path / "archive", LocateOptions()).run(Crew())
    run_locate([sound / "a_20260701_120000.wav"], None, tmp_path / "locate", LocateOptions(), pictures=False)
    tables = []
    for out in ("archive", "locate"):
        with (tmp_path / out / "health.csv").open() as file:
            tables.append(
                sorted((row["kind"], row["from_s"], row["value"], row["seen"]) for row in csv.DictReader(file))
            )
    assert tables[0] == tables[1] and [row[0] for row in tables[0]] == ["gap", "level", "wrong"]
