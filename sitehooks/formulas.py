"""Formulas as MathML, which browsers typeset by themselves: no script, nothing to fetch."""

from __future__ import annotations

import html
import re
import unicodedata

from latex2mathml.converter import convert

FORMULA = re.compile(r'<(?:span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</(?:span|div)>', re.DOTALL)
STYLED = re.compile(r'<mi mathvariant="(?!normal)([a-z-]+)">(&#x\w+;|\w)</mi>')

SIGNS = {"<mo>&#x0007C;</mo>": '<mo stretchy="false">|</mo>', "<mi>&#x0007E;</mi>": "<mo>∼</mo>"}
"""What the converter gets wrong: a bar that grows with what stands beside it, and "is distributed as" as a letter."""


def styled(letter: str, style: str) -> str:
    """A letter in a style: browsers know bold, script and the like as letters of their own, not as an attribute."""
    alphabet, size, *_, name = unicodedata.name(letter).split()
    kind = f"{style.upper().replace('BOLD-ITALIC', 'BOLD ITALIC')} {size} {name}"
    assert alphabet in ("LATIN", "GREEK"), letter
    try:
        return unicodedata.lookup(f"MATHEMATICAL {kind}")
    except KeyError:
        return unicodedata.lookup(kind)  # ℂ, ℛ and some others were there before


def mathml(formula: str, display: str) -> str:
    """A formula of LaTeX in MathML."""
    made = convert(formula, display=display)
    for wrong, right in SIGNS.items():
        made = made.replace(wrong, right)
    return STYLED.sub(lambda match: f'<mi mathvariant="normal">{styled(html.unescape(match[2]), match[1])}</mi>', made)


def typeset(page: str) -> str:
    """The HTML of a page with the formulas that arithmatex marked turned into MathML."""

    def one(match: re.Match[str]) -> str:
        return mathml(html.unescape(match[2]).strip(), "block" if match[1] == "[" else "inline")

    return FORMULA.sub(one, page)
