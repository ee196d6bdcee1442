"""The city set up: departments, endpoints, resources, people, machines, applications."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import yaml
from sqlalchemy import select

from catalog import Department
from exchange.authorisation.application import parse as parse_application
from exchange.db.tables import ReceiptRow, RunRow
from exchange.demo import caller, receiving
from exchange.demo.fronts import Drop, FrontTable, Service, run_script, take
from exchange.demo.generation import CITY, Generator, Row, later
from exchange.demo.processes import ServiceProcess, environment, stop_all
from exchange.engine import RunResult
from exchange.errors import Failed
from exchange.hub import Hub, create_home
from exchange.identity import Actor, current_actor
from exchange.plan import Plan
from exchange.settings import ActorEntry, Role, load_settings, write_default
from exchange.settings.model import PREFIX
from schemas import RecordTable, profile, record_class

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
WRONG = {PERSON: 12, COMPANY: 6, LICENCE: 3, PROJECT: 2}
"""How many of the rows first reported are wrong on purpose, each in one respect."""
RECEIVER = "housing-service"
"""Folder of the housing office's service."""
CORRECTED = 6
"""How many of the wrong people are reported again, put right."""
CALLER_SECONDS = 120
"""How long the programme of a department may take."""
PUSHED_TO, CALLED_FOR = "服务事项给住建局", "法人信息给医保局"
"""Applications whose rows go by SOAP: pushed to the recipient's service, fetched by the recipient's programme."""
PUSHING = {
    "message": "messageId", "total": "total", "accepted": "accepted", "duplicate": "repeated", "refused": "refusal",
    "operation": "@_operation", "put": "put", "delete": "delete", "rows": 25,
}  # fmt: skip
"""How the housing office's operation takes rows."""


@dataclass(frozen=True)
class Fetched:
    """What the insurance office's programme was given (读取结果), and what it says the receipt for it is."""

    pages: int
    put: int
    gone: int
    receipt: str
    counts: dict[str, int]


def people() -> dict[str, ActorEntry]:
    """Who works in the city, by user name: in each department a clerk and a reviewer, at the centre the rest.

    The insurance office, whose own system reads what it is given, has an integrator too.
    """
    entries = {
        "integrator": ActorEntry(name="集成工程师", department=APPROVAL, roles={Role.INTEGRATOR, Role.SYSTEM}),
        "centre": ActorEntry(name="平台审核员", department=APPROVAL, roles={Role.REVIEWER}),
        "security": ActorEntry(name="安全管理员", department=APPROVAL, roles={Role.SECURITY}),
        "auditor": ActorEntry(name="审计管理员", department=APPROVAL, roles={Role.AUDIT}),
    }
    for code, user in USERS.items():
        entries[user] = ActorEntry(name=f"{NAMES[code]}经办员", department=code, roles={Role.CLERK})
        entries[f"{user}-chief"] = ActorEntry(name=f"{NAMES[code]}审核员", department=code, roles={Role.REVIEWER})
    name = f"{NAMES[INSURANCE]}集成员"
    entries[f"{USERS[INSURANCE]}-tech"] = ActorEntry(name=name, department=INSURANCE, roles={Role.INTEGRATOR})
    return entries


