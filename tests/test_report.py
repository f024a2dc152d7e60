"""The page of `whalefinder report`: what is on it, and how it looks in a real browser."""

import io
import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from tests.browser import chromium, resize
from tests.helpers import write
from tests.outputs import detection, sweep, write_output
from tests.test_cli import run
from whalefinder.array.array_file import load_array, save_array
from whalefinder.errors import OptionError, RecordingError
from whalefinder.pages.call_clip import PEAK, SOUND_HZ, cut_out
from whalefinder.pages.report import _files, clearest, read_results, write_report
from whalefinder.results.query import query
from whalefinder.results.schema import DETECTIONS, names
from whalefinder.results.tables import write_table

VOID = {"meta", "link", "br", "img", "input", "hr"}


class Page(HTMLParser):
    """Elements with their attributes, and the text inside each kind."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements, self.text, self.open = [], {}, []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        if data.strip():
            self.text.setdefault(self.open[-1], []).append(data.strip())

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def page_of(folder, **options):
    missing = write_report(folder, **options)
    return Page((folder / "report.html").read_text(encoding="utf-8")), missing


def facts_of(page):
    return dict(zip(page.text["dt"], page.text["dd"], strict=True))


def test_everything_is_on_the_page_and_nothing_comes_from_outside(tmp_path):
    folder = write_output(tmp_path / "lime-kiln", tmp_path / "sounds")
    page, missing = page_of(folder, best=2)
    assert missing == [] and page.text["h1"] == ["Whale calls: lime-kiln"]
    assert page.text["h2"] == ["When", "From where", "Tracks", "How loud", "The clearest calls"]
    facts = dict(list(zip(page.text["dt"], page.text["dd"], strict=True))[:6])
    assert facts == {
        "calls": "12", "length of all recordings": "90 s", "calls per hour": "480", "recordings": "3", "tracks": "3",
        "median stated error of the azimuth": "2°",
    }  # fmt: skip
    assert len(page.all("article")) == 2 and len(page.all("audio")) == 2 and len(page.all("tr")) == 4
    labels = [svg["aria-label"] for svg in page.all("svg")]
    assert len(labels) == 9 and "calls by direction" in labels
    addresses = [a[k] for _, a in page.elements for k in ("src", "href", "xlink:href") if a.get(k)]
    assert addresses and all(address.startswith(("data:", "#")) for address in addresses)
    axes = " ".join(page.text["text"])
    for unit in (
        "day (UTC)",
        "hour of day (UTC)",
        "azimuth (° from true N)",
        "dB re 1 µPa",
        "(kHz)",
        "(s)",
        "calls per 2 dB",
    ):
        assert unit in axes, unit


def test_the_same_results_give_the_same_page(tmp_path):
    folder = write_output(tmp_path / "a", tmp_path / "sounds", files=1)
    page_of(folder, best=1)
    first = (folder / "report.html").read_bytes()
    page_of(folder, best=1)
    assert (folder / "report.html").read_bytes() == first


def test_names_hold_no_markup_and_missing_recordings_are_said(tmp_path):
    folder = write_output(tmp_path / "<i>x", tmp_path / "sounds", files=1, dated=False, level=False)
    moved = tmp_path / "moved"
    shutil.move(tmp_path / "sounds", moved)
    page, missing = page_of(folder, best=3)
    assert len(missing) > 0 and all("not found; say where it is with `recordings`" in line for line in missing)
    assert not page.all("audio") and not page.all("i") and not page.all("b")
    assert any("No received levels" in text for text in page.text["p"])
    assert any("give no dates" in text for text in page.text["p"])
    page, missing = page_of(folder, best=1, recordings=[moved])
    assert missing == [] and len(page.all("audio")) == 1


def test_a_folder_without_calls_has_a_page(tmp_path):
    write_table(tmp_path / "detections.csv", names(DETECTIONS), [detection(label="boat")])
    page, missing = page_of(tmp_path)
    assert missing == [] and "No calls were found." in page.text["p"] and facts_of(page)["calls"] == "0"
    with pytest.raises(OptionError, match=r"detections\.csv: cannot be read"):
        write_report(tmp_path / "none")


def test_ambiguous_bearings_are_counted_not_drawn(tmp_path):
    rows = [
        detection(),
        detection(begin_s=5.0, ambiguity="cone: 30 deg from axis"),
        detection(begin_s=9.0, azimuth_deg=None),
    ]
    write_table(tmp_path / "detections.csv", names(DETECTIONS), rows)
    page, _ = page_of(tmp_path, best=0)
    assert any(text.startswith("Not shown") and text.endswith("1 call.") for text in page.text["p"])


def test_the_clearest_are_sure_ones_that_stand_out():
    rows = [detection(snr_db=9.0, probability=0.6), detection(snr_db=1.0), detection(snr_db=3.0)]
    assert [row["snr_db"] for row in clearest(rows, 5)] == [3.0, 1.0, 9.0]
    assert clearest(rows, 1)[0]["snr_db"] == 3.0
    assert [row["snr_db"] for row in clearest([detection(snr_db=v) for v in (-3.0, 0.0, None)], 3)] == [0.0, -3.0, None]


def test_namesakes_of_other_stations_are_not_taken(tmp_path):
    for station in ("1", "2"):
        path = tmp_path / "moved" / station / "20260701_120000.wav"
        path.parent.mkdir(parents=True)
        path.touch()
    calls = [detection(f"{station}/20260701_120000.wav") for station in ("1", "2")]
    files = _files(SimpleNamespace(recordings=[], calls=calls), [tmp_path / "moved"])
    assert {name: path.parent.name for name, path in files.items()} == {
        c["recording"]: c["recording"][0] for c in calls
    }
    assert _files(SimpleNamespace(recordings=[], calls=calls), [tmp_path / "moved" / "1"]).keys() == {
        "1/20260701_120000.wav"
    }


def test_recordings_of_an_archive_lie_on_one_clock(tmp_path):
    folder = write_output(tmp_path / "a", tmp_path / "sounds", files=2, every_h=24)
    results = read_results(folder)
    first, second = (row["recording"] for row in results.recordings)
    assert results.dated and results.at(second, 0.0) - results.at(first, 0.0) == pytest.approx(1.0)
    undated = read_results(write_output(tmp_path / "b", tmp_path / "sounds", files=2, dated=False))
    assert not undated.dated
    assert undated.at(undated.recordings[1]["recording"], 6.0) == pytest.approx((30 + 6) / 60)


def test_a_cut_holds_the_call_and_half_a_second_around_it(tmp_path):
    path = write(tmp_path / "a.wav", np.stack([sweep(10, []), sweep(10, [4.0])], axis=1), 16_000)
    cut = cut_out(path, 4.0, 4.8, channel=2)
    sound, rate = soundfile.read(io.BytesIO(cut.flac))
    assert rate == SOUND_HZ and cut.begin_s == 3.5 and len(sound) == pytest.approx(1.8 * rate, abs=2)
    assert np.abs(sound).max() == pytest.approx(PEAK, abs=0.01)
    quiet = cut_out(path, 4.0, 4.8, channel=1)
    assert np.nanmax(cut.level_db) > np.nanmax(quiet.level_db) + 15
    assert cut_out(path, 0.0, 9.9).seconds <= 9.0 and cut_out(path, 9.5, 9.9).seconds == pytest.approx(1.0)
    for begin_s, channel in ((20.0, 1), (1.0, 3)):
        with pytest.raises(RecordingError, match="is it the same file"):
            cut_out(path, begin_s, begin_s + 1, channel)
    with pytest.raises(RecordingError, match="say where it is"):
        cut_out(tmp_path / "none.wav", 0, 1)


def test_report_on_the_command_line(tmp_path):
    folder = write_output(tmp_path / "a", tmp_path / "sounds", files=1)
    shutil.rmtree(tmp_path / "sounds")
    code, text = run("report", folder, "--best", 1, "--file", tmp_path / "x.html")
    assert code == 0 and "not on the page: 20260701_043000.wav: not found" in text
    assert (tmp_path / "x.html").exists() and not (folder / "report.html").exists()
    code, text = run("report", tmp_path / "none")
    assert code == 1 and "error:" in text


def test_from_a_recording_to_the_page(tmp_path):
    sea, out = tmp_path / "sea", tmp_path / "out"
    arguments = ("--seconds", 8, "--calls", 1, "--boats", 0, "--snr", 20, "--seed", 3)
    assert run("simulate", "--out", sea, *arguments)[0] == 0
    array = replace(load_array(sea / "array.toml"), sensitivity_db=(-170.0,) * 4, full_scale_v=1.0)
    save_array(array, tmp_path / "array.toml")
    code, text = run(
        "locate",
        sea / "simulated.wav",
        "-a",
        tmp_path / "array.toml",
        "-o",
        out,
        "-f",
        "raven,audacity",
        "--no-pictures",
        "--all",
    )
    assert code == 0, text
    assert {path.name for path in out.iterdir()} == {
        "detections.csv", "tracks.csv", "recordings.csv", "simulated.selections.txt", "simulated.labels.txt",
        "health.csv",
    }  # fmt: skip
    assert str(sea / "simulated.wav") in (out / "simulated.selections.txt").read_text()
    (answer,) = query(
        "SELECT max(level_db), any_value(duration_s) FROM detections JOIN recordings USING (recording)", out
    ).rows
    assert 60 < answer[0] < 170 and answer[1] == 8.0
    code, text = run("report", out, "--best", 1)
    assert code == 0 and "missing" not in text


WIDER = """return [...document.querySelectorAll('body *')].filter(e => !e.closest('.scroll, svg') &&
    e.getBoundingClientRect().right > document.documentElement.clientWidth + 1).map(e => e.outerHTML.slice(0, 80))"""


def test_the_page_in_a_real_browser(tmp_path):
    folder = write_output(tmp_path / "lime-kiln-2026", tmp_path / "sounds", files=6)
    write_report(folder, best=3)
    with chromium(tmp_path / "profile") as browser:
        browser.get((folder / "report.html").as_uri())
        play = """const done = arguments[0]; const sounds = [...document.querySelectorAll('audio')];
            Promise.all(sounds.map(s => s.readyState > 0 ? s.duration : new Promise((yes, no) => {
                s.onloadedmetadata = () => yes(s.duration); s.onerror = () => no(s.error.message); }))).then(done, done)"""
        durations = browser.execute_async_script(play)
        assert durations == pytest.approx([1.8, 1.8, 1.8], abs=0.1)
        load = """const done = arguments[0];
            Promise.all([...document.querySelectorAll('svg image')].map(async i => {
                const picture = new Image(); picture.src = i.href.baseVal; await picture.decode();
                return picture.naturalWidth * i.getBBox().width; })).then(done, done)"""
        areas = browser.execute_async_script(load)
        assert len(areas) == 5 and min(areas) > 10  # map of hours, its scale, three spectrograms
        assert browser.execute_script("return document.querySelectorAll('tbody tr').length") == 6
        for width, dark in ((1280, False), (400, True)):
            resize(browser, width, dark=dark)
            assert browser.execute_script("return document.documentElement.scrollWidth") <= width
            assert browser.execute_script(WIDER) == []
            ink, page = (
                browser.execute_script(f"return getComputedStyle(document.body).{what}")
                for what in ("color", "backgroundColor")
            )
            assert abs(brightness(ink) - brightness(page)) > 0.7
            # Axes take the page's colour, in the dark too.
            tick = "return getComputedStyle(document.querySelector('figure svg text')).fill"
            assert browser.execute_script(tick) == ink
            shot = browser.get_screenshot_as_png()
            assert len(shot) > 20_000
        resize(browser, 800, dark=True, media="print")
        assert browser.execute_script("return getComputedStyle(document.querySelector('audio')).display") == "none"
        assert browser.get_log("browser") == []
        asked = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
        sent = [message["params"] for message in asked if message["method"] == "Network.requestWillBeSent"]
        urls = [params["request"]["url"] for params in sent if params["documentURL"].startswith("file:")]
        assert urls and all(url.startswith(("file:", "data:")) for url in urls)


def brightness(colour):
    return sum(float(part) for part in re.findall(r"[\d.]+", colour)[:3]) / (3 * 255)
