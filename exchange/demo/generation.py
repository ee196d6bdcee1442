"""Made-up people, companies and cases with right check digits, and a known share of wrong ones.

Nobody here exists: people are born in the 1800s, as in the standard's own sample numbers, and bodies
carry organisation codes that are not assigned. The same seed makes the same city.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

from exchange.checks import credit_code_check, identity_number_check, licence_check, project_code_check
from schemas.divisions import children

Row = dict[str, Any]

CITY = "321200"
START = datetime(2026, 1, 5, 9, 0, 0)  # noqa: DTZ001 - a front-end table's times have no zone
SURNAMES = "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗"
GIVEN = "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超霞平刚桂英华建国文辉玉兰"
RARE = ("𠮷", "䶮", "𡒉", "㛃", "𫖯", "堃")
"""Characters outside the common set, three of them from supplementary planes."""


class Generator:
    """Makes the rows of one city.

    Args:
        seed: The same seed makes the same city.
    """

    def __init__(self, seed: int = 20170303) -> None:
        self._random = random.Random(seed)  # noqa: S311 - made-up data, nothing secret
        # 321201 (市辖区) gathers the city's own districts and is no place anybody lives in.
        self.districts = [division.code for division in children(CITY) if division.name != "市辖区"]

    # --- values --------------------------------------------------------------------------------

    def name(self, number: int) -> str:
        """A person's name; every eighth has a rare character in it, given or family name in turn."""
        given = self._random.choice(GIVEN) + self._random.choice(GIVEN)
        family = self._random.choice(SURNAMES)
        rare = self._rare(number)
        if not rare:
            return family + given
        return family + rare + given[0] if number % 16 else rare + given

    def _rare(self, number: int) -> str:
        return self._random.choice(RARE) if number % 8 == 0 else ""

    def identity_number(self, number: int, district: str) -> str:
        """The identity number of the nth person, registered in a district."""
        born = date(1850, 1, 1) + timedelta(days=number * 13 % 16000)
        first = f"{district}{born:%Y%m%d}{number % 1000:03d}"
        return first + identity_number_check(first)

    def credit_code(self, number: int, district: str) -> str:
        """The credit code of the nth company, registered in a district."""
        body = f"MA0T{number:04d}"
        first = f"91{district}{body}{_organisation_check(body)}"
        return first + credit_code_check(first)

    def project_code(self, number: int, district: str) -> str:
        """The code of the nth investment project, in the form in force since 2021."""
        digits = f"2601{district}8901{number:05d}"
        return f"2601-{district}-89-01-{number:05d}{project_code_check(digits)}"

    def licence(self, number: int, issuer: str) -> str:
        """The identifier of the nth electronic licence of an issuer."""
        kind, serial = "11100000000013338W009", f"2026{number:08d}"
        check = licence_check(kind + issuer + serial + "001")
        return f"1.2.156.3005.2.{kind}.{issuer}.{serial}.001.{check}"

    # --- rows ----------------------------------------------------------------------------------

    def people(self, first: int, count: int, *, wrong: int = 0) -> Iterator[Row]:
        """People of the population register; the first ``wrong`` of them break one rule each."""
        for number in range(first, first + count):
            district = self._random.choice(self.districts)
            code = self.identity_number(number, district)
            row: Row = {
                "identity_number": code,
                "name": self.name(number),
                "sex": "1" if int(code[16]) % 2 else "2",
                "birth_date": f"{code[6:10]}-{code[10:12]}-{code[12:14]}",
                "division_code": district,
                "address": f"{number % 30 + 1}号路{number}号",
                "marital_state": self._random.choice(("10", "20", "30")),
                "update_time": _stamp(number),
            }
            if number - first < wrong:
                row |= (
                    {"identity_number": _other_last(code)},
                    {"name": None},
                    {"sex": "7"},
                    {"birth_date": "1899-02-30"},
                )[number % 4]
            yield row

    def companies(self, first: int, count: int, *, wrong: int = 0) -> Iterator[Row]:
        """Companies of the register of legal persons; the first ``wrong`` have a wrong credit code."""
        for number in range(first, first + count):
            code = self.credit_code(number, self._random.choice(self.districts))
            yield {
                "certificate_sno": _other_last(code) if number - first < wrong else code,
                "certificate_key": f"{number:032x}",
                "corp_name": f"泰州{self._rare(number)}{number}号商贸有限公司",
                "corp_type": "1100",
                "corp_status": "1",
                "legal_name": self.name(number),
                "data_version": 1,
                "update_time": _stamp(number),
            }

    def licences(self, first: int, count: int, issuer: str, *, wrong: int = 0) -> Iterator[Row]:
        """Entries of the directory of electronic licences; the first ``wrong`` have a wrong check character."""
        for number in range(first, first + count):
            code = self.licence(number, issuer)
            yield {
                "certificate_source_id": _other_last(code) if number - first < wrong else code,
                "certificate_type": "食品经营许可证",
                "certificate_type_code": "11100000000013338W009",
                "certificate_name": "食品经营许可证",
                "certificate_number": f"JY132120200{number:05d}",
                "certificate_holder": f"泰州{self._rare(number)}{number}号餐饮店",
                "certificate_holder_code": self.credit_code(number, self.districts[0]),
                "certificate_area_code": self.districts[number % len(self.districts)],
                "issue_dept": "市场监督管理局",
                "issue_dept_code": issuer,
                "issue_date": "2026-01-05",
                "certificate_validate_start": "2026-01-05",
                "certificate_validate_end": "2031年1月4日",
                "trust_level": "A",
                "update_time": _stamp(number),
            }

    def projects(self, first: int, count: int, *, wrong: int = 0) -> Iterator[Row]:
        """Investment projects; the first ``wrong`` have a wrong project code."""
        for number in range(first, first + count):
            district = self.districts[number % len(self.districts)]
            code = self.project_code(number, district)
            yield {
                "project_code": _other_last(code) if number - first < wrong else code,
                "project_name": f"{number}号{self._rare(number)}产业园建设项目",
                "division_code": district,
                "project_type": ("A00001", "a00002", "A00003")[number % 3],
                "project_nature": str(number % 5),
                "start_year": "202603",
                "total_money": f"{number % 90 + 10}00",
                "place_code": district,
                "place_code_detail": f"工业大道{number}号",
                "industry": "C2710",
                "the_industry": "医药制造",
                "scale_content": f"新建厂房{number}平方米",
                "apply_date": _stamp(number),
                "validity_flag": "1",
                "exchange_time": _stamp(number),
            }

    def service_items(self, first: int, count: int, body: str) -> Iterator[Row]:
        """Service items of an implementing body."""
        for number in range(first, first + count):
            catalog_code = f"0001{number:08d}"
            yield {
                "task_guid": f"{number:032x}",
                "catalog_code": catalog_code,
                "task_code": f"{body}3{catalog_code}",
                "task_name": f"第{number}类经营许可",
                "task_type": "01",
                "task_state": "1",
                "task_version": 1,
                "use_level": "3",
                "power_source": "1",
                "dept_name": "行政审批局",
                "dept_code": body,
                "dept_type": "1",
                "server_type": "2",
                "project_type": "2",
                "by_law": "《中华人民共和国行政许可法》",
                "accept_condition": "材料齐全、符合法定形式",
                "handle_flow": "受理、审查、决定、送达",
                "anticipate_day": 20,
                "anticipate_type": "1",
                "promise_day": number % 10 + 1,
                "promise_type": 1,
                "promise_explain": "自受理之日起",
                "special_procedure": "无",
                "is_fee": "0",
                "limit_scene_num": 1,
                "transact_addr": "政务服务中心二楼",
                "transact_time": "工作日 9:00-17:00",
                "link_way": "0523-00000000",
                "supervise_way": "12345",
                "is_single_login": "1",
                "app_is_single_login": "1",
            }

    def cases(self, first: int, count: int, item: Row) -> Iterator[Row]:
        """Accepted cases of a service item."""
        for number in range(first, first + count):
            yield {
                "project_no": f"2026{number:08d}",
                "catalog_code": item["catalog_code"],
                "task_code": item["task_code"],
                "task_name": item["task_name"],
                "task_version": 1,
                "project_type": "2",
                "apply_type": "2",
                "applyer_type": "1",
                "applyer_name": self.name(number),
                "applyer_page_type": "111",
                "applyer_page_code": self.identity_number(number, self.districts[0]),
                "apply_date": _stamp(number),
                "accept_date": _stamp(number + 60),
                "org_name": "行政审批局",
                "org_code": item["dept_code"],
                "data_version": 1,
                "update_time": _stamp(number),
            }

    def steps(self, cases: list[Row]) -> Iterator[Row]:
        """Two steps of each case."""
        for case in cases:
            for step, name in enumerate(("审查", "决定"), 1):
                yield {
                    "project_no": case["project_no"],
                    "row_guid": f"{case['project_no']}-{step}",
                    "process_name": name,
                    "event_name": str(step),
                    "handle_user_name": "经办人",
                    "handle_explain": "同意",
                    "event_start_time": case["accept_date"],
                    "event_end_time": case["accept_date"],
                    "data_version": 1,
                    "update_time": case["update_time"],
                }

    def results(self, cases: list[Row]) -> Iterator[Row]:
        """The result of each case."""
        for case in cases:
            yield {
                "project_no": case["project_no"],
                "result_type": "1",
                "result_date": case["accept_date"],
                "is_delivery_results": "0",
                "data_version": 1,
                "update_time": case["update_time"],
            }


def later(row: Row, stamp: str = "update_time", **changes: Any) -> Row:
    """The row as its department reports it again, a month later.

    Args:
        row: As it was reported.
        stamp: The item that says when.
        changes: What is new in it.
    """
    moment = datetime.fromisoformat(row[stamp]) + timedelta(days=30)
    version = {"data_version": row["data_version"] + 1} if "data_version" in row else {}
    return {**row, **version, stamp: moment.isoformat(sep=" "), **changes}


def _stamp(number: int) -> str:
    return (START + timedelta(minutes=number)).isoformat(sep=" ")


def _other_last(code: str) -> str:
    """The code with a wrong last character."""
    return code[:-1] + ("1" if code[-1] != "1" else "2")


def _organisation_check(body: str) -> str:
    """Check character of an organisation code (GB 11714)."""
    total = sum(int(letter, 36) * weight for letter, weight in zip(body, (3, 7, 9, 10, 5, 8, 4, 2), strict=True))
    return "0123456789X"[(11 - total % 11) % 11]
