"""``python -m exchange.cli`` is ``shutong``."""

from __future__ import annotations

from exchange.cli import main

if __name__ == "__main__":
    main()
