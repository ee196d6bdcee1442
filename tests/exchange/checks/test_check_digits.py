from __future__ import annotations

from datetime import date

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum.cn import ric, uscc
from stdnum.iso7064 import mod_11_10, mod_37_36

from exchange.checks import check_digits
from exchange.checks.check_digits import Verdict
from exchange.errors import Invalid
from tests.exchange.checks.rows import TODAY

IDENTITY = [
    "11010519491231002X",
    "440524188001010014",
    "32120218850101001X",
    "321202188512300223",
    "321283188402290034",
    "321204188606150046",
    "321202189003070153",
]
CREDIT = [
    "91350100M000100Y43",
    "11100000000013338W",
    "11100000MB03271699",
    "113700000045046442",
    "12441500196720244T",
    "91110000600037341L",
    "11321200TE00000104",
    "11321200TE00000291",
    "11321200TE0000037U",
    "12321200TE0000AB6N",
    "51321200TE0000AA8T",
    "91321202MA0TE00A1K",
    "92321202MA0TE00BX8",
]
PROJECT = [
    "2602-411102-04-04-398932",
    "2509-320193-89-01-544060",
    "2603-141124-89-05-346948",
    "2411-130202-89-01-637015",
    "2601-321202-89-01-123459",
    "2512-321200-04-02-007314",
]
LICENCE = [
    "1.2.156.3005.2.11100000000013338W011.11430000006122244L.20230000403.001.U",
    "1.2.156.3005.2.11100000000013338W009.11330105002500287C.2025052201.002.0",
    "1.2.156.3005.2.11100000MB03271699022.340100.000000016.001.9",
    "1.2.156.3005.2.11100000MB0341032Y002.11321200TE0000037U.20260115000001.001.Q",
]
VECTORS = {
    "identity_number": IDENTITY,
    "credit_code": CREDIT,
    "project_code": [*PROJECT, *(code.replace("-", "") for code in PROJECT), "2020-330327-48-01-167360"],
    "licence_identifier": LICENCE,
}


def look(check: str, *values: str | None) -> list[Verdict]:
    return [Verdict(v) for v in check_digits.verdicts(check, pa.array(values, pa.string()), TODAY).tolist()]


@pytest.mark.parametrize("check", VECTORS)
def test_vectors_are_fine_and_so_is_null(check: str) -> None:
    values = VECTORS[check]
    assert look(check, *values, None) == [Verdict.FINE] * (len(values) + 1)
    assert look(check) == []


@pytest.mark.parametrize("check", VECTORS)
def test_a_slice_is_looked_at_where_it_lies(check: str) -> None:
    values = pa.array(["x", None, *VECTORS[check], "y"])
    assert check_digits.verdicts(check, values[2:-1], TODAY).tolist() == [0] * len(VECTORS[check])


@pytest.mark.parametrize("check", VECTORS)
def test_any_single_wrong_character_shows(check: str) -> None:
    alphabet = "0123456789" if check == "project_code" else "0123456789ABCDEFGHJKLMNPQRTUWXY"
    for value in VECTORS[check]:
        if value.startswith("2020-"):
            continue
        start = 15 if check == "licence_identifier" else 0
        wrong = [
            value[:place] + character + value[place + 1 :]
            for place in range(start, len(value))
            if value[place] not in ".-"
            for character in alphabet
            if character != value[place]
        ]
        if check == "project_code":
            # A changed year can turn a new code into an old one, which has no check digit.
            wrong = [code for code in wrong if not ("2015" <= code[:4] <= "2020")]
        assert Verdict.FINE not in look(check, *wrong)


