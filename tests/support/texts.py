"""What texts may hold."""

from consentry_core.values.text import cleaned


def is_plain(text: str) -> bool:
    """Whether it holds nothing that services refuse in a text, however long it is."""
    return cleaned(text) == text
