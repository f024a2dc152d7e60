"""The judgement: rivals, thresholds from dev alone, alarms, a report that stands alone and holds what was counted."""

import csv
import json
import math
import re
import threading

import numpy as np
import pytest
import soundfile
import torch
from typer.testing import CliRunner

from tests.helpers import needs_data
from whalefinder.calls.classification import LabelSettings
from whalefinder.cli import app
from whalefinder.errors import OptionError
from whalefinder.evaluation import judging, page, sets, summary
from whalefinder.evaluation.evaluate import evaluate
from whalefinder.evaluation.judging import Alarm, Verdict, hear
from whalefinder.evaluation.metrics import Counts
from whalefinder.evaluation.peers import NO_EVENT, ByEnergy, ByFlatImage, BySegmenter
from whalefinder.networks.classifier import Classifier
from whalefinder.networks.weights import load_network, save_network
from whalefinder.pages.page import Drawing, Grid, Section, save_page
from whalefinder.sound.spectrogram import RATE_HZ
from whalefinder.training.clips import Clip, data_folder, find_clips
from whalefinder.training.labelled import LabelledClip


def sound(seed, call, seconds=3.0):
    """Wind, with a whistle in it or without, `[time]`."""
    rng = np.random.default_rng(seed)
    samples = 0.01 * rng.standard_normal(round(seconds * RATE_HZ))
    if call:
        t = np.arange(RATE_HZ) / RATE_HZ
        at = int(rng.integers(RATE_HZ, RATE_HZ + 10_000))
        samples[at : at + RATE_HZ] += 0.01 * np.sin(2 * np.pi * (3000 * t + 800 * t**2)) * np.hanning(RATE_HZ)
    return samples.astype(np.float32)


def clips(count, seed, kind="mixture"):
    """Half with a call; the sources' names would be markup."""
    found = []
    for k in range(count):
        call = k % 2 == 0
        source = f"<b>call {k % 3}</b>" if call else f"ship {k % 4}"
        ratio = -9.0 + 18.0 * k / count if call else math.nan
        label = "orca" if call else "boat"
        found.append(
            LabelledClip(
                samples=sound(seed + k, call),
                label=label,
                source=source,
                group=f"Tanker_{k % 4}",
                snr_db=ratio,
                kind=kind,
            )
        )
    return found


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """`evaluate` over a small sea, with untrained weights: folder, what it returned, the sets."""
    tmp_path = tmp_path_factory.mktemp("judged")
    path = tmp_path / "alone.wav"
    soundfile.write(path, np.concatenate([sound(90, False), sound(91, True), sound(92, False)]), RATE_HZ)
    other = [
        LabelledClip(samples=sound(80 + k, True), label="other_cetacean", source="beluga", group="folder", kind="real")
        for k in range(2)
    ]
    alone = [
        (
            Clip(
                path=path, kind="boats", label="ship", sublabel="Tanker", split="dev", use="evaluate", rate_hz=RATE_HZ
            ),
            "boat",
        )
    ]
    small = sets.Sets(dev=clips(8, 0), mixtures=clips(10, 100), live=clips(4, 200, "real"), species=other, alone=alone)
    torch.manual_seed(0)
    save_network(Classifier(widths=(4, 8)), tmp_path / "classifier.safetensors", {})
    heard = []
    out = tmp_path / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("whalefinder.evaluation.evaluate.read_sets", lambda split, count, report: small)
        patch.setattr("whalefinder.evaluation.evaluate.peers", lambda report: [ByEnergy()])
        patch.setattr(summary, "REPEATS", 50)
        classifier = tmp_path / "classifier.safetensors"
        result = evaluate(out, classifier=classifier, report=lambda done, total, note: heard.append((done, total)))
    assert heard and all(0 <= done <= total for done, total in heard)
    return out, result, small


