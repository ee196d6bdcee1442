"""How masks hide: pure functions from column to column, vectorised; a missing value stays missing."""

from __future__ import annotations

import hmac
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

_EARLIEST = datetime(1, 1, 1, tzinfo=UTC)
# Of a bare text or number Arrow has to find out the type, which costs more than masking a row does.
_STAR, _BETWEEN = pa.scalar("*", pa.string()), pa.scalar("", pa.string())
_NONE = pa.scalar(0, pa.int32())

# Province, city and district at the front of an address. A segment holds no word of a street or a
# building, so that a residential compound is not taken for a district.
_STREET = "路街道巷弄号村楼幢栋室社组镇乡0-9A-Za-z"
_ADDRESS = (
    r"^\s*(?P<province>[^市区县" + _STREET + r"]{2,7}?(?:省|自治区|特别行政区))?"
    r"(?P<city>[^区县" + _STREET + r"]{1,9}?(?:市|自治州|地区|盟))?"
    r"(?P<district>[^" + _STREET + r"]{1,9}?(?:区|县|市|旗))?"
)
_NO_DISTRICT = "[小校厂院景]区$"

# What is surely the code of an organisation is open: a credit code that is neither a sole trader's
# nor shaped like an identity number.
_CREDIT_CODE = r"^[0-9A-HJ-NPQRTUWXY]{2}\d{6}[0-9A-HJ-NPQRTUWXY]{10}$"
_PERSONAL_CODE = r"^92|^\d{6}(18|19|20)\d{2}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])\d{3}[\dXx]$"


def _stars(array: pa.Array) -> pa.Array:
    return pc.binary_repeat(_STAR, pc.utf8_length(array))


def beginning(array: pa.Array, length: int) -> pa.Array:
    """The first characters."""
    return pc.utf8_slice_codeunits(array, 0, length)


def ends(array: pa.Array, *, first: int, last: int, shortest: int) -> pa.Array:
    """Both ends of a text, stars between; a text too short to hide enough is all stars."""
    length = pc.utf8_length(array)
    hidden = pc.max_element_wise(pc.subtract(length, pa.scalar(first + last, pa.int32())), _NONE, skip_nulls=False)
    parts = [pc.utf8_slice_codeunits(array, 0, first), pc.binary_repeat(_STAR, hidden)]
    if last:
        parts.append(pc.utf8_slice_codeunits(array, -last))
    masked = pc.binary_join_element_wise(*parts, _BETWEEN)
    short = pc.less(length, pa.scalar(shortest, pa.int32()))
    return pc.if_else(short, _stars(array), masked) if pc.any(short).as_py() else masked


def district(array: pa.Array) -> pa.Array:
    """Province, city and district of an address; stars where neither province nor city is recognised."""
    parts = pc.extract_regex(array, pattern=_ADDRESS)
    above = pc.binary_join_element_wise(pc.struct_field(parts, "province"), pc.struct_field(parts, "city"), _BETWEEN)
    district = pc.struct_field(parts, "district")
    district = pc.if_else(pc.match_substring_regex(district, _NO_DISTRICT), _BETWEEN, district)
    known = pc.fill_null(pc.greater(pc.utf8_length(above), _NONE), fill_value=False)
    hidden = pc.utf8_slice_codeunits(_stars(array), 0, 3)
    return pc.if_else(known, pc.binary_join_element_wise(above, district, _BETWEEN), hidden)


def credit_code(array: pa.Array) -> pa.Array:
    """Codes of organisations as they are; a sole trader's, a person's and anything else by its ends."""
    organisation = pc.and_not(
        pc.match_substring_regex(array, _CREDIT_CODE), pc.match_substring_regex(array, _PERSONAL_CODE)
    )
    return pc.if_else(organisation, array, ends(array, first=6, last=4, shortest=15))


def period(array: pa.Array, unit: str) -> pa.Array:
    """The first day of the year or month."""
    if not pa.types.is_timestamp(array.type):
        return pc.floor_temporal(array, 1, unit)
    zone = "Asia/Shanghai"
    local = pc.local_timestamp(pc.cast(array, pa.timestamp("us", tz=zone)))
    # A month may begin in a gap of daylight saving time: June 1940 did.
    first = pc.assume_timezone(pc.floor_temporal(local, 1, unit), zone, ambiguous="earliest", nonexistent="latest")
    first, earliest = pc.cast(first, array.type), pa.scalar(_EARLIEST, array.type)
    return pc.if_else(pc.less(first, earliest), earliest, first)


def keyed(array: pa.Array, key: bytes, digest: str) -> pa.Array:
    """The keyed digest of each value, in hex.

    Raises:
        ValueError: The key is too short to hide anything.
    """
    if len(key) < 16:
        raise ValueError("a keyed digest needs a key of at least 16 bytes")
    # Each distinct value is digested once.
    encoded = array.dictionary_encode()
    digests = [hmac.digest(key, each, digest).hex() for each in _canonical(encoded.dictionary).to_pylist()]
    return pa.array(digests, pa.string()).take(encoded.indices)


def _canonical(values: pa.Array) -> pa.Array:
    """One form of each value in bytes, whatever its type."""
    if pa.types.is_binary(values.type):
        return values
    if pa.types.is_timestamp(values.type):
        values = pc.cast(values, pa.int64())
    return pc.cast(pc.cast(values, pa.string()), pa.binary())
