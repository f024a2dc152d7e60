"""One set of words for one thing in all commands."""

from pathlib import Path

import pytest
from typer.main import get_command

from whalefinder.cli import app

SAME_EVERYWHERE = (
    "--out",
    "--segmenter",
    "--classifier",
    "--regressor",
    "--refiner",
    "--time-format",
    "--min-probability",
    "--method",
    "--all",
)


def commands(command, path=()):
    inner = getattr(command, "commands", None)
    if inner is None:
        yield " ".join(path), command
    for name, each in (inner or {}).items():
        yield from commands(each, (*path, name))


OPTIONS = [
    (f"{name} {option.opts[0]}", option)
    for name, command in commands(get_command(app))
    for option in command.params
    if option.param_type_name == "option" and "--help" not in option.opts
]


def flags(option):
    return set(option.opts + option.secondary_opts)


def test_all_commands_were_seen():
    names = {name.rpartition(" ")[0] for name, _ in OPTIONS}
    assert {"locate", "archive", "train segmenter", "evaluate", "query"} <= names
    assert len(OPTIONS) > 80


@pytest.mark.parametrize("option", [o for _, o in OPTIONS], ids=[name for name, _ in OPTIONS])
def test_every_option_has_help_and_says_its_default(option):
    assert option.help and option.help.endswith((".", "'")), option.help
    assert "default" not in option.help.lower(), "say it in show_default, where help puts all of them"
    if option.default is None and not option.required:
        assert isinstance(option.show_default, str)


@pytest.mark.parametrize("flag", SAME_EVERYWHERE)
def test_a_flag_means_the_same_in_every_command(flag):
    uses = [option for _, option in OPTIONS if flag in option.opts]
    assert uses
    assert len({option.help for option in uses}) == 1


def test_help_begins_with_what_a_newcomer_needs():
    names = list(get_command(app).commands)
    assert names[0] == "locate" and names.index("locate") < names.index("report") < names.index("evaluate")


def test_out_is_a_folder_and_file_is_a_file():
    for name, option in OPTIONS:
        if "--out" in option.opts and option.default is not None:
            assert Path(option.default).suffix == "", name
        if "--file" in option.opts:
            assert Path(str(option.default or option.show_default)).suffix, name


def test_weights_are_named_by_their_network():
    assert [name for name, option in OPTIONS if "--weights" in option.opts] == []
    for name, option in OPTIONS:
        if option.help and "safetensors" in option.help:
            assert option.opts[0] in ("--segmenter", "--classifier", "--regressor", "--refiner"), name


def test_short_flags_stand_for_one_flag():
    meaning = {}
    for _, option in OPTIONS:
        for short in (flag for flag in flags(option) if not flag.startswith("--")):
            meaning.setdefault(short, set()).update(flag for flag in flags(option) if flag.startswith("--"))
    assert meaning["-o"] == {"--out"} and meaning["-a"] == {"--array"}
    assert {short: flags for short, flags in meaning.items() if len(flags) > 1} == {}


def test_no_switch_has_a_second_name():
    """A column of --no-... would leave the help 17 characters wide on a screen of 80."""
    assert [name for name, option in OPTIONS if option.secondary_opts] == []
