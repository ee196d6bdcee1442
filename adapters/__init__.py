"""Adapters: how data moves. One port, and a kind of endpoint for each of the three ways.

What
    The port (:mod:`adapters.base`), its errors (:mod:`adapters.errors`), the table of kinds
    (:mod:`adapters.registry`) and one package for each kind.
Endpoint
    ``open_endpoint(kind, options, zone)``; a kind's module is loaded then, and no driver before.
Capabilities
    Data on the endpoint; what is not declared is refused as ``Unsupported``.
Failure
    Only the errors named here leave an adapter.
"""

from __future__ import annotations

from adapters.base import (
    DELETE,
    ERROR_CHARACTERS,
    OPERATION,
    PUT,
    REFERENCE,
    Acknowledgement,
    Answers,
    Binding,
    Capabilities,
    Capture,
    Claim,
    Delivery,
    Endpoint,
    FailedRow,
    FoundColumn,
    FoundObject,
    Manifest,
    Notebook,
    Options,
    Outcome,
    Position,
    Probe,
    Proposal,
    Refresh,
    Refreshing,
    RefusedRow,
    Selection,
    Sink,
    Source,
    Way,
)
from adapters.errors import (
    AdapterError,
    Diminished,
    Malformed,
    Misconfigured,
    Overtaken,
    Refused,
    Restored,
    StageLost,
    TooManyRefused,
    Unavailable,
    Unbalanced,
    Unsupported,
)
from adapters.registry import endpoint_type, kinds, open_endpoint, secret_fields
from adapters.structure import Difference, Structure, StructureColumn, differences

__all__ = [
    "DELETE",
    "ERROR_CHARACTERS",
    "OPERATION",
    "PUT",
    "REFERENCE",
    "Acknowledgement",
    "AdapterError",
    "Answers",
    "Binding",
    "Capabilities",
    "Capture",
    "Claim",
    "Delivery",
    "Difference",
    "Diminished",
    "Endpoint",
    "FailedRow",
    "FoundColumn",
    "FoundObject",
    "Malformed",
    "Manifest",
    "Misconfigured",
    "Notebook",
    "Options",
    "Outcome",
    "Overtaken",
    "Position",
    "Probe",
    "Proposal",
    "Refresh",
    "Refreshing",
    "Refused",
    "RefusedRow",
    "Restored",
    "Selection",
    "Sink",
    "Source",
    "StageLost",
    "Structure",
    "StructureColumn",
    "TooManyRefused",
    "Unavailable",
    "Unbalanced",
    "Unsupported",
    "Way",
    "differences",
    "endpoint_type",
    "kinds",
    "open_endpoint",
    "secret_fields",
]
