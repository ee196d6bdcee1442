from __future__ import annotations

import hashlib
import io
import os
from itertools import islice

import pytest

from adapters.files.transports.base import CHUNK
from adapters.files.transports.hashing import HashedFile

CONTENT = os.urandom(3 * CHUNK + 99)
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.mark.parametrize("starts", [[0], [7], [0, 0], [0, CHUNK + 5], [2 * CHUNK, 3], [len(CONTENT)]])
def test_however_it_is_read_each_byte_is_hashed_once(starts: list[int]) -> None:
    file = HashedFile(io.BytesIO(CONTENT))
    assert file.size == len(CONTENT)
    for start in starts[:-1]:
        list(islice(file.pieces(start), 2))
    assert b"".join(file.pieces(starts[-1])) == CONTENT[starts[-1] :]
    assert file.hexdigest() == DIGEST
