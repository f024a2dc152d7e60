"""Doors of the command line: numbers, weights, addresses, Ctrl-C and clipped samples end in one clear line."""

import os
import re
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from typer.main import get_command
from typer.testing import CliRunner

from tests.helpers import noise, write
from whalefinder.archive import crew
from whalefinder.cli import app
from whalefinder.errors import ModelError, OptionError
from whalefinder.networks.weights import load_classifier, load_network, shipped_weights
from whalefinder.options import Crew
from whalefinder.sound.recording import open_recording


def run(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    plain = re.sub(r"\x1b\[[0-9;]*m", "", result.output)
    assert "Traceback" not in plain and (result.exception is None or isinstance(result.exception, SystemExit)), plain
    return result.exit_code, " ".join(re.sub("[│╭╮╰╯─]", " ", plain).split())


def numbers():
    """Command and flag of every option that is a number."""

    def below(command, path):
        for name, each in getattr(command, "commands", {}).items():
            yield from below(each, [*path, name])
        if not hasattr(command, "commands"):
            hints = command.callback.__annotations__
            yield from (
                (path, p) for p in command.params if p.param_type_name == "option" and "float" in hints.get(p.name, "")
            )

    return list(below(get_command(app), []))


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_every_number_must_be_finite(tmp_path, monkeypatch, value):
    monkeypatch.chdir(tmp_path)
    assert len(numbers()) > 25
    for path, option in numbers():
        needed = {
            "explain": ["a.wav", *([] if option.name == "at" else ["--at", 1])],
            "query": ["x"],
            "compare": ["a", "b"],
            "import-array": ["x.csv"],
            "plan": ["x.toml"],
            "calibrate": ["a.wav", "-a", "x.toml"],
            "place-array": [
                "--phones",
                4,
                "--frame",
                "1,1,1",
                *([] if option.name == "sound_speed" else ["--sound-speed", 1484]),
            ],
        }.get(path[0], [])
        needed += {"locate": ["a.wav"], "import-pamguard": ["a.pgdf"], "regressor": ["-a", "x.toml"]}.get(path[-1], [])
        code, text = run(*path, *needed, option.opts[0], value)
        assert code != 0 and option.opts[0] in text and value in text, (path, option.opts, text)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("tracker", "holds the weights of a tracker; needed are those of a segmenter, as whalefinder train segmenter"),
        ("classifier", "holds the weights of a classifier; needed are those of a segmenter"),
        ("random", "holds 60 tensors of no network of whalefinder; needed are those of a segmenter"),
        ("garbage", "is no file of weights; needed are those of a segmenter"),
    ],
)
def test_wrong_weights_are_named_in_one_line(tmp_path, weights, message):
    path = shipped_weights(weights)
    if weights == "random":
        path = tmp_path / "x.safetensors"
        save_file({f"layer{k}": torch.zeros(1) for k in range(60)}, path)
    elif weights == "garbage":
        path = tmp_path / "x.safetensors"
        path.write_bytes(b"\x00garbage")
    with pytest.raises(ModelError) as reason:
        load_network(path)
    assert message in str(reason.value) and len(str(reason.value).splitlines()) == 1


def test_weights_of_other_sizes_are_told_briefly(tmp_path):
    path = tmp_path / "c.safetensors"
    path.write_bytes(shipped_weights("classifier").read_bytes())
    path.with_suffix(".json").write_text('{"config": {"widths": [4, 8]}}')
    with pytest.raises(ModelError, match="do not fit their card") as reason:
        load_classifier(path)
    assert len(str(reason.value).splitlines()) == 1 and len(str(reason.value)) < 400


@pytest.mark.parametrize("address", ["nonsense", "tcp://head", "http://head:80", "tcp://head:0", "tcp://head:99999"])
def test_what_is_no_address_is_refused_at_once(tmp_path, address):
    code, text = run("archive", tmp_path, "-o", tmp_path / "out", "--scheduler", address)
    assert code == 1 and "is no address" in text and "tcp://head:8786" in text


def test_addresses():
    for address in ("tcp://head:8786", "127.0.0.1:8786", "tls://[::1]:80", "ws://head.example.org:1"):
        Crew(scheduler=address).check()


@pytest.mark.parametrize("listens", [False, True])
def test_where_no_scheduler_answers_the_wait_is_bounded(monkeypatch, listens):
    """A port that nobody listens on, and a server that says nothing."""
    monkeypatch.setattr(crew, "CONNECT_S", 0.5)
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if listens:
            server.listen()
        began = time.monotonic()
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(OptionError, match=f"{address}: no scheduler answers there"), crew._client(1, address):
            pass
        assert time.monotonic() - began < 10


