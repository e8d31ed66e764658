"""Says English texts in other languages, by the catalogues in ``edgeface/locale``."""

import gettext
from functools import cache
from pathlib import Path

LANGUAGES = ("en", "de", "es", "fr", "nl")
FOLDER = Path(__file__).parents[1] / "locale"
MARKS = {"de": ".,", "es": ".,", "fr": "\u202f,", "nl": ".,"}
"""Gives the separators of thousands and of decimals, of languages that differ from English in them."""


class Translation:
    """A language: the English text is the key of each text. ``{name}`` in a text stands for the field ``name``."""

    def __init__(self, language: str) -> None:
        self.language = language
        self.catalogue = gettext.translation("edgeface", FOLDER, [language], fallback=language == "en")
        self._marks = str.maketrans(",.", MARKS.get(language, ",."))

    def say(self, text: str, /, **fields: object) -> str:
        told = self.catalogue.gettext(text)
        return told.format_map(fields) if fields else told

    def say_count(self, one: str, many: str, count: float, /, **fields: object) -> str:
        """Say a text in the plural form for ``count``, which is a field of it; a fraction takes that of two."""
        whole = int(count) if count == int(count) else 2
        return self.catalogue.ngettext(one, many, whole).format_map({"count": self.number(count)} | fields)

    def number(self, value: float, digits: int | None = None) -> str:
        """Return a number as the language writes it, with so many decimals, else with those that it has."""
        plain = f"{value:,}" if isinstance(value, int) else f"{value:,.6g}" if digits is None else f"{value:,.{digits}f}"
        return plain.translate(self._marks)


@cache
def translation(language: str) -> Translation:
    return Translation(language)


ENGLISH = translation("en")
