"""Delivering to a service: batches pushed under ids of their own, counted against what it acknowledges.

A service has no transaction and no ledger. Nothing is sent before the commit; from then on the outbox
(:mod:`adapters.webservice.outbox`) says how far it went, and whoever comes next sends the message that is in doubt
again, under the same id. What a service then makes of it decides: taken once where it knows its messages, else at
least once.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa

from adapters.base import OPERATION, REFERENCE, Acknowledgement, Binding, Claim, Delivery, Manifest, Sink
from adapters.errors import (
    AdapterError,
    Malformed,
    Misconfigured,
    Overtaken,
    Restored,
    StageLost,
    Unavailable,
    Unbalanced,
    Unsupported,
)
from adapters.spool import Spool
from adapters.webservice.client import ServiceClient
from adapters.webservice.errors import Faulted
from adapters.webservice.outbox import Entry, Outbox, Stage
from adapters.webservice.pushing import Answer, PushOptions, RowWriter, Written, answer, operations
from adapters.webservice.texts import texts

_LONGEST = 200
_NUMBERS = re.compile(r"[0-9Xx]{6,}")


class WebServiceSink(Sink):
    """One operation of one service.

    Args:
        connect: Loads the contract; asked when something is to be sent, and not before.
        binding: What the items are called there.
        options: How rows are pushed.
        spool: Where staged rows wait.
    """

    def __init__(
        self, connect: Callable[[], ServiceClient], binding: Binding, options: PushOptions, spool: Spool | None
    ) -> None:
        self._connect = connect
        self._binding = binding
        self._options = options
        self._spool = spool

    def begin(self, claim: Claim, schema: pa.Schema) -> Delivery:
        """Start a stage in the hub's spool; what the key staged under lower epochs goes."""
        names = [name for name in schema.names if name not in (OPERATION, REFERENCE)]
        if problems := [f"信息项 {name} 没有挂接到元素" for name in names if name not in self._binding.columns]:
            raise Misconfigured("；".join(problems), remedy="改正挂接")
        delivery = self._delivery(claim)
        delivery.start()
        return delivery

    def resume(self, claim: Claim, schema: pa.Schema) -> Delivery:
        """Take up what was staged under the claim."""
        return self._delivery(claim)

    def settled(self, key: str) -> Acknowledgement | None:
        """What the service acknowledged under a key, if it was everything."""
        entry = self._outbox().entry(key)
        return entry.acknowledgement() if entry is not None and entry.closed else None

    def epoch(self, exchange: str) -> int:
        """The highest epoch that reached a commit."""
        return self._outbox().epoch(exchange)

    def _delivery(self, claim: Claim) -> WebServiceDelivery:
        return WebServiceDelivery(self._connect, self._outbox(), self._binding, self._options, claim)

    def _outbox(self) -> Outbox:
        if self._spool is None:
            raise Unsupported("没有暂存处，不能向 Web 服务推送", remedy="由平台打开端点")
        return Outbox(self._spool)


@dataclass(frozen=True)
class _Letter:
    """One message: its number, the first of its rows among those staged, and the rows."""

    number: int
    first: int
    deletion: bool
    rows: pa.RecordBatch


