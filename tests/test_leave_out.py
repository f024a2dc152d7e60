"""Weights that never heard a dialect: its calls are left out of training by name."""

import numpy as np
import pytest

from whalefinder.errors import OptionError
from whalefinder.training import clips, sources


@pytest.fixture
def manifest(tmp_path):
    """Calls of three sources, without their sound."""
    rows = [
        ("calls/riptide_orca/Biggs_song_01.flac", "calls", "Biggs"),
        ("calls/riptide_orca/J_pod_song_01.flac", "calls", "J pod"),
        ("calls/riptide_orca/jpod_foraging.flac", "calls", "jpod_"),
        ("calls/hallo_ford_call_catalogue/S01-1.flac", "calls", "S01"),
        ("field/orcasound_misc/jpod.flac", "field", "J pod"),
    ]
    lines = [f"{path},{kind},orca_call,{name},train,train,48000" for path, kind, name in rows]
    (tmp_path / "manifest.csv").write_text("\n".join(["path,kind,label,sublabel,split,use,rate_hz", *lines]) + "\n")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("riptide_orca/biggs", ["S01-1", "J_pod_song_01", "jpod_foraging", "jpod"]),
        ("riptide_orca/jpod", ["S01-1", "Biggs_song_01", "jpod"]),
        ("riptide_orca", ["S01-1", "jpod"]),
        ("orcasound_misc", ["S01-1", "Biggs_song_01", "J_pod_song_01", "jpod_foraging"]),
    ],
)
def test_a_source_of_calls_is_left_out(manifest, name, left):
    assert [clip.path.stem for clip in clips.training_calls(manifest, [name])] == left


def test_a_name_that_is_no_source_is_refused(manifest):
    with pytest.raises(OptionError, match=r"'riptide_orca/bigs'; sources are .*riptide_orca/biggs"):
        clips.training_calls(manifest, ["riptide_orca/bigs"])


def test_nothing_of_a_source_that_is_left_out_comes_in(manifest, monkeypatch):
    """Neither its catalogue rows, nor calls cut from its field recordings."""
    monkeypatch.setenv("WHALEFINDER_DATA", str(manifest))
    monkeypatch.setattr(sources, "FIELD_CALLS_S", {"jpod": ((0.5, 1.0),)})
    t = np.arange(72_000) / 48_000
    sound = np.sin(2 * np.pi * 3000 * t) * (abs(t - 0.75) < 0.2) + 1e-3 * np.random.default_rng(0).standard_normal(
        72_000
    )
    monkeypatch.setattr(clips.Clip, "read", lambda clip: sound.astype(np.float32))

    def groups(*leave_out):
        none = {"num_calls": 0, "num_boats": 0, "num_nuisances": 0}
        return {source.group for source in sources.build_sources(1, leave_out=leave_out, **none).orca}

    assert groups() == {"Biggs", "J pod", "jpod_", "S01", "jpod"}
    assert groups("riptide_orca/jpod", "orcasound_misc") == {"Biggs", "S01"}
