"""The passage of a batch through one run: normalise, check, filter, mask, project, in this order.

What leaves is only what the grant allows. Rows the grant no longer covers but the recipient still
holds leave as deletions, of which nothing but key and version is handed over.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from adapters import DELETE, OPERATION, PUT, REFERENCE
from exchange.authorisation import expression, masks
from exchange.checks import Examined, Finding, examine, key_hashes, reference_states
from exchange.checks.buffers import indices
from exchange.engine.manifest import DOCUMENTS, NUMBER, REFUSED, ROWS
from exchange.engine.references import References
from exchange.plan import Plan
from schemas import arrow_schema
from schemas.documents import Document
from schemas.drop_names import DropNames
from schemas.items import documents

_FALSE = pa.scalar(False, pa.bool_())  # noqa: FBT003 - the value itself
_PUT, _DELETE = pa.scalar(PUT, pa.int8()), pa.scalar(DELETE, pa.int8())


@dataclass(frozen=True)
class Passed:
    """What became of one batch.

    Attributes:
        staged: Rows to hand over: the delivered items after masks, and ``_operation``.
        rows: Where each row that passed the checks came from (manifest schema ``ROWS``).
        refused: Why rows were refused (manifest schema ``REFUSED``).
        contents: The refused rows as their source gave them, each with its number.
        refused_rows: How many rows were refused; ``refused`` may name one for several reasons.
        filtered: Rows that passed the checks and lie outside the grant.
        kept: Rows that passed the checks with a state: what they refer to is not registered (manifest schema
            ``REFUSED``).
        documents: Files that go with the rows to hand over (manifest schema ``DOCUMENTS``).
    """

    staged: pa.RecordBatch
    rows: pa.RecordBatch
    refused: pa.RecordBatch
    contents: pa.RecordBatch
    refused_rows: int
    filtered: int
    kept: pa.RecordBatch
    documents: pa.RecordBatch


class Holder(Protocol):
    """Knows what the recipient holds."""

    def holds(self, keys: pa.RecordBatch) -> pa.BooleanArray:
        """For each business key, whether a row of it is there."""


def delivered_schema(plan: Plan) -> pa.Schema:
    """The schema of what is handed over: the delivered items after masks, and ``_operation``."""
    checked = arrow_schema(plan.items)
    bare = {*plan.key, plan.version}
    fields = []
    for name in plan.deliver:
        field = checked.field(name)
        if name in plan.masks:
            field = masks.masked_field(masks.parse(plan.masks[name]), field)
        # Rows to take away are handed over without their content.
        fields.append(field if name in bare else pa.field(name, field.type, metadata=field.metadata))
    return pa.schema([*fields, pa.field(OPERATION, pa.int8(), nullable=False)])


class Passage:
    """Takes the batches of one run through checks, filter and masks.

    Args:
        plan: The plan carried out.
        zone: Zone of the source's zone-less times.
        mask_key: Key of the grant, for keyed masks.
        hash_key: Key for hashes of business keys in quarantine.
        today: The day checks compare dates with.
        sink: Asked which withdrawn keys it holds; None on a first delivery, when it holds nothing.
        references: What rows may refer to; None: references are not looked at.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        zone: str,
        mask_key: bytes,
        hash_key: bytes,
        today: date,
        sink: Holder | None,
        references: References | None = None,
    ) -> None:
        self._plan = plan
        self._zone = zone
        self._mask_key = mask_key
        self._hash_key = hash_key
        self._today = today
        self._sink = sink
        self._references = references
        self._filter = expression.parse(plan.filter) if plan.filter else None
        self._names = DropNames()
        self._read = 0
        self._staged = 0
        self._masks = {name: masks.parse(mask) for name, mask in plan.masks.items() if name in plan.deliver}
        self.schema = delivered_schema(plan)
        self._masked_schema = pa.schema([self.schema.field(name) for name in plan.deliver])

    def through(self, batch: pa.RecordBatch) -> Passed:
        """Take one batch through."""
        seen, staged, out = self._taken(batch)
        passed = Passed(
            staged=staged,
            rows=self._origins(seen.accepted_rows, seen.accepted.column(REFERENCE), out),
            refused=self._refusals(seen),
            contents=seen.refused.append_column(NUMBER, self._numbers(seen.refused_rows)),
            kept=self._unknown(seen),
            documents=self._documents(staged),
            refused_rows=seen.refused.num_rows,
            filtered=pc.sum(pc.cast(pc.invert(out), pa.int64())).as_py() or 0,
        )
        self._read += batch.num_rows
        self._staged += staged.num_rows
        return passed

    def staged(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The rows of a batch to hand over and nothing else: for single rows, of which no manifest is made."""
        _, staged, _ = self._taken(batch)
        return staged

    def _taken(self, batch: pa.RecordBatch) -> tuple[Examined, pa.RecordBatch, pa.BooleanArray]:
        """What was found, what is handed over, and which of the accepted rows that is."""
        plan = self._plan
        seen = examine(batch, plan.items, key=plan.key, version=plan.version, zone=self._zone, today=self._today)
        if plan.replay is not None and plan.version is None and self._sink is not None:
            seen = self._without_outdated(batch, seen, self._sink)
        accepted = seen.accepted
        put = pc.equal(accepted.column(OPERATION), _PUT)
        granted = put
        if self._filter is not None:
            granted = pc.and_(put, expression.evaluate(self._filter, accepted))
        masked = self._masked(accepted)
        leaving = self._leaving(masked, put, granted)
        out = pc.or_(granted, leaving)
        return seen, self._project(masked.filter(out), granted.filter(out)), out

    def _without_outdated(self, batch: pa.RecordBatch, seen: Examined, sink: Holder) -> Examined:
        """Replayed rows without a version that the target has a row for: nobody can say which of them is newer.

        The hub keeps no keys of what was delivered, so it cannot tell whether that row came before or since.
        """
        held = sink.holds(self._masked(seen.accepted).select(list(self._plan.key)))
        if not pc.any(held).as_py():
            return seen
        reason = "资源没有版本项，目标端已有同一主键的行，无从判断哪个更新"
        late = [Finding(row, None, "outdated", reason) for row in seen.accepted_rows.filter(held).to_pylist()]
        numbers = indices(np.sort(np.concatenate([seen.refused_rows, [finding.row for finding in late]])))
        return Examined(
            seen.accepted.filter(pc.invert(held)),
            batch.take(numbers),
            sorted([*seen.findings, *late], key=lambda finding: finding.row),
            seen.accepted_rows.filter(pc.invert(held)),
            numbers,
        )

    def _masked(self, accepted: pa.RecordBatch) -> pa.RecordBatch:
        columns = []
        for name in self._plan.deliver:
            column = accepted.column(name)
            columns.append(masks.apply(self._masks[name], column, self._mask_key) if name in self._masks else column)
        return pa.record_batch(columns, schema=self._masked_schema)

    def _leaving(self, masked: pa.RecordBatch, put: pa.BooleanArray, granted: pa.BooleanArray) -> pa.BooleanArray:
        """Rows to take away from the recipient: deleted, or no longer covered by the grant."""
        nothing = pa.repeat(_FALSE, masked.num_rows)
        if self._filter is None:
            return nothing if self._never_had else pc.invert(put)
        candidates = pc.invert(granted)
        if self._sink is None or not pc.any(candidates).as_py():
            return nothing
        places = pc.indices_nonzero(candidates)
        held = self._sink.holds(masked.select(list(self._plan.key)).take(places))
        leaving = np.zeros(masked.num_rows, np.bool_)
        leaving[np.asarray(places.filter(held))] = True
        return pa.array(leaving)

    @property
    def _never_had(self) -> bool:
        """What is deleted, the recipient of a first delivery never had: who that was does not concern it.

        Only a journal says of no key both that it is there and that it is gone; of any other capture
        a deletion may follow a row of the same pass. The library itself keeps every deletion.
        """
        plan = self._plan
        return self._sink is None and plan.kind != "synchronisation" and plan.source.capture == "journal"

    def _project(self, rows: pa.RecordBatch, put: pa.BooleanArray) -> pa.RecordBatch:
        whole = pc.all(put).as_py()
        bare = {*self._plan.key, self._plan.version}
        columns = [
            rows.column(name)
            if whole or name in bare
            else pc.if_else(put, rows.column(name), pa.scalar(None, self.schema.field(name).type))
            for name in self._plan.deliver
        ]
        operation = pc.if_else(put, _PUT, _DELETE)
        return pa.record_batch([*columns, operation], schema=self.schema)

    def _origins(self, numbers: pa.Int64Array, references: pa.Array, out: pa.BooleanArray) -> pa.RecordBatch:
        order = pc.subtract(pc.cumulative_sum(pc.cast(out, pa.int64())), 1)
        staged = pc.if_else(out, pc.add(order, self._staged), pa.scalar(None, pa.int64()))
        return pa.record_batch([self._numbers(numbers), staged, references], schema=ROWS)

    def _numbers(self, places: pa.Int64Array) -> pa.Int64Array:
        """Numbers in the order of reading, from 1, of rows of the batch in hand."""
        return pc.add(places, self._read + 1)

    def _refusals(self, seen: Examined) -> pa.RecordBatch:
        refused = seen.refused
        if refused.num_rows == 0:
            return pa.RecordBatch.from_pylist([], schema=REFUSED)
        place = {row: index for index, row in enumerate(seen.refused_rows.to_pylist())}
        findings = [(place[finding.row], finding) for finding in seen.findings]
        return self._told(refused, seen.refused_rows, findings)

    def _documents(self, staged: pa.RecordBatch) -> pa.RecordBatch:
        """The files of staged rows; what lies in the library is told of rows without one too."""
        columns = documents(staged.schema)
        if not columns or not staged.num_rows:
            return pa.RecordBatch.from_pylist([], schema=DOCUMENTS)
        whole = self._plan.kind == "synchronisation"
        texts = {name: staged.column(name).to_pylist() for name in columns}
        rows = list(range(staged.num_rows))
        if not whole:
            rows = [row for row in rows if any(values[row] is not None for values in texts.values())]
        hashes = key_hashes(staged.take(pa.array(rows, pa.int64())), self._plan.key, self._hash_key)
        entries = [
            {
                "staged": self._staged + row,
                "item": name,
                "key_hash": key_hash,
                "document": text,
                "name": None if text is None else self._names.name(Document.of(text).name),
            }
            for row, key_hash in zip(rows, hashes, strict=True)
            for name in columns
            if (text := texts[name][row]) is not None or whole
        ]
        return pa.RecordBatch.from_pylist(entries, schema=DOCUMENTS)

    def _unknown(self, seen: Examined) -> pa.RecordBatch:
        """Accepted rows that refer to something not registered: kept, with a state."""
        accepted = seen.accepted
        if self._references is None:
            return pa.RecordBatch.from_pylist([], schema=REFUSED)
        found = reference_states(accepted, self._plan.items, self._references.known)
        return self._told(accepted, seen.accepted_rows, [(finding.row, finding) for finding in found])

    def _told(
        self, rows: pa.RecordBatch, numbers: pa.Int64Array, findings: list[tuple[int, Finding]]
    ) -> pa.RecordBatch:
        """Findings about rows of a batch, by their place in it."""
        places = pa.array(sorted({place for place, _ in findings}), pa.int64())
        named = rows.take(places)
        about = dict(
            zip(
                places.to_pylist(),
                zip(
                    key_hashes(named, self._plan.key, self._hash_key),
                    named.column(REFERENCE).to_pylist(),
                    numbers.take(places).to_pylist(),
                    strict=True,
                ),
                strict=True,
            )
        )
        entries = []
        for place, finding in findings:
            key_hash, reference, number = about[place]
            entries.append(
                {
                    "number": self._read + number + 1,
                    "item": finding.item,
                    "rule": finding.rule,
                    "reason": finding.reason,
                    "key_hash": key_hash,
                    "reference": reference,
                }
            )
        return pa.RecordBatch.from_pylist(entries, schema=REFUSED)