def test_identity_numbers_are_judged_for_one_reason() -> None:
    bodies = {
        "32120218850229001": Verdict.DATE,
        "32120219000229001": Verdict.DATE,
        "32120218851301001": Verdict.DATE,
        "32120218850001001": Verdict.DATE,
        "32120218850100001": Verdict.DATE,
        "32120200000101001": Verdict.DATE,
        "32120220260302001": Verdict.FUTURE,
        "32120220260301001": Verdict.FINE,
        "99999920000229001": Verdict.FINE,
    }
    for body, verdict in bodies.items():
        assert look("identity_number", body + check_digits.identity_number_check(body)) == [verdict], body
    assert look(
        "identity_number",
        "11010519491231002x",
        "1101051949123100２X"[:17],
        "1101051949123100二X",
        "110105491231002",
        "",
        "11010519491231002XX",
        "A1010519491231002X",
        "110105194912310021",
    ) == [
        Verdict.ALPHABET,
        Verdict.SHAPE,
        Verdict.ALPHABET,
        Verdict.SHAPE,
        Verdict.SHAPE,
        Verdict.SHAPE,
        Verdict.ALPHABET,
        Verdict.CHECK_DIGIT,
    ]


def test_credit_codes_have_no_i_o_s_v_z_nor_small_letters() -> None:
    assert look("credit_code", *("91350100" + letter + "000100Y43" for letter in "IOSVZm")) == [Verdict.ALPHABET] * 6
    assert look("credit_code", "91350100M000100Y4", "91350100M000100Y44") == [Verdict.SHAPE, Verdict.CHECK_DIGIT]


def test_a_credit_code_whose_sum_is_a_multiple_of_31_ends_in_0() -> None:
    body = next(
        f"91321202MA{n:07d}" for n in range(1000) if check_digits.credit_code_check(f"91321202MA{n:07d}") == "0"
    )
    assert look("credit_code", body + "0") == [Verdict.FINE]


def test_project_codes_of_both_styles() -> None:
    assert look(
        "project_code",
        "2015-330327-48-01-167360",
        "2020-330327-48-01-16736X",
        "2021-330327-48-01-167360",
        "1917-330327-48-01-167360",
        "2600-330327-48-01-167360",
        "2602-411102-04-04-398933",
        "2602_411102-04-04-398932",
        "2602-411102-04-04-39893",
        "2602411102040439893A",
    ) == [
        Verdict.FINE,
        Verdict.ALPHABET,
        Verdict.DATE,
        Verdict.DATE,
        Verdict.DATE,
        Verdict.CHECK_DIGIT,
        Verdict.SHAPE,
        Verdict.SHAPE,
        Verdict.ALPHABET,
    ]


def test_licence_identifiers_keep_their_structure() -> None:
    fine = LICENCE[2]
    wrong = {
        fine.removeprefix("1.2.156.3005.2."): Verdict.SHAPE,
        fine.replace("3005", "3006"): Verdict.SHAPE,
        fine.replace("022.340100", "02234.0100"): Verdict.SHAPE,
        fine.replace("16.001", "1600.1"): Verdict.SHAPE,
        fine.replace("340100.000000016", "340100000000016"): Verdict.SHAPE,
        fine.replace("340100.000000016", "3401.00.000000016"): Verdict.SHAPE,
        fine.replace("340100.000000016", ".340100000000016"): Verdict.SHAPE,
        fine.replace("340100.000000016", "340100000000016."): Verdict.SHAPE,
        fine.replace("11100000MB", "1110.000MB").replace("340100.000000016", "340100000000016"): Verdict.SHAPE,
        fine.replace(".001.", ".0A1."): Verdict.SHAPE,
        fine.replace("340100", "34010a"): Verdict.ALPHABET,
        fine[:-1] + "A": Verdict.CHECK_DIGIT,
        "": Verdict.SHAPE,
        "." * 60: Verdict.SHAPE,
    }
    for value, verdict in wrong.items():
        assert look("licence_identifier", value) == [verdict], value


digits = st.text("0123456789", min_size=17, max_size=17)
credit_bodies = st.text("0123456789ABCDEFGHJKLMNPQRTUWXY", min_size=17, max_size=17)
dates = st.dates(date(1800, 1, 1), TODAY)


