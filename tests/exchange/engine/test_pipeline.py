from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from exchange.engine.pipeline import DEPTH, Behind, ahead


class Trouble(Exception):
    pass


def test_items_come_in_order_and_only_a_little_ahead() -> None:
    begun: list[int] = []

    def source() -> Iterator[int]:
        for number in range(50):
            begun.append(number)
            yield number

    with ahead(source()) as items:
        for number in range(50):
            assert next(items) == number
            assert len(begun) <= number + DEPTH + 2
        with pytest.raises(StopIteration):
            next(items)


def test_what_goes_wrong_while_reading_is_raised_after_what_was_read() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise Trouble

    with ahead(source()) as items:
        assert next(items) == 1
        with pytest.raises(Trouble):
            next(items)


def test_leaving_ends_the_reading_where_it_stands() -> None:
    ended = threading.Event()

    def source() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            ended.set()

    with pytest.raises(Trouble), ahead(source()) as items:
        next(items)
        raise Trouble
    assert ended.is_set()


def test_a_list_is_read_too() -> None:
    with ahead([1, 2, 3]) as items:
        assert list(items) == [1, 2, 3]


def test_everything_is_written_in_order_when_it_is_finished() -> None:
    written: list[int] = []
    writing: Behind[int] = Behind(written.append)
    for number in range(20):
        writing.put(number)
    writing.finish()
    writing.close()
    assert written == list(range(20))


def test_what_goes_wrong_while_writing_is_raised_at_the_next_hand_over_or_the_end() -> None:
    def write(number: int) -> None:
        if number == 3:
            raise Trouble

    writing: Behind[int] = Behind(write)
    with pytest.raises(Trouble):
        for number in range(100):
            writing.put(number)
    with pytest.raises(Trouble):
        writing.finish()