def problems(path):
    recording = open_recording(path)
    for _ in recording.blocks():
        pass
    return recording.problems


def test_float_samples_above_one_are_not_clipped(tmp_path):
    sound = 3000 * noise(2, 9.0)  # up to 100, in three blocks
    assert problems(write(tmp_path / "loud.wav", sound, subtype="FLOAT")) == []
    assert (
        problems(
            write(tmp_path / "once.wav", np.where(np.abs(sound) == np.abs(sound).max(), 1e6, sound), subtype="FLOAT")
        )
        == []
    )


@pytest.mark.parametrize(("limit", "kind"), [(1.0, "PCM_16"), (1.0, "PCM_24"), (1.0, "FLOAT"), (2.5, "FLOAT")])
def test_samples_that_pile_up_at_one_value_are_clipped(tmp_path, limit, kind):
    sound = 3 * limit * noise(2, 9.0) / 0.01
    sound[:, 0] = 0.001 * sound[:, 0] / limit
    (line,) = problems(write(tmp_path / "clipped.wav", np.clip(sound, -limit, limit), subtype=kind))
    share = 100 * np.mean(np.abs(sound[:, 1]) >= limit)
    assert "channel 2 is clipped in" in line and abs(float(re.search(r"in ([\d.]+) %", line)[1]) - share) < 1


def test_clipping_in_every_sample_is_100_percent(tmp_path):
    sound = np.sign(noise(1, 1.0))
    (line,) = problems(write(tmp_path / "square.wav", sound, subtype="FLOAT"))
    assert "clipped in 100 % of its samples (limit 0.1 %)" in line


INTERRUPTED = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets programs in the background ignore it
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
sys.argv = ["whalefinder", *{arguments!r}]
from whalefinder.cli import main
main()
"""
"""A program that gets Ctrl-C while it imports a module."""


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize(
    ("module", "command"),
    [
        ("typer", "locate"),
        ("whalefinder.cli.results", "report"),
        ("whalefinder.run", "locate"),
        ("soundfile", "locate"),
        ("torch", "locate"),
        ("torch", "archive"),
        ("numpy", "simulate"),
    ],
)
def test_ctrl_c_while_modules_are_imported_ends_in_one_line(tmp_path, module, command):
    (tmp_path / "a.wav").write_bytes(b"")
    arguments = [command, *([] if command == "simulate" else [str(tmp_path / "a.wav")]), "-o", str(tmp_path / "out")]
    program = [sys.executable, "-c", INTERRUPTED.format(module=module, arguments=arguments)]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 130 and line.startswith("stopped") and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("locate", "a.wav", "-o", ""), "-o is empty"),
        (("locate", "a.wav", "--out="), "--out is empty"),
        (("archive", ""), "an argument is empty"),
        (("locate", "a.wav", "--end", "0"), "--end 0 s is not after --start (0 s); end later"),
        (("locate", "a.wav", "--method", "guess"), "--method 'guess' is unknown"),
        (("archive", ".", "--deployment", "a/b"), "--deployment 'a/b' cannot be the name of a folder"),
        (("archive", ".", "--dry-run", "--shard", "0/3"), "--shard 0/3: write i/n"),
        (("archive", ".", "--dry-run", "--shard", "5/3"), "--shard 5/3: write i/n"),
        (("archive", ".", "--dry-run", "--shard", "a/b"), "--shard a/b: write i/n"),
        (("locate", "a.wav", "--segmenter", "."), ".: no such file; give weights"),
        (("locate", "a.wav", "--classifier", "x.safetensors"), "x.safetensors: no such file; give weights"),
        (("check", "array.toml", "--file", "array.toml", "--overwrite"), "--file array.toml: the picture is a PNG"),
        (("plan", "array.toml", "--file", "array.toml", "--overwrite"), "--file array.toml: the picture is a PNG"),
        (("plan", "array.toml", "--boats", "2", "--boat", "40"), "--boats 2 and --boat 40 exclude each other"),
        (("simulate", "--seconds", "2", "--calls", "1000"), "--calls 1000 in 2 s are more than 4 per second (8)"),
        (("simulate", "--snr", "nan"), "give a finite number, such as 1.5"),
        (("simulate", "--seconds", "nan"), "give a finite number, such as 1.5"),
    ],
)
def test_options_that_cannot_be_end_in_a_line_that_names_them(tmp_path, monkeypatch, command, words):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")
    write(tmp_path / "a.wav", np.zeros((16_000, 1)), 16_000)
    code, text = run(*command)
    assert code in (1, 2) and words in text, text
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]
