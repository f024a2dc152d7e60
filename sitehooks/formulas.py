"""Formulas as MathML. Browsers typeset it without a script and without fetching anything."""

from __future__ import annotations

import html
import re
import unicodedata

from latex2mathml.converter import convert

FORMULA = re.compile(r'<(?:span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</(?:span|div)>', re.DOTALL)
STYLED = re.compile(r'<mi mathvariant="(?!normal)([a-z-]+)">(&#x\w+;|\w)</mi>')

SIGNS = {"<mo>&#x0007C;</mo>": '<mo stretchy="false">|</mo>', "<mi>&#x0007E;</mi>": "<mo>∼</mo>"}
"""Corrections of the converter: it makes a bar that grows with its neighbours, and a letter of the sign ∼."""


def styled(letter: str, style: str) -> str:
    """A letter in a style such as bold or script. For browsers it is a separate letter of Unicode."""
    alphabet, size, *_, name = unicodedata.name(letter).split()
    kind = f"{style.upper().replace('BOLD-ITALIC', 'BOLD ITALIC')} {size} {name}"
    assert alphabet in ("LATIN", "GREEK"), letter
    try:
        return unicodedata.lookup(f"MATHEMATICAL {kind}")
    except KeyError:
        return unicodedata.lookup(kind)  # ℂ, ℛ and some others have older names


def mathml(formula: str, display: str) -> str:
    """A LaTeX formula as MathML."""
    made = convert(formula, display=display)
    for wrong, right in SIGNS.items():
        made = made.replace(wrong, right)
    return STYLED.sub(lambda match: f'<mi mathvariant="normal">{styled(html.unescape(match[2]), match[1])}</mi>', made)


def typeset(page: str) -> str:
    """The HTML of a page, in which the formulas marked by arithmatex are replaced by MathML."""

    def one(match: re.Match[str]) -> str:
        return mathml(html.unescape(match[2]).strip(), "block" if match[1] == "[" else "inline")

    return FORMULA.sub(one, page)
