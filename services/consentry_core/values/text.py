r"""What a text from outside may hold, and how one is shown whose origin nobody knows. Both in this one place.

| where | what happens to what a terminal, a log or a reader's eye would take for something else |
| --- | --- |
| intake (`plain`) | refused: InvalidArgument, with the field's name, the character and its place |
| a gateway's agents (`cleaned`) | replaced by U+FFFD: an agent with an odd name does not stop its feed |
| sinks: terminals and logs (`shown`) | written as an escape, such as `\x1b` or `\u202e`: what was stored before, too |

What is meant: C0 and C1 controls (line feeds among them: every text is one line), the separators of lines and paragraphs, the
marks that turn the direction of writing, everything else that has no shape of its own (zero-width spaces and joiners of words,
soft hyphens, fillers, invisible operators, tags, marks of annotations and byte orders), and what is no character at all (halves
of surrogate pairs, noncharacters). The joiner and the non-joiner, U+200D and U+200C, stay: Persian, Hindi and emoji are written
with them, and so do the selectors of variants.

The list is written out: what Python's tables say of a character changes with its version, and replicas may differ.
"""

import re

from consentry_core.values.errors import InvalidArgument

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

_NONCHARACTERS = "".join(f"{chr(plane << 16 | 0xFFFE)}-{chr(plane << 16 | 0xFFFF)}" for plane in range(1, 17))
_NOT_PLAIN = re.compile(
    "["
    r"\x00-\x1f\x7f-\x9f"  # controls
    r"\u00ad\u034f"  # soft hyphen, grapheme joiner
    r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # directions
    r"\u115f\u1160\u17b4\u17b5\u3164\uffa0"  # fillers: letters without a shape
    r"\u180e\u200b\u2060-\u2065\u206a-\u206f\ufeff"  # without width
    r"\u2028\u2029"  # separators of lines and paragraphs
    r"\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"  # annotations; formats of shorthand and of music
    r"\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff"  # no characters
    r"\U000e0000-\U000e00ff\U000e01f0-\U000e0fff"  # tags
    f"{_NONCHARACTERS}]"
)


def plain(text: str, field: str, longest: int, *, reason: str = "TEXT_TOO_LONG") -> str:
    """A text from outside, checked. InvalidArgument, naming `field`, when it is too long or holds what is not plain."""
    if len(text) > longest:
        raise InvalidArgument(field, f"must have at most {longest} characters; it has {len(text)}", reason=reason)
    if text.isascii() and text.isprintable():  # nearly all of them, without a look at each character
        return text
    found = _NOT_PLAIN.search(text)
    if found is not None:
        raise InvalidArgument(
            field,
            f"must be one line of plain text; character {found.start() + 1} is U+{ord(found[0]):04X}, "
            "a control, a mark of direction or another that cannot be seen",
            reason="TEXT_NOT_PLAIN",
        )
    return text


def is_plain(text: str) -> bool:
    """Whether it holds nothing that `plain` refuses, however long it is."""
    return _NOT_PLAIN.search(text) is None


def cleaned(text: str) -> str:
    """The text with U+FFFD in the place of each character that `plain` would refuse."""
    return _NOT_PLAIN.sub(REPLACEMENT, text)


def shown(text: str) -> str:
    """The text for a terminal or a log: on one line, with escapes for what they would obey or nobody would see."""
    return text if text.isascii() and text.isprintable() else _NOT_PLAIN.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    return ascii(found[0])[1:-1]
