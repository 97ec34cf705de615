"""Building HTML and SVG so that no text can become markup.

Decides how text and attributes are escaped. What a page says and how it looks is left to `report`, `figures` and
`stylesheet`.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from typing import TypeAlias

_VOID = frozenset({"meta", "br", "line", "rect", "circle", "path", "use", "hr", "wbr"})
_SVG_LEAVES = frozenset({"line", "rect", "circle", "path", "use"})

# Control characters have no place in a page; directional overrides let a name rewrite the text around it.
_UNWANTED = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufffe\uffff\ud800-\udfff]"
)


class Markup(str):
    """Text that is finished, escaped HTML. Only this module makes it from plain text."""

    __slots__ = ()


Child: TypeAlias = "str | Markup | None"
Attribute: TypeAlias = "str | int | float | None"


def escape(text: str) -> Markup:
    """Return `text` as HTML that shows exactly that text; characters that could disturb it become U+FFFD."""
    if isinstance(text, Markup):
        return text
    return Markup(html.escape(_UNWANTED.sub("\ufffd", text), quote=True))


def join(children: Iterable[Child]) -> Markup:
    """Return the children one after the other, plain text escaped, None left out."""
    return Markup("".join(escape(child) for child in children if child is not None))


def element(tag: str, *children: Child, **attributes: Attribute) -> Markup:
    """Return one element.

    Attribute names are written as Python names: a trailing underscore is dropped (`class_`), other underscores
    become hyphens (`aria_label`). An attribute that is None is left out.
    """
    opening = tag + "".join(
        f' {_attribute_name(name)}="{escape(_attribute_text(value))}"'
        for name, value in attributes.items()
        if value is not None
    )
    if tag in _VOID and not children:
        return Markup(f"<{opening}/>" if tag in _SVG_LEAVES else f"<{opening}>")
    return Markup(f"<{opening}>{join(children)}</{tag}>")


def raw_style(css: str) -> Markup:
    """Return a style element; `css` is a constant of this package, never text from outside."""
    if "</" in css:
        raise ValueError("a style sheet cannot contain the start of a closing tag")
    return Markup(f"<style>{css}</style>")


def _attribute_name(name: str) -> str:
    return name.removesuffix("_").replace("_", "-")


def _attribute_text(value: Attribute) -> str:
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    return str(value)
