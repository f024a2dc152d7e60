"""The page of all commands, made from the commands."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from whalefinder.cli import app

KINDS = {Path: "path", str: "text", int: "whole number", float: "number", bool: "flag"}


def commands() -> Iterator[tuple[str, Any]]:
    """Every command with its full name, in the order of `--help`."""

    def below(name: str, command: Any) -> Iterator[tuple[str, Any]]:
        if not hasattr(command, "commands"):
            yield name, command
        for child, inner in getattr(command, "commands", {}).items():
            yield from below(f"{name} {child}", inner)

    return below("whalefinder", typer.main.get_command(app))


def cell(text: object) -> str:
    """Text for a cell of a table."""
    return " ".join(str(text).split()).replace("|", "\\|").replace("<", "&lt;")


def default(parameter: Any) -> str:
    """The default of an option or argument as text."""
    if parameter.required:
        return "required"
    if isinstance(parameter.show_default, str):
        return cell(parameter.show_default)
    value = parameter.default
    if parameter.secondary_opts:
        value = (parameter.opts if value else parameter.secondary_opts)[0]
    elif value is None or value is False or value == [] or value == ():
        return "–"
    return ", ".join(f"`{v}`" for v in value) if isinstance(value, list | tuple) else f"`{value}`"


def values(command: Any, parameter: Any) -> str:
    """The values that can be given, as text: the kind of value with its range."""
    hints = typing.get_type_hints(command.callback)
    kinds = [kind for kind in _inside(hints[parameter.name]) if kind is not type(None)]
    kind = ", ".join(f"`{choice}`" for choice in kinds) if isinstance(kinds[0], str) else KINDS[kinds[0]]
    low, high = getattr(parameter, "min", None), getattr(parameter, "max", None)
    if low is not None:
        kind += f", {low} to {high}" if high is not None else f", at least {low}"
    return kind


def _inside(annotation: Any) -> list[Any]:
    arguments = typing.get_args(annotation)
    return [kind for inner in arguments for kind in _inside(inner)] if arguments else [annotation]


def table(command: Any) -> list[str]:
    """The table of options and arguments of a command, as lines of Markdown."""
    rows = []
    for parameter in command.params:
        if parameter.hidden or parameter.name == "help":
            continue
        names = [*parameter.opts, *parameter.secondary_opts]
        if parameter.param_type_name == "argument":
            names = [parameter.name.upper() + (" …" if parameter.nargs == -1 else "")]
        name = ", ".join(f"`{n}`" for n in names)
        rows.append(f"| {name} | {values(command, parameter)} | {default(parameter)} | {cell(parameter.help or '')} |")
    return ["| option | value | default | meaning |", "| --- | --- | --- | --- |", *rows, ""] if rows else []


def section(name: str, command: Any) -> list[str]:
    """The section of a command as lines of Markdown: help, examples, options."""
    text, _, examples = (command.help or "").partition("Example")
    lines = [f"## {name}", "", text.strip(), ""]
    if examples:
        shown = (
            re.sub(r" {2,}\((.*)\)$", r"  # \1", line.strip()) for line in examples.partition("\n")[2].splitlines()
        )
        lines += ["```sh", *filter(None, shown), "```", ""]
    return lines + table(command)


def page() -> str:
    """The page as Markdown."""
    lines = ["# Commands", "", "This page is made from the commands when the site is built.", ""]
    lines += ["| command | what it does |", "| --- | --- |"]
    for name, command in commands():
        summary = cell((command.help or "").split("\n\n")[0])
        lines.append(f"| [`{name}`](#{name.replace(' ', '-')}) | {summary} |")
    lines.append("")
    for name, command in commands():
        lines += section(name, command)
    return "\n".join(lines)
