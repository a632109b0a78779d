"""What the name of a file says, by a pattern with fields in braces: "{camera}/{track}/{frame}"."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping


class NamePattern:
    """A pattern of the ends of paths, with "/" between folders and without the file's suffix.

    A field takes as much as it can, the first one first; ``{}`` is anything without "/". All else
    stands for itself.

    Args:
        pattern: such as "{video}/{person}_{frame}".
        fields: regular expression of each field that there can be, by its name.

    Attributes:
        found: names of the fields that are in the pattern.

    Raises:
        ValueError: it is no such pattern; the message says why, without a full stop.
    """

    def __init__(self, pattern: str, fields: Mapping[str, str]) -> None:
        names = [f"{{{name}}}" for name in fields]
        known = {**fields, "": r"[^/]*"}
        expression, seen, after_field = "", set(), False
        for text, field, form, conversion in string.Formatter().parse(pattern):
            expression += re.escape(text)
            if field is None:  # text behind the last field
                continue
            if field not in known or form or conversion or field in seen:
                raise ValueError(
                    f"fields are {', '.join(names[:-1])} and {names[-1]}, each at most once, and"
                    " {} for anything else"
                )
            if after_field and not text:
                raise ValueError("nothing between two fields says where one ends and one begins")
            seen |= {field} - {""}
            expression += f"(?P<{field}>{known[field]})" if field else known[field]
            after_field = True
        self.found = frozenset(seen)
        self._expression = re.compile(f"(.*/)?{expression}", re.DOTALL | re.ASCII)

    def match(self, name: str) -> tuple[str, dict[str, str]] | None:
        """The folders in front of the pattern ("" or with "/" at the end) and the text of each
        field; None where a path, without its suffix, is named in another way."""
        match = self._expression.fullmatch(name)
        return (match[1] or "", match.groupdict()) if match else None
