"""Plain data as YAML that PyYAML, ruamel and JavaScript's readers all read as the same.

Strings that any of them could take for something else are written in double quotes, with line
ends as escapes: no line of the text can then look like the end of a card's front matter.
"""

from __future__ import annotations

import re
from typing import Any

from evalkit.core import Json

__all__ = ["block", "flow"]

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*(?: [A-Za-z0-9(][A-Za-z0-9_./()-]*)*")
_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "y", "n", "null", "nan", "inf"})


def block(value: Json, indent: int = 0) -> str:
    """`value` in block style, every line indented by `indent` blanks, with a final line end."""
    lines = _dump(value, flow_style=False).split("\n")[:-1]
    return "".join(f"{' ' * indent}{line}\n" for line in lines)


def flow(value: Json) -> str:
    """`value` in flow style, on one line without its end."""
    return _dump(value, flow_style=True).rstrip("\n")


def _dump(value: Json, *, flow_style: bool) -> str:
    import yaml

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    Dumper.add_representer(str, _string)
    text: str = yaml.dump(
        value,
        Dumper=Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=10**9,
        default_flow_style=flow_style,
    )
    return text


def _string(dumper: Any, text: str) -> Any:
    plain = _PLAIN.fullmatch(text) is not None and text.lower() not in _WORDS
    style = None if plain else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)