class WebServiceDelivery(Delivery):
    """Rows in the spool, until they are sent."""

    def __init__(
        self,
        connect: Callable[[], ServiceClient],
        outbox: Outbox,
        binding: Binding,
        options: PushOptions,
        claim: Claim,
    ) -> None:
        self._connect = connect
        self._outbox = outbox
        self._binding = binding
        self._options = options
        self._claim = claim
        self._staged = 0
        self._stage: Stage | None = None

    def start(self) -> None:
        """Remove what was staged before under the key, and begin anew under a name that no other stage has."""
        key, epoch = self._claim.key, self._claim.epoch
        with self._outbox.lock(self._claim.exchange):
            entry = self._outbox.entry(key)
            if entry is not None and not entry.closed and entry.stage.epoch <= epoch:
                self._outbox.withdraw(entry)
            for staged in self._outbox.epochs(key):
                if staged <= epoch:
                    self._outbox.drop(key, staged)
            self._stage = Stage(epoch=epoch, name=secrets.token_hex(4))
            self._outbox.begin(key, self._stage)

    def stage(self, batch: pa.RecordBatch) -> None:
        """Put a batch into the spool; it is on the disk, encrypted, when this returns."""
        if self._stage is None or self._outbox.stage(self._claim.key, self._claim.epoch) != self._stage:
            raise Overtaken("暂存已被更高纪元的任务清除", remedy="由当前持有租约的任务继续")
        if batch.num_rows:
            self._outbox.add(self._claim.key, self._claim.epoch, self._staged, batch)
            self._staged += 1

    def commit(self, manifest: Manifest) -> Acknowledgement:
        """Send what is staged, message by message, from wherever it was left."""
        claim = manifest.claim
        if (claim.key, claim.exchange) != (self._claim.key, self._claim.exchange):
            raise Unbalanced("清单属于另一次交付", remedy="核对交换批次")
        with self._outbox.lock(claim.exchange):
            entry = self._outbox.entry(claim.key)
            if entry is not None and entry.manifest != manifest.digest:
                raise Unbalanced("同一交付键已以另一份清单提交", remedy="核对交换批次，不要重用交付键")
            if entry is not None and entry.closed:
                return entry.acknowledgement()
            self._admit(claim)
            if entry is None:
                entry = self._intended(manifest)
                self._outbox.put(entry)
            elif self._outbox.stage(claim.key, entry.stage.epoch) != entry.stage:
                raise StageLost("暂存的行不在了", remedy="将自动重新读取")
            entry = self._sent(entry)
            self._outbox.drop(claim.key, entry.stage.epoch)
            return entry.acknowledgement()

    def abort(self) -> None:
        """Remove what is staged, and before it the entry that speaks of it if nothing of it was sent."""
        with self._outbox.lock(self._claim.exchange):
            entry = self._outbox.entry(self._claim.key)
            if entry is not None and not entry.closed and entry.stage.epoch <= self._claim.epoch and not entry.begun:
                self._outbox.withdraw(entry)
            self._outbox.drop(self._claim.key, self._claim.epoch)

    def _admit(self, claim: Claim) -> None:
        seen = self._outbox.epoch(claim.exchange)
        if seen > claim.epoch:
            raise Overtaken("推送已见过更高的租约纪元", remedy="由当前持有租约的任务继续")
        if seen < claim.epoch:
            self._outbox.advance(claim.exchange, claim.epoch)

    def _intended(self, manifest: Manifest) -> Entry:
        previous = self._outbox.entry(manifest.previous) if manifest.previous else None
        if manifest.previous is not None and (previous is None or not previous.closed):
            raise Restored("平台的推送记录里没有上一次交付", remedy="确认平台的 spool 目录是否被恢复，再重新交付")
        stage = self._outbox.stage(self._claim.key, self._claim.epoch)
        if stage is None:
            raise StageLost("暂存的行不在了", remedy="将自动重新读取")
        rows = sum(batch.num_rows for batch in self._batches(stage))
        if rows != manifest.rows:
            raise Unbalanced(f"暂存 {rows} 行，清单记 {manifest.rows} 行", remedy="放弃此次暂存，重新读取")
        return Entry(
            key=manifest.claim.key,
            exchange=manifest.claim.exchange,
            epoch=manifest.claim.epoch,
            manifest=manifest.digest,
            head=manifest.head,
            stage=stage,
            place=self._binding.object,
            rows=rows,
            at=datetime.now(UTC),
        )

    # --- sending --------------------------------------------------------------------------------

    def _batches(self, stage: Stage) -> Iterator[pa.RecordBatch]:
        return self._outbox.batches(self._claim.key, stage.epoch)

    def _letters(self, stage: Stage) -> Iterator[_Letter]:
        """What is staged as messages: the same ones, however often it is asked."""
        number, first = 0, 0
        for batch in self._batches(stage):
            for start in range(0, batch.num_rows, self._options.rows):
                rows = batch.slice(start, self._options.rows)
                for deletion, place, length in operations(rows):
                    yield _Letter(number, first + start + place, deletion, rows.slice(place, length))
                    number += 1
            first += batch.num_rows

    def _sent(self, entry: Entry) -> Entry:
        client: ServiceClient | None = None
        writers: dict[bool, RowWriter] = {}
        begun, letters = entry, self._letters(entry.stage)

        def following() -> tuple[_Letter, RowWriter | None, Written | None] | None:
            """The next message, written while the one before is waited for."""
            nonlocal client
            letter = next((each for each in letters if each.number >= begun.sent), None)
            if letter is None:
                return None
            if letter.deletion and self._options.operation is None and self._options.deletion is None:
                return letter, None, None
            client = client or self._connected(begun)
            writer = self._writer(letter, client, writers)
            return letter, writer, writer.written(letter.rows, deletion=letter.deletion)

        with ThreadPoolExecutor(1, "shutong-writing") as ahead:
            try:
                waited = ahead.submit(following)
                while (ready := waited.result()) is not None:
                    waited = ahead.submit(following)
                    letter, writer, written = ready
                    if client is None or writer is None or written is None:
                        told = [
                            (letter.first + row, "deletion", "目标服务没有登记删除的方式")
                            for row in range(letter.rows.num_rows)
                        ]
                        entry = self._noted(entry, letter, 0, told)
                    else:
                        entry = self._letter(entry, letter, client, writer, written)
            finally:
                wait([waited])
                if client is not None:
                    client.close()
        entry = entry.model_copy(update={"closed": True})
        self._outbox.put(entry)
        return entry

    def _connected(self, entry: Entry) -> ServiceClient:
        try:
            return self._connect()
        except Unavailable:
            raise
        except AdapterError as error:
            # Something may have been sent already: then it is waited for.
            if entry.begun:
                raise _held(entry, error) from error
            raise

    def _writer(self, letter: _Letter, client: ServiceClient, writers: dict[bool, RowWriter]) -> RowWriter:
        other = letter.deletion and self._options.deletion is not None
        if other not in writers:
            name = self._options.deletion if other and self._options.deletion else self._binding.object
            writers[other] = RowWriter(client.operation(name), self._binding, self._options)
        return writers[other]

    def _letter(
        self, entry: Entry, letter: _Letter, client: ServiceClient, writer: RowWriter, written: Written
    ) -> Entry:
        """Send one message, and note what became of it before the next."""
        told = [(letter.first + place, rule, reason) for place, rule, reason in written.refused]
        if not written.numbers:
            return self._noted(entry, letter, 0, told)
        doubt = _Doubt(entry.begun > letter.number)
        if not doubt.before:
            entry = entry.model_copy(update={"begun": letter.number + 1})
            self._outbox.put(entry)
        message = f"{entry.key}-{entry.stage.name}-{letter.number:06d}"

        def body() -> Iterator[bytes]:
            doubt.attempts += 1
            return writer.body(message, written.rows)

        try:
            reply = client.push(writer.operation, body, chunked=self._options.chunked)
            said = answer(reply, self._options)
            if said.repeated and not doubt:
                raise self._mixed_up(entry, letter)
            self._demand(said, len(written.numbers), letter.number)
        except Faulted as error:
            if not entry.sent and not doubt:
                self._outbox.put(entry.model_copy(update={"begun": 0}))
                raise
            # Something was delivered already: what is said of the rest must stand in the receipt.
            told += [(letter.first + place, "refused", error.message) for place in written.numbers]
            return self._noted(entry, letter, 0, told)
        except (Unbalanced, Unavailable):
            raise
        except AdapterError as error:
            if not entry.sent and not doubt and not isinstance(error, Malformed):
                self._outbox.put(entry.model_copy(update={"begun": 0}))
                raise
            raise _held(entry, error) from error
        refused = dict(said.refused)
        for place, reason in refused.items():
            number = written.numbers[place]
            told.append((letter.first + number, "target", self._reason(reason, letter.rows.slice(number, 1))))
        return self._noted(entry, letter, len(written.numbers) - len(refused), told)

    def _mixed_up(self, entry: Entry, letter: _Letter) -> Unbalanced:
        """A message that was never sent is said to have come before: its counts are about another one."""
        # Nor is the next try to be believed.
        self._outbox.put(entry.model_copy(update={"begun": letter.number}))
        return Unbalanced(
            f"对方说第 {letter.number + 1} 批以前来过，而它从未发出过",
            remedy="请接收方核对消息编号是否被截短或混淆；可用挂接选项 message_length 缩短编号",
        )

    def _demand(self, said: Answer, sent: int, number: int) -> None:
        """What was acknowledged must be what was sent.

        Raises:
            Faulted: It says that it took nothing.
            Malformed: It cannot be read.
            Unbalanced: It is not.
        """
        where = f"第 {number + 1} 批"
        if said.unreadable:
            raise Malformed(f"{where}的应答{said.unreadable}", remedy="核对挂接选项，或由接收方改正")
        if said.fine is False and not said.refused:
            raise Faulted(f"{where}的应答说没有成功（{self._options.success}）", remedy="请接收方查明原因")
        places = [place for place, _ in said.refused]
        if len(set(places)) != len(places) or any(not 0 <= place < sent for place in places):
            raise Unbalanced(f"{where}的应答列出了没有发送的拒收行", remedy="核对 refused_first，或由接收方改正")
        counts = {said.taken: sent - len(places), said.received: sent}
        for told, expected in counts.items():
            if told is not None and told != expected and not (said.repeated and told == 0):
                raise Unbalanced(
                    f"{where}发出 {sent} 行，对方确认 {told} 行，应为 {expected} 行",
                    remedy="请接收方核对，确认后重新交付",
                )

    def _reason(self, reason: str, row: pa.RecordBatch) -> str:
        """Why the service refused a row, without what the row says."""
        for name in row.schema.names:
            if name != OPERATION and (value := texts(row.column(name))[0].as_py()) and len(value) > 1:
                reason = reason.replace(value, "…")
        return f"对方拒收：{_NUMBERS.sub('…', reason)[:_LONGEST] or '没有说明原因'}"

    def _noted(self, entry: Entry, letter: _Letter, taken: int, told: list[tuple[int, str, str]]) -> Entry:
        entry = entry.model_copy(
            update={
                "sent": letter.number + 1,
                "begun": max(entry.begun, letter.number + 1),
                "written": entry.written + taken,
                "deleted": entry.deleted + (taken if letter.deletion else 0),
                "refused": (*entry.refused, *sorted(told)),
            }
        )
        self._outbox.put(entry)
        return entry


@dataclass
class _Doubt:
    """Whether a message may have arrived already."""

    before: bool
    attempts: int = 0

    def __bool__(self) -> bool:
        return self.before or self.attempts > 1


def _held(entry: Entry, error: AdapterError) -> Unavailable:
    """The delivery stands half-way: it waits for a person, and is not given up."""
    return Unavailable(f"已送达 {entry.sent} 批，其余未送：{error.message}", remedy=error.remedy or "改正后再次执行")
