from __future__ import annotations

import subprocess
import sys
from typing import get_args

import pytest

from adapters.database.dialects import Dialect, Product, dialect


@pytest.mark.parametrize("product", get_args(Product))
def test_every_product_has_its_dialect(product: Product) -> None:
    made = dialect(product)
    assert isinstance(made, Dialect)
    assert made.product == product
    assert made.script_dialect().name == product


def test_a_driver_is_loaded_with_its_product_only() -> None:
    code = (
        "import sys; from adapters.database import DatabaseEndpoint; from adapters.database.dialects import dialect;"
        "dialect('sqlite'); print({'psycopg', 'pymysql'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
