"""The city set up: departments, endpoints, resources, people, machines, applications."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import yaml

from catalog import Department
from exchange.authorisation.application import parse as parse_application
from exchange.demo import receiving
from exchange.demo.fileserver import FileServer
from exchange.demo.fronts import Drop, FrontTable, Service, run_script, take
from exchange.demo.generation import CITY, Generator, Row, later
from exchange.demo.papers import Arrived, arrived, paper
from exchange.demo.processes import ServiceProcess, stop_all
from exchange.demo.programmes import Programmes
from exchange.demo.scheduled import Scheduled
from exchange.engine import RunResult
from exchange.hub import Hub, create_home
from exchange.identity import Actor, current_actor
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
PERMIT, PENALTY = "105001001/0002", "301002001/0001"
PUSHED_EXCHANGE = f"sync-{PERMIT.replace('/', '-')}"
"""The exchange that the housing office's programme brings rows for."""
WRONG = {PERSON: 12, COMPANY: 6, LICENCE: 3, PROJECT: 2, PERMIT: 2}
"""How many of the rows first reported are wrong on purpose, each in one respect."""
RECEIVER = "housing-service"
"""Folder of the housing office's service."""
CORRECTED = 6
"""How many of the wrong people are reported again, put right."""
PUSHED_TO, CALLED_FOR = "服务事项给住建局", "法人信息给医保局"
"""Applications whose rows go by SOAP: pushed to the recipient's service, fetched by the recipient's programme."""
DROPS = {"许可证目录给住建局": "housing-drop", "许可证目录给税务局": "tax-drop"}
"""Applications whose rows arrive as files: with the licences themselves, and without."""
PUSHING = {
    "message": "messageId", "total": "total", "accepted": "accepted", "duplicate": "repeated", "refused": "refusal",
    "operation": "@_operation", "put": "put", "delete": "delete", "rows": 25,
}  # fmt: skip
"""How the housing office's operation takes rows."""


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
        no_server: Why the housing office has no SFTP server; empty: it has one.
        processes: The services that run beside it: two departments' and the hub's door.
        programmes: Two offices' programmes that call the hub.
        scheduled: The Airflow that carries its exchanges out; None: it is done here.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.grants: dict[str, str] = {}
        self.refused: dict[str, list[str]] = {}
        self.no_server = ""
        self.processes: list[ServiceProcess] = []
        self.scheduled: Scheduled | None = None
        self._papers: set[str] = set()
        self._make = Generator()
        self._make_permits = Generator(20170304)
        write_default(home, hub_department=APPROVAL, actors=people(), demo=True)
        self._fronts = home / "fronts"
        self._machines()
        with ExitStack() as opened:
            opened.callback(stop_all, self.processes)
            self._server = self._file_server(opened)
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
            self.programmes = Programmes(self.hub, self._fronts, home / "logs")
            for code, purpose in ((INSURANCE, "读取法人信息"), (HOUSING, "推送施工许可证目录")):
                self.programmes.let_in(code, USERS[code], purpose, by=self.actor("integrator"))
            self.programmes.door = door.address()
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

    def _file_server(self, opened: ExitStack) -> FileServer | None:
        """The housing office's SFTP server, where one can be started here; else its folder is a local one."""
        place = self._fronts / "housing-drop"
        try:
            server = FileServer(self.home)
        except OSError as error:
            self.no_server = str(error)
            place.mkdir()
            return None
        opened.callback(server.stop)
        place.symlink_to(server.drop)
        return server

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
        fronts.joinpath("tax-drop").mkdir()
        self._service = Service(fronts / "development.db", _names("investment_project", "investment_project"))
        self._permits = Service(fronts / "housing-permits.db", _names("licence", "up_lic_data"))
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
        self._known_permits = [_permit(row) for row in self._make_permits.licences(1, 60, HOUSING, wrong=WRONG[PERMIT])]
        self._permits.report(self._known_permits)

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
        self._permits.report(later(row, trust_level="B") for row in self._known_permits[10:13])
        self._permits.report(_permit(row) for row in self._make_permits.licences(61, 4, HOUSING))

    def insured_read(self) -> int:
        """The insurance office's own system reads what is new in its table, and marks it; how many rows were new."""
        return take(self._fronts / "insurance.db", "person", profile("jiangsu"))

    def _put_licences(self, name: str, rows: list[Row]) -> None:
        named = [row | {"certificate_file": f"{Path(name).stem}/{row['certificate_number']}.pdf"} for row in rows]
        papers = {str(row["certificate_file"]): paper(row) for row in named}
        self._papers |= {hashlib.sha256(content).hexdigest() for content in papers.values()}
        self._drop.put(name, named, _names("licence", "up_lic_data"), papers)

    # --- exchanges -----------------------------------------------------------------------------

    @property
    def fetched_exchange(self) -> str:
        """The exchange that the insurance office's programme calls for."""
        return f"share-{self.grants[CALLED_FOR]}"

    def run(self, exchange: str) -> RunResult:
        """Carry an exchange out: at the integrator's word, or at the call of the department's programme whose it is.

        Raises:
            HubError: It was not carried out; says why.
        """
        if exchange == self.fetched_exchange:
            return self.programmes.fetch(USERS[INSURANCE], COMPANY)
        if exchange == PUSHED_EXCHANGE:
            return self.programmes.push(USERS[HOUSING], PERMIT)
        return self.hub.oversight.run(exchange, by=self.actor("integrator"))

    def discrepancies(self, runs: Sequence[RunResult]) -> list[str]:
        """Where what departments sent, or hold by SOAP or in drops, is not what the receipts say, in words."""
        found = self.programmes.discrepancies(runs, f"share-{self.grants[PUSHED_TO]}", self._fronts / RECEIVER)
        dropped = {f"share-{self.grants[title]}": (folder, self._dropped(folder)) for title, folder in DROPS.items()}
        found += [line for _, drop in dropped.values() for each in drop.values() for line in each.wrong]
        for run in runs:
            if run.plan.exchange in dropped:
                folder, drop = dropped[run.plan.exchange]
                got = drop.get(self.programmes.delivery(run), Arrived(0, 0, 0))
                if (got.put, got.gone) != (run.counts["written"] - run.counts["deleted"], run.counts["deleted"]):
                    found.append(f"{folder} 收到 {got.put} 行、删除 {got.gone} 行，与回执 {run.receipt} 不符")
        return found

    def _dropped(self, folder: str) -> dict[str, Arrived]:
        return arrived(self._fronts / folder, self._papers)

    def dropped(self) -> list[tuple[int, int]]:
        """Rows put and documents in each of the recipients' drops, in the order of :data:`DROPS`."""
        found = [self._dropped(folder).values() for folder in DROPS.values()]
        return [(sum(each.put for each in drop), sum(each.documents for each in drop)) for drop in found]

    def received(self, runs: Sequence[RunResult]) -> tuple[int, int, int]:
        """What the housing office's service has: messages, rows taken out, rows held."""
        folder, exchange = self._fronts / RECEIVER, f"share-{self.grants[PUSHED_TO]}"
        mine = [self.programmes.brought(run, folder) for run in runs if run.plan.exchange == exchange]
        return sum(one.messages for one in mine), sum(one.gone for one in mine), receiving.held(folder)

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
            if endpoint["name"] == "housing-drop" and self._server is not None:
                endpoint["options"] = self._server.options()
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
                   "certificate_validate_end", "trust_level", "certificate_file", "update_time"],
            masks={"certificate_holder": {"mask": "clear", "justification": "核对持证主体名称"},
                   "certificate_file": {"mask": "clear", "justification": "免于提交证照原件"}},
        )  # fmt: skip
        self._application(
            "许可证目录给税务局", TAX, LICENCE, "tax-drop", "licence_*.csv", way="file",
            items=["certificate_source_id", "certificate_name", "certificate_validate_end", "update_time"],
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


def _permit(row: Row) -> Row:
    """A construction permit, otherwise made like any licence."""
    number = row["certificate_number"][-5:]
    return row | {
        "certificate_type": "建筑工程施工许可证",
        "certificate_name": "建筑工程施工许可证",
        "certificate_number": f"321202{number}",
        "certificate_holder": f"泰州{row['certificate_holder'].removeprefix('泰州').removesuffix('餐饮店')}建筑公司",
        "issue_dept": "住房和城乡建设局",
    }


def _shape(kind: str, table: str) -> RecordTable:
    return next(each for each in record_class(kind).tables if each.name == table)


def _names(kind: str, table: str) -> list[str]:
    return [item.name for item in _shape(kind, table).items]
