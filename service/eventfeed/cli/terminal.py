"""Text for terminals: numbers of events; and a text of a server or a file never controls the terminal."""

import json
import unicodedata

# Controls (C0, DEL, C1), and the characters that change the direction or the layout of text (Unicode TR9, TR36).
_CONTROLS = frozenset({"Cc", "Cf", "Zl", "Zp", "Cs"})


def escape_controls(text: str, *, keep: str = "") -> str:
    """Replace each control and format character, but those in `keep`, by its JSON escape."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(each if each in keep else _escape(each) for each in text)


def count_of_events(count: int) -> str:
    """Return a number of events as text."""
    return "1 event" if count == 1 else f"{count} events"


def _escape(character: str) -> str:
    return json.dumps(character)[1:-1] if unicodedata.category(character) in _CONTROLS else character