class City:
    """A city with its hub; one object plays all of its people.

    Args:
        home: Home of the hub; there is nothing in it yet.

    Attributes:
        hub: The hub.
        resources: How many resources were registered and published.
        grants: Id of the grant an application led to, by the application's title.
        refused: Reasons an application was refused for, by its title.
        processes: The services that run beside it: two departments' and the hub's door.
        fetched: What the insurance office's programme was given, by run.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.grants: dict[str, str] = {}
        self.refused: dict[str, list[str]] = {}
        self.fetched: dict[str, Fetched] = {}
        self.processes: list[ServiceProcess] = []
        self._make = Generator()
        write_default(home, hub_department=APPROVAL, actors=people(), demo=True)
        self._fronts = home / "fronts"
        self._machines()
        with ExitStack() as opened:
            opened.callback(stop_all, self.processes)
            projects = self._start("发展改革委的服务", "projects", self._fronts / "development.db")
            receiver = self._start("住建局的服务", "receiver", self._fronts / RECEIVER)
            with _settings_of_its_own():
                self._settings = load_settings(home)
                first = Department(code=APPROVAL, name=NAMES[APPROVAL], division=CITY)
                self.hub: Hub = create_home(home, first, by=self.actor("integrator"))
            opened.callback(self.hub.close)
            door = self._start("平台的服务接口", "door", home)
            description = self._description(projects.address(), receiver.address())
            self._describe(description)
            self.resources = len(description["resources"])
            self._let_in()
            self._door = door.address()
            self._opened = opened.pop_all()

    def close(self) -> None:
        """Stop the services and let go of the hub. Repeatable."""
        self._opened.close()

    def demand_running(self) -> None:
        """Raise if a service has ended.

        Raises:
            Failed: It has; names it.
        """
        for process in self.processes:
            process.demand_running()

    def _start(self, name: str, role: str, place: Path) -> ServiceProcess:
        process = ServiceProcess(name, role, place, self.home / "logs" / f"{role}.log")
        self.processes.append(process)
        return process

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
        self._service = Service(fronts / "development.db", _names("investment_project", "investment_project"))
        receiving.establish(fronts / RECEIVER, HOUSING, secrets.token_urlsafe(24))

    def _table(self, place: str, name: str, kind: str, table: str, family: str, **columns: str) -> FrontTable:
        shape = _shape(kind, table)
        chosen = profile(family)
        upper = chosen.identifier_case == "upper"
        named = {item.name: columns.get(item.name, item.name.upper() if upper else item.name) for item in shape.items}
        return FrontTable(self._fronts / f"{place}.db", name, named, shape.key, chosen)

    def report_first(self) -> None:
        """The departments report what they have, a known share of it wrong."""
        make = self._make
        self._known_people = list(make.people(1, 600, wrong=WRONG[PERSON]))
        self._population.report(self._known_people)
        self._known_companies = list(make.companies(1, 240, wrong=WRONG[COMPANY]))
        self._companies.report(self._known_companies)
        self._known_licences = list(make.licences(1, 150, MARKET, wrong=WRONG[LICENCE]))
        self._put_licences("licence_20260105.csv", self._known_licences)
        self._known_projects = list(make.projects(1, 90, wrong=WRONG[PROJECT]))
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
        """A month later: new rows, corrections, removals, repetitions, late lower versions, deletions."""
        make = self._make
        wrong = self._known_people[:CORRECTED]
        # They are told apart by what was wrong, which may be the key itself.
        self._population.delete(wrong)
        right = [later(row) for row in Generator().people(1, CORRECTED)]
        district = dict(zip(make.districts, [*make.districts[1:], make.districts[0]], strict=True))
        moved = [
            later(row, division_code=district[row["division_code"]], address="新迁入路1号")
            for row in self._known_people[100:130]
        ]
        self._population.report([*moved, *right, *make.people(601, 5)])
        renamed = [later(row, corp_name=f"{row['corp_name']}（更名）") for row in self._known_companies[50:58]]
        self._companies.report([*renamed, *self._known_companies[70:80], *make.companies(241, 4)])
        self._put_licences(
            "licence_20260205.csv",
            [
                *(later(row, trust_level="B") for row in self._known_licences[20:24]),
                *make.licences(151, 6, MARKET),
            ],
        )
        self._service.report(later(row, "exchange_time", total_money="12345") for row in self._known_projects[10:13])
        self._service.report(make.projects(91, 2))
        self._items.delete([self._known_items[58], self._known_items[59]])
        self._items.report([{**row, "task_version": 2, "promise_day": 1} for row in self._known_items[:3]])
        advanced = [later(row, promise_date="2026-02-20") for row in self._known_cases[30:40]]
        late = [{**row, "data_version": 0, "handle_user_name": "迟到的经办人"} for row in self._known_cases[60:65]]
        self._cases.report([*advanced, *late])
        self._cases.delete([later(row) for row in self._known_cases[190:194]])
        self._results.report(make.results(self._known_cases[150:160]))

    def insured_read(self) -> int:
        """The insurance office's own system reads what is new in its table, and marks it; how many rows were new."""
        return take(self._fronts / "insurance.db", "person", profile("jiangsu"))

    def _put_licences(self, name: str, rows: list[Row]) -> None:
        self._drop.put(name, rows, _names("licence", "up_lic_data"))

    # --- the programme that calls --------------------------------------------------------------

    def _let_in(self) -> None:
        """The insurance office's programme gets something to sign in with."""
        by = self.actor("insurance-tech")
        issued = self.hub.access.issue(INSURANCE, "token", by=by, purpose="医保局的程序读取法人信息")
        token = self._fronts / "insurance-caller.token"
        token.touch(mode=0o600)
        if issued.secret is not None:
            token.write_text(issued.secret.get_secret_value(), encoding="ascii")

    def called(self, exchange: str) -> bool:
        """Whether an exchange is carried out by the call of a department's programme."""
        return exchange == f"share-{self.grants[CALLED_FOR]}"

    def fetch(self) -> RunResult:
        """The insurance office's programme fetches what is new to it; the run that its call has led to.

        Raises:
            Failed: It was given nothing; says why.
        """
        files_of_it = [self._fronts / "insurance-caller.token", self._fronts / "insurance-caller.db"]
        ended = subprocess.run(
            [sys.executable, "-P", caller.__file__, self._door, COMPANY, *map(str, files_of_it)],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=CALLER_SECONDS,
            env=environment(), start_new_session=True,
        )  # fmt: skip
        if ended.returncode:
            why = ended.stderr.strip().splitlines()[-1:] or [f"退出状态 {ended.returncode}"]
            raise Failed(f"医保局的程序没有读到法人信息：{why[0]}", remedy=f"平台服务接口的记录在 {self.home / 'logs'}")
        told = json.loads(ended.stdout)
        run = told.pop("delivery")
        self.fetched[run] = Fetched(**told)
        return self._result(run)

    def _result(self, name: str) -> RunResult:
        """A run that another process carried out, as its books have it."""
        with self.hub.database.reading() as session:
            run = session.get_one(RunRow, name)
            receipt = session.scalar(select(ReceiptRow.id).where(ReceiptRow.run == name))
            return RunResult(
                id=name,
                plan=Plan.model_validate(run.plan),
                state=run.state,
                counts=dict(run.counts or {}),
                seconds=((run.ended_at or run.started_at) - run.started_at).total_seconds(),
                receipt=receipt,
            )

    def discrepancies(self, runs: Sequence[RunResult]) -> list[str]:
        """Where what arrived by SOAP is not what the receipts say, in words."""
        found = []
        pushed = [run for run in runs if run.plan.exchange == f"share-{self.grants[PUSHED_TO]}"]
        expected = 0
        for run in pushed:
            with self.hub.database.reading() as session:
                delivery = session.get_one(RunRow, run.id).delivery
            brought = receiving.tally(self._fronts / RECEIVER, delivery)
            said = (run.counts["written"] - run.counts["deleted"], run.counts["deleted"])
            if (brought.put, brought.gone) != said:
                found.append(f"住建局的服务收到 {brought.put} 行、删除 {brought.gone} 行，回执 {run.receipt} 为 {said}")
        for run in runs:
            if (got := self.fetched.get(run.id)) is None:
                continue
            said = (run.counts["written"] - run.counts["deleted"], run.counts["deleted"])
            if ((got.put, got.gone), got.receipt, got.counts) != (said, run.receipt, run.counts):
                found.append(f"医保局的程序读到 {got.put} 行、删除 {got.gone} 行，回执 {run.receipt} 为 {said}")
        return found

    # --- registration --------------------------------------------------------------------------

    def _description(self, projects: str, receiver: str) -> dict[str, Any]:
        text = files("exchange.demo").joinpath("city.yaml").read_text(encoding="utf-8")
        filled = Template(text).substitute(projects=projects, receiver=receiver)
        folder = self.home / "configuration"
        folder.mkdir()
        description: dict[str, Any] = yaml.safe_load(filled)
        for endpoint in description["endpoints"]:
            options = endpoint["options"]
            options |= {name: str(self.home / options[name]) for name in options.keys() & {"path", "root"}}
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
            masks={"identity_number": clear, "birth_date": clear, "name": {"mask": "name"}}, family="jiangsu",
        )  # fmt: skip
        self._application(
            "许可证目录给住建局", HOUSING, LICENCE, "housing-drop", "licence_*.csv", way="file",
            items=["certificate_source_id", "certificate_name", "certificate_holder", "issue_dept",
                   "certificate_validate_end", "trust_level", "update_time"],
            masks={"certificate_holder": {"mask": "clear", "justification": "核对持证主体名称"}},
        )  # fmt: skip
        self._application("投资项目给住建局", HOUSING, PROJECT, "housing-front", "project")
        self._application("服务事项给税务局", TAX, ITEM, "tax-front", "service_item")
        pushed = {"endpoint": RECEIVER, "object": "Push", "options": PUSHING}
        self._application(PUSHED_TO, HOUSING, ITEM, RECEIVER, "Push", way="webservice", target=pushed)
        self._application(CALLED_FOR, INSURANCE, COMPANY, "insurance-box", "corporation", way="webservice")
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
        family: str | None = None, **changes: Any,
    ) -> None:  # fmt: skip
        """One application, its answer, and the recipient's table where it is granted.

        Args:
            title: What it is called in what a visitor sees.
            recipient: Who asks.
            code: The resource.
            endpoint: Where the rows are to arrive.
            table: The table or file name there.
            refuse: Why the provider says no; None: it says yes.
            family: Family of front-end tables the recipient's table belongs to.
            changes: What differs from a usual application.
        """
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
            "target": {"endpoint": endpoint, "object": table, "profile": family},
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


@contextmanager
def _settings_of_its_own() -> Iterator[None]:
    """Hide the variables of the environment that would overrule the city's settings.

    They belong to the real hub of whoever looks at the demonstration: its database is not to be written to.
    """
    hidden = {name: value for name, value in os.environ.items() if name.startswith(PREFIX)}
    for name in hidden:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(hidden)


def _shape(kind: str, table: str) -> RecordTable:
    return next(each for each in record_class(kind).tables if each.name == table)


def _names(kind: str, table: str) -> list[str]:
    return [item.name for item in _shape(kind, table).items]