def test_report_table_and_figures_agree(judged):
    out, result, small = judged
    figures = json.loads((out / "figures.json").read_text())
    with (out / "clips.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["set"] == "mixtures"]
    assert len(rows) == len(small.mixtures) == 10
    for judge in ("whalefinder classifier", "band energy and entropy"):
        found = figures["judges"][judge]["mixtures"]
        score = np.array([float(row[judge]) for row in rows])
        truth = [row["truth"] == "orca" for row in rows]
        assert found["counts"] == vars(Counts.of(truth, score >= found["threshold"] - 5e-5))
        assert found["sources"] == 3 + 2  # calls 0...2, ships 1 and 3
    paper = result.mixtures[-1]
    assert "paper" in paper[0] and paper[1:5] == ("0.840", "0.900", "0.780", "0.849")


def test_the_page_stands_alone_and_holds_no_markup_of_others(judged):
    out, _, _ = judged
    page = (out / "evaluation.html").read_text()
    assert "<b>call" not in page and "&lt;b&gt;call" in page
    links = re.findall(r'(?:src|href)="([^"]+)"', page)
    outside = [link for link in links if not link.startswith(("data:image/png;base64,", "#"))]
    assert outside and all(link.startswith("listen/") and (out / link).is_file() for link in outside)
    assert len([link for link in links if link.startswith("data:")]) >= 5  # curves, reliability, ratio, matrix, errors
    heard, rate = soundfile.read(out / outside[0])
    assert rate == RATE_HZ and 0.8 < np.abs(heard).max() < 0.95
    assert "84%" in page and "72%" in page and "81%" in page


def test_the_rival_by_hand_finds_the_whistles(judged):
    _, result, _ = judged
    found = result.figures["judges"]["band energy and entropy"]
    assert found["mixtures"]["roc_area"] > 0.95
    assert len(found["alone"]["alarms"]) == 1 and 1.5 <= found["alone"]["alarms"][0]["begin_s"] <= 6.0
    assert found["alone"]["seconds"] == pytest.approx(9.0, abs=0.01)


def test_thresholds_come_from_dev_alone():
    class Fixed:
        name = "fixed"

        def score(self, samples, bandwidth_hz):
            return float(samples[0])

    def marked(values):
        return [
            LabelledClip(samples=np.array([v], np.float32), label="orca" if call else "boat", source="s", group="g")
            for v, call in values
        ]

    dev = marked([(0.1, False), (0.2, False), (0.7, True), (0.9, True)])
    rest = marked([(0.3, True), (0.4, True), (0.5, False)])
    found = hear(Fixed(), sets.Sets(dev=dev, mixtures=rest, live=rest, species=[], alone=[]), None, lambda *_: None)
    assert found.threshold == pytest.approx(0.7) and "dev" not in found.scores
    assert (
        hear(
            Fixed(), sets.Sets(dev=dev, mixtures=rest, live=rest, species=[], alone=[]), 0.25, lambda *_: None
        ).threshold
        == 0.25
    )


def test_neighbouring_alarms_are_one():
    found = judging._alarms("night", np.array([0.9, 0.8, 0.1, 0.2, 0.6, 0.7]), 0.6)
    assert [(alarm.begin_s, alarm.score) for alarm in found] == [(0.0, 0.9), (6.0, 0.7)]
    assert judging._alarms("night", np.zeros(3), 0.5) == []


def test_the_energy_rival_ignores_gain_and_knows_a_tone():
    judge = ByEnergy()
    quiet, call = judge.score(sound(1, False), 24_000.0), judge.score(sound(1, True), 24_000.0)
    assert call > quiet + 1.0
    assert judge.score(100 * sound(1, True), 24_000.0) == pytest.approx(call, abs=1e-3)


@pytest.mark.filterwarnings("error")
def test_the_energy_rival_scores_a_clip_that_is_partly_silent():
    judge, padded = ByEnergy(), sound(1, True)
    padded[: len(padded) // 10] = 0.0
    assert np.isfinite(judge.score(padded, 24_000.0)) and np.isfinite(judge.score(0 * padded, 24_000.0))


def test_the_flat_rival_learns_where_and_not_what():
    generator = torch.Generator().manual_seed(2)
    planes = torch.randn(80, 3, 256, 141, generator=generator)
    orca = np.arange(80) % 2 == 0
    planes[::2, 0, 100:120, 40:80] += 2.0
    judge = ByFlatImage(planes, orca)
    weights = judge.model[-1].coef_.reshape(32, 35)
    place = np.unravel_index(weights.argmax(), weights.shape)
    assert 12 <= place[0] < 15 and 10 <= place[1] < 20
    assert np.isfinite(judge.score(sound(1, True), 24_000.0))
    # A clip of 1.5 s is filled up, one of 5 s slid over.
    assert all(np.isfinite(judge.score(sound(1, False, s), 24_000.0)) for s in (1.5, 5.0))


def test_the_segmenters_share_alone():
    judge = BySegmenter(load_network().folded())
    assert judge.score(np.zeros(3 * RATE_HZ, np.float32), 24_000.0) == NO_EVENT
    assert judge.score(sound(1, True), 24_000.0) > NO_EVENT


def test_recall_by_ratio_and_parts():
    items = [
        LabelledClip(samples=np.zeros(1, np.float32), label="orca", source=f"c{k}", group="Tanker_3", snr_db=ratio)
        for k, ratio in enumerate((-9.0, -8.0, 0.5, 9.0))
    ] + [LabelledClip(samples=np.zeros(1, np.float32), label="boat", source="s", group="Passengership_12")]
    verdict = Verdict(judge="x", threshold=0.5, scores={"mixtures": np.array([0.1, 0.9, 0.9, 0.9, 0.9])})
    points = summary.recall_by_ratio(verdict, items)
    assert [(ratio, share.value) for ratio, share in points] == [(-8.5, 0.5), (0.5, 1.0), (9.0, 1.0)]
    parts = {row[0]: row[1:] for row in summary.by_recorder(verdict, items, "mixtures")}
    assert parts["Tanker"][0] == "4" and parts["Tanker"][1].startswith("0.750")
    assert parts["Passengership"][2] == "1" and parts["Passengership"][3].startswith("0.000")


def test_species_are_counted_by_name():
    items = [
        LabelledClip(samples=np.zeros(1, np.float32), label="other_cetacean", source=s, group="g")
        for s in ("beluga", "beluga", "humpback")
    ]
    rows = summary.species_rows(["boat", "boat", "orca"], items, ("orca", "boat"))
    assert rows == [("humpback", "1", "0"), ("beluga", "0", "2")]  # worst first


def test_the_surest_alarm_of_a_recording_can_be_heard(judged, tmp_path):
    _, _, small = judged
    verdict = Verdict(judge="j", threshold=0.5, alarms=[Alarm("alone", 5.0, 0.6), Alarm("alone", 3.5, 0.9)])
    (drawing,) = page._alarms(tmp_path, small, verdict)
    assert "alone at 2.5 s" in drawing.caption and "0.900" in drawing.caption
    heard, rate = soundfile.read(tmp_path / drawing.sound)
    assert len(heard) == 3 * rate


def test_recordings_with_the_most_false_alarms_come_first(tmp_path):
    recordings = []
    for name, seconds in (("quiet", 6), ("pinger", 12), ("sonar", 30)):
        path = tmp_path / f"{name}.wav"
        soundfile.write(path, np.zeros(seconds * RATE_HZ, np.float32), RATE_HZ)
        clip = Clip(
            path=path, kind="ambient", label="no_orca", sublabel="" if name == "sonar" else name, split="dev",
            use="evaluate", rate_hz=RATE_HZ,
        )  # fmt: skip
        recordings.append((clip, "ambient"))
    verdict = Verdict(judge="j", threshold=0.5)
    verdict.alarms = [Alarm("pinger", 1.0, 0.8), Alarm("sonar", 2.0, 0.6), Alarm("sonar", 9.0, 0.95)]
    assert summary.recording_rows(verdict, recordings) == [
        ("sonar", "ambient", "0.50", "2", "0.950"),
        ("pinger", "pinger", "0.20", "1", "0.800"),
    ]


def test_sets_keep_call_types_apart_and_need_data(monkeypatch, tmp_path):
    with pytest.raises(OptionError, match="`split` 'train' is unknown"):
        sets.read_sets("train", 20)
    needs_data("manifest.csv")
    found = sets.read_sets("test", 40)
    calls = {name: {c.source for c in getattr(found, name) if c.label == "orca"} for name in ("dev", "mixtures")}
    assert calls["mixtures"] and not calls["dev"] & calls["mixtures"]
    types = {c.path.stem: c.sublabel for c in find_clips("calls", "test")}
    assert {types[source][:3] for source in calls["mixtures"]} == {"S16", "S33", "S42"}
    assert not {c.group for c in found.dev} & {c.group for c in found.mixtures}
    assert sum(c.label == "orca" for c in found.mixtures) == 20
    with (data_folder() / "manifest.csv").open(newline="", encoding="utf-8") as file:
        seconds = {row["path"]: float(row["seconds"]) for row in csv.DictReader(file) if row["seconds"]}
    assert len(found.alone) > 20
    for clip, _ in found.alone:  # whole files, whatever the folder holds today
        assert seconds[str(clip.path.relative_to(data_folder()))] == pytest.approx(
            soundfile.info(clip.path).duration, abs=0.1
        )
    monkeypatch.setenv("WHALEFINDER_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(OptionError, match="set WHALEFINDER_DATA"):
        sets.read_sets("test", 20)


def test_windows_cover_a_recording():
    clip = Clip(path=None, kind="boats", label="ship", sublabel="Tanker", split="dev", use="evaluate", rate_hz=32_000)
    object.__setattr__(clip, "path", type("P", (), {"stem": "Tanker_1"})())
    whole = np.arange(round(10.2 * RATE_HZ), dtype=np.float32)
    object.__setattr__(clip, "read", lambda: whole)
    pieces = list(sets.windows(clip, "boat"))
    assert all(len(piece.samples) == 3 * RATE_HZ for piece in pieces)
    assert pieces[0].samples[0] == 0 and pieces[-1].samples[-1] == whole[-1]
    assert max(np.diff([piece.samples[0] for piece in pieces])) == 1.5 * RATE_HZ


def test_reports_are_written_anywhere_and_alike(tmp_path):
    section = Section("A & B", ["x < y"], [Grid("t", ("a", "b"), [("1", "2")])], [Drawing("d", b"png")])
    paths = [tmp_path / name / "page.html" for name in ("one", "two")]
    workers = [threading.Thread(target=save_page, args=(path, "T", [section])) for path in paths]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert paths[0].read_text() == paths[1].read_text()
    assert "A &amp; B" in paths[0].read_text() and "x &lt; y" in paths[0].read_text()


def test_evaluate_without_recordings_says_so_in_one_line(monkeypatch, tmp_path):
    save_network(Classifier(widths=(4, 8)), tmp_path / "c.safetensors", {})
    monkeypatch.setenv("WHALEFINDER_DATA", str(tmp_path))
    options = ["evaluate", "--classifier", str(tmp_path / "c.safetensors"), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, options)
    assert result.exit_code == 1 and "set WHALEFINDER_DATA" in result.output
    assert result.output.count("error:") == 1 and not (tmp_path / "out").exists()
    result = CliRunner().invoke(app, [*options, "--split", "all"])
    assert result.exit_code == 1 and "choose from dev, test" in result.output.replace("\n", " ")


def test_the_pipeline_counts_orcas_alone(judged):
    out, result, small = judged
    network = Classifier(widths=(4, 8)).eval()
    # Thresholds that no probability reaches: nothing is an orca.
    found = judging.hear_pipeline(network, LabelSettings(1.0, 1.0, 1.0), small, lambda *_: None)
    assert found.alarms == [] and found.seconds_alone == pytest.approx(9.0, abs=0.01)
    assert judging.PIPELINE in result.figures["judges"] and (out / "evaluation.html").exists()