@given(dates, st.text("0123456789", min_size=9, max_size=9), st.sampled_from("0123456789X"))
def test_identity_numbers_agree_with_stdnum(born: date, rest: str, last: str) -> None:
    body = rest[:6] + born.strftime("%Y%m%d").rjust(8, "0") + rest[6:]
    right = str(ric.calc_check_digit(body + "0"))
    assert check_digits.identity_number_check(body) == right
    expected = Verdict.FINE if last == right else Verdict.CHECK_DIGIT
    assert look("identity_number", None, body + last) == [Verdict.FINE, expected]


@given(digits)
def test_birth_dates_agree_with_the_calendar(body: str) -> None:
    try:
        born = date(int(body[6:10]), int(body[10:12]), int(body[12:14]))
        expected = Verdict.FUTURE if born > TODAY else Verdict.FINE
    except ValueError:
        expected = Verdict.DATE
    assert look("identity_number", body + check_digits.identity_number_check(body)) == [expected]


@given(credit_bodies, st.sampled_from("0123456789ABCDEFGHJKLMNPQRTUWXY"))
def test_credit_codes_agree_with_stdnum(body: str, last: str) -> None:
    right = uscc.calc_check_digit(body)
    assert check_digits.credit_code_check(body) == right
    assert look("credit_code", body + last) == [Verdict.FINE if last == right else Verdict.CHECK_DIGIT]


@given(
    st.dates(date(2000, 1, 1), date(2099, 12, 31)), st.text("0123456789", min_size=15, max_size=15), st.integers(0, 9)
)
def test_project_codes_agree_with_stdnum(coded: date, rest: str, last: int) -> None:
    body = coded.strftime("%y%m") + rest
    code = f"{body}{last}"
    expected = Verdict.FINE if mod_11_10.is_valid(code) else Verdict.CHECK_DIGIT
    hyphened = "-".join((code[:4], code[4:10], code[10:12], code[12:14], code[14:]))
    assert look("project_code", code, hyphened) == [expected, expected]
    right = check_digits.project_code_check(hyphened[:-1])
    assert mod_11_10.is_valid(body + right)


capitals = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@given(
    st.text(capitals, min_size=21, max_size=21),
    st.text(capitals, min_size=1, max_size=20),
    st.text(capitals, min_size=1, max_size=30),
    st.text("0123456789", min_size=3, max_size=3),
    st.sampled_from(capitals),
)
def test_licence_identifiers_agree_with_stdnum(kind: str, issuer: str, serial: str, version: str, last: str) -> None:
    body = f"{check_digits.LICENCE_ROOT}{kind}.{issuer}.{serial}.{version}"
    fine = mod_37_36.is_valid(kind + issuer + serial + version + last)
    assert look("licence_identifier", f"{body}.{last}") == [Verdict.FINE if fine else Verdict.CHECK_DIGIT]
    assert look("licence_identifier", f"{body}.{check_digits.licence_check(body)}") == [Verdict.FINE]
    assert check_digits.licence_check(kind + issuer + serial + version) == check_digits.licence_check(body)


def test_scalar_helpers_give_the_last_character_of_every_vector() -> None:
    assert [check_digits.identity_number_check(v[:-1]) for v in IDENTITY] == [v[-1] for v in IDENTITY]
    assert [check_digits.credit_code_check(v[:-1]) for v in CREDIT] == [v[-1] for v in CREDIT]
    assert [check_digits.project_code_check(v[:-1]) for v in PROJECT] == [v[-1] for v in PROJECT]
    assert [check_digits.licence_check(v[:-2]) for v in LICENCE] == [v[-1] for v in LICENCE]


@pytest.mark.parametrize(
    ("helper", "body"),
    [
        (check_digits.identity_number_check, "1101051949123100"),
        (check_digits.identity_number_check, "1101051949123100X"),
        (check_digits.credit_code_check, "91350100I000100Y4"),
        (check_digits.project_code_check, "2602-411102-04-04-3989"),
        (check_digits.licence_check, ""),
        (check_digits.licence_check, "11100000mb"),
    ],
)
def test_scalar_helpers_refuse_what_cannot_carry_a_check(helper: object, body: str) -> None:
    with pytest.raises(Invalid):
        helper(body)  # type: ignore[operator]
