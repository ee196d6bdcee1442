"""The words of the doors for people, through message catalogues (消息目录).

Messages are written in Chinese and stand for themselves. A catalogue ``shutong.mo`` of the user's
language in ``exchange/locale/LANGUAGE/LC_MESSAGES`` takes their place: another language is a file, not code.
"""

from __future__ import annotations

import gettext
from pathlib import Path

DOMAIN = "shutong"
LOCALE = Path(__file__).resolve().parent / "locale"


def catalogue(folder: Path = LOCALE) -> gettext.NullTranslations:
    """The catalogue of the user's language, or one that changes nothing.

    Args:
        folder: Where the catalogues lie; the language is named by ``LANGUAGE``, ``LC_ALL``, ``LC_MESSAGES`` or
            ``LANG``, as for any program.
    """
    return gettext.translation(DOMAIN, folder, fallback=True)


_ = catalogue().gettext
"""The message in the user's language."""
