"""The city set up: departments, endpoints, resources, people, machines, applications."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import yaml

from catalog import Department
from exchange.authorisation.application import parse as parse_application
from exchange.demo.fronts import Drop, FrontTable, Service, run_script
from exchange.demo.generation import Generator, Row, later
from exchange.hub import Hub, create_home
from exchange.identity import Actor, current_actor
from exchange.service import RunningServer, serve
from exchange.settings import ActorEntry, Role, load_settings, write_default
from schemas import profile, record_class

APPROVAL = "11321200TE00000104"
POLICE = "11321200TE00000291"
MARKET = "11321200TE0000037U"
DEVELOPMENT = "11321200TE0000053H"
TAX = "11321200TE0000061C"
INSURANCE = "11321200TE000007X4"
HOUSING = "11321200TE00000884"
NAMES = {
    APPROVAL: "行政审批局",
    POLICE: "公安局",
    MARKET: "市场监管局",
    DEVELOPMENT: "发展改革委",
    TAX: "税务局",
    INSURANCE: "医保局",
    HOUSING: "住建局",
}
USERS = {APPROVAL: "approval", POLICE: "police", MARKET: "market", DEVELOPMENT: "development", TAX: "tax"} | {
    INSURANCE: "insurance",
    HOUSING: "housing",
}
PERSON, COMPANY, LICENCE, PROJECT = "101001001/0001", "102001001/0001", "105001001/0001", "201003001/0001"
ITEM, CASE, STEP, RESULT = "201001001/0001", "201001002/0001", "201001002/0002", "201001002/0003"
PENALTY = "301002001/0001"


def people() -> dict[str, ActorEntry]:
    """Who works in the city, by user name: in each department a clerk and a reviewer, at the centre the rest."""
    entries = {
        "integrator": ActorEntry(name="集成工程师", department=APPROVAL, roles={Role.INTEGRATOR, Role.SYSTEM}),
        "centre": ActorEntry(name="平台审核员", department=APPROVAL, roles={Role.REVIEWER}),
        "security": ActorEntry(name="安全管理员", department=APPROVAL, roles={Role.SECURITY}),
        "auditor": ActorEntry(name="审计管理员", department=APPROVAL, roles={Role.AUDIT}),
    }
    for code, user in USERS.items():
        entries[user] = ActorEntry(name=f"{NAMES[code]}经办员", department=code, roles={Role.CLERK})
        entries[f"{user}-chief"] = ActorEntry(name=f"{NAMES[code]}审核员", department=code, roles={Role.REVIEWER})
    return entries


class City:
    """A city with its hub; one object plays all of its people.

    Args:
        home: Home of the hub, not yet there.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self._make = Generator()
        write_default(home, hub_department=APPROVAL, actors=people(), demo=True)
        self._fronts = home / "fronts"
        self._machines()
        self.server: RunningServer = serve(self._service.app)
        description = self._description()
        first = Department.model_validate(description["departments"][0])
        self._settings = load_settings(home)
        self.hub: Hub = create_home(home, first, by=self.actor("integrator"))
        self.grants: dict[str, str] = {}
        self.refused: dict[str, list[str]] = {}
        self._describe(description)

    def close(self) -> None:
        """Stop the service and let go of the hub."""
        self.server.stop()
        self.hub.close()

    def actor(self, user: str) -> Actor:
        """One of the city's people."""
        return current_actor(self._settings, user)

    # --- what the departments have -------------------------------------------------------------

    def _machines(self) -> None:
        fronts = self._fronts
        self._population = self._table("police", "inf_population", "natural_person", "population", "jiangsu")
        self._companies = self._table(
            "market", "EX_GDBS_FR", "legal_person", "up_uc_corporator_identity", "guangdong", data_version="VERSION"
        )
        self._items = self._table(
            "approval",
            "up_task_general_basic",
            "service_item",
            "up_task_general_basic",
            "national",
            task_guid="row_guid",
        )
        shandong = {"data_version": "DATAVER"}
        self._cases = self._table("approval", "EA_JC_STEP_BASICINFO", "case", "up_pro_accept", "shandong", **shandong)
        self._steps = self._table("approval", "EA_JC_STEP_PROC", "case", "up_pro_process", "shandong", **shandong)
        self._results = self._table("approval", "EA_JC_STEP_DONE", "case", "up_pro_result", "shandong", **shandong)
        self._drop = Drop(fronts / "market-drop")
        fronts.joinpath("housing-drop").mkdir()
        self._service = Service("Projects", [item.name for item in _table_of("investment_project").items])

    def _table(self, place: str, name: str, kind: str, table: str, family: str, **columns: str) -> FrontTable:
        shape = _table_of(table, kind)
        chosen = profile(family)
        upper = chosen.identifier_case == "upper"
        named = {item.name: columns.get(item.name, item.name.upper() if upper else item.name) for item in shape.items}
        return FrontTable(self._fronts / f"{place}.db", name, named, shape.key, chosen)

    def report_first(self) -> None:
        """The departments report what they have, a known share of it wrong."""
        make = self._make
        self._known_people = list(make.people(1, 600, wrong=12))
        self._population.report(self._known_people)
        self._known_companies = list(make.companies(1, 240, wrong=6))
        self._companies.report(self._known_companies)
        self._known_licences = list(make.licences(1, 150, MARKET, wrong=3))
        self._put_licences("licence_20260105.csv", self._known_licences)
        self._known_projects = list(make.projects(1, 90, wrong=2))
        self._service.report(self._known_projects)
        self._known_items = list(make.service_items(1, 60, APPROVAL))
        self._items.report(self._known_items)
        self._known_cases = list(make.cases(1, 200, self._known_items[0]))
        for case in self._known_cases[-3:]:
            # Cases of an item nobody has registered: kept, with a state.
            case["task_code"] = f"{APPROVAL}3000199999999"
        self._cases.report(self._known_cases)
        self._steps.report(make.steps(self._known_cases))
        self._results.report(make.results(self._known_cases[:150]))

    def report_changes(self) -> None:
        """A month later: new rows, corrections, late lower versions, deletions."""
        make = self._make
        moved = [later(row, address="新迁入路1号") for row in self._known_people[100:115]]
        corrected = [later(row) for row in list(Generator().people(1, 600))[:6]]
        self._population.report([*moved, *corrected, *make.people(601, 5)])
        renamed = [later(row, corp_name=f"{row['corp_name']}（更名）") for row in self._known_companies[50:58]]
        self._companies.report([*renamed, *make.companies(241, 4)])
        self._put_licences(
            "licence_20260205.csv",
            [
                *(later(row, certificate_status="4") for row in self._known_licences[20:24]),
                *make.licences(151, 6, MARKET),
            ],
        )
        self._service.report([later_project(row) for row in self._known_projects[10:13]])
        self._service.report(make.projects(91, 2))
        self._items.delete([self._known_items[58], self._known_items[59]])
        self._items.report([{**row, "task_version": 2, "promise_day": 1} for row in self._known_items[:3]])
        advanced = [later(row) for row in self._known_cases[30:40]]
        late = [{**row, "data_version": 0} for row in self._known_cases[60:65]]
        self._cases.report([*advanced, *late])
        self._cases.delete([later(row) for row in self._known_cases[190:194]])
        self._results.report(make.results(self._known_cases[150:160]))

    def _put_licences(self, name: str, rows: list[Row]) -> None:
        self._drop.put(name, rows, [item.name for item in _table_of("up_lic_data").items])

    # --- registration --------------------------------------------------------------------------

    def _description(self) -> dict[str, Any]:
        text = files("exchange.demo").joinpath("city.yaml").read_text(encoding="utf-8")
        filled = Template(text).substitute(home=self.home, soap=self.server.url)
        folder = self.home / "configuration"
        folder.mkdir()
        description: dict[str, Any] = yaml.safe_load(filled)
        for kind, entries in description.items():
            folder.joinpath(f"{kind}.yaml").write_text(
                yaml.safe_dump({kind: entries}, allow_unicode=True, sort_keys=False), encoding="utf-8"
            )
        return description

    def _describe(self, description: dict[str, Any]) -> None:
        """The integrator describes the parties and their endpoints; clerks register, two others approve."""
        folder = self.home / "configuration"
        self.hub.configuration.apply(
            [folder / "departments.yaml", folder / "endpoints.yaml"], by=self.actor("integrator")
        )
        for resource in description["resources"]:
            user, code = USERS[resource["provider_code"]], resource["code"]
            registration = self.hub.registration
            registration.register(resource, by=self.actor(user))
            registration.move(code, "submit_registration", by=self.actor(user))
            registration.move(code, "agree_registration", by=self.actor(f"{user}-chief"))
            registration.move(code, "submit_publication", by=self.actor(user))
            registration.move(code, "agree_publication", by=self.actor("centre"))

    # --- applications --------------------------------------------------------------------------

    def apply_all(self) -> None:
        """What the departments ask of each other, and the answers."""
        self._application("法人信息给税务局", TAX, COMPANY, "tax-front", "corporation", way="database")
        clear = {"mask": "clear", "justification": "按公民身份号码核验参保身份"}
        self._application(
            "人口信息给医保局", INSURANCE, PERSON, "insurance-front", "person",
            items=["identity_number", "name", "birth_date", "division_code", "update_time"],
            filter={"item": "division_code", "in": ["321202", "321203"]},
            masks={"identity_number": clear, "birth_date": clear, "name": {"mask": "name"}},
        )  # fmt: skip
        self._application(
            "许可证目录给住建局", HOUSING, LICENCE, "housing-drop", "licence_*.csv", way="file",
            items=["certificate_source_id", "certificate_name", "issue_dept", "certificate_validate_end", "trust_level",
                   "update_time"],
        )  # fmt: skip
        self._application("投资项目给住建局", HOUSING, PROJECT, "housing-front", "project")
        self._application("服务事项给税务局", TAX, ITEM, "tax-front", "service_item")
        self._application(
            "办件结果给税务局", TAX, RESULT, "tax-front", "case_result",
            items=["project_no", "result_type", "result_date", "data_version"],
        )  # fmt: skip
        self._application(
            "全量人口信息给住建局", HOUSING, PERSON, "housing-front", "person",
            refuse=["申请范围为全市人口，超出所述场景（房屋征收）所需", "请改为申请所涉地块的登记人口"],
        )  # fmt: skip
        self._application("治安处罚记录给税务局", TAX, PENALTY, "tax-front", "penalty", items=["case_no"])

    def _application(
        self, title: str, recipient: str, code: str, endpoint: str, table: str, *, refuse: list[str] | None = None,
        **changes: Any,
    ) -> None:  # fmt: skip
        """One application, its answer, and the recipient's table where it is granted."""
        hub, user = self.hub, USERS[recipient]
        with hub.database.reading() as session:
            resource = hub.catalog.resource(session, code, published=True).resource
        names = changes.pop("items", [item.name for item in resource.items if item.grade == "none"])
        written = {
            "resource": code,
            "department": recipient,
            "basis": "部门三定方案及有关法律法规",
            "scene": f"{NAMES[recipient]}业务办理",
            "scope": "本部门经办窗口",
            "way": "database",
            "items": list(dict.fromkeys([*resource.key, *names, *filter(None, [resource.version_item])])),
            "until": "2027-06-30",
            "target": {"endpoint": endpoint, "object": table},
            **changes,
        }
        self.home.joinpath("configuration", f"application-{len(self.grants) + len(self.refused) + 1}.json").write_text(
            json.dumps(written, ensure_ascii=False, indent=2), encoding="utf-8"
        )
        name = hub.sharing.apply(parse_application(written), by=self.actor(user))
        answer = hub.sharing.explain(name, by=self.actor(user))
        if not answer.decisions:
            chief = self.actor(f"{USERS[resource.provider_code]}-chief")
            hub.sharing.decide(name, approved=refuse is None, reasons=refuse or ["属依法履职所需，同意"], by=chief)
            answer = hub.sharing.explain(name, by=self.actor(user))
        if answer.grant is None:
            self.refused[title] = [reason for decision in answer.decisions for reason in decision.reasons]
            return
        self.grants[title] = answer.grant
        if endpoint.endswith("-front"):
            script = hub.sharing.prepare(f"share-{answer.grant}")
            run_script(self._fronts / f"{endpoint.removesuffix('-front')}.db", script)


def later_project(row: Row) -> Row:
    """A project as it is reported again: its exchange time is its version."""
    return {**row, "exchange_time": row["exchange_time"].replace("2026-01", "2026-02"), "total_money": "12345"}


def _table_of(name: str, kind: str | None = None) -> Any:
    kinds = [kind] if kind else ["licence", "investment_project"]
    return next(table for one in kinds for table in record_class(one).tables if table.name == name)
