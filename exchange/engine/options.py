"""What an endpoint of a kind is registered with (端点选项), so that a form can ask for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from adapters import AdapterError
from adapters.registry import endpoint_type, kinds, secret_fields
from exchange.errors import Unknown

Shape = Literal["text", "whole", "number", "choice", "secret", "path"]
_OF_A_PROCESS = "memory"
"""What lies in one process's memory is nowhere for another one."""


@dataclass(frozen=True)
class OptionField:
    """One option of a kind of endpoint.

    Attributes:
        name: As it is registered.
        shape: What is written there; a secret is a reference.
        required: It must be written.
        default: What holds where it is not written, as text.
        choices: What may be written; empty: anything of its shape.
    """

    name: str
    shape: Shape
    required: bool
    default: str
    choices: tuple[str, ...] = ()

    def read(self, text: str) -> Any:
        """A text as the option's value; what is no number stays the text, which the registration then refuses."""
        try:
            if self.shape == "whole":
                return int(text)
            if self.shape == "number":
                return float(text)
        except ValueError:
            return text
        return text


def endpoint_kinds() -> tuple[str, ...]:
    """Kinds of endpoints that departments register."""
    return tuple(kind for kind in kinds() if kind != _OF_A_PROCESS)


def option_fields(kind: str) -> tuple[OptionField, ...]:
    """The options of a kind, in their order.

    Raises:
        Unknown: There is no such kind.
    """
    try:
        fields = endpoint_type(kind).options_type.model_fields
        secrets = secret_fields(kind)
    except AdapterError as error:
        raise Unknown(error.message, remedy=error.remedy) from error
    return tuple(_field(field.alias or name, field, secrets) for name, field in fields.items())


def _field(name: str, field: FieldInfo, secrets: frozenset[str]) -> OptionField:
    whole = field.annotation
    types = [whole, *get_args(whole)]
    choices = next((get_args(each) for each in types if get_origin(each) is Literal), ())
    default = "" if field.is_required() or field.default is None else f"{field.default}"
    shape: Shape = "text"
    if name in secrets:
        shape = "secret"
    elif choices:
        shape = "choice"
    else:
        known: dict[str, Shape] = {"int": "whole", "float": "number", "Path": "path"}
        shape = next((known[each.__name__] for each in types if getattr(each, "__name__", "") in known), "text")
    return OptionField(name, shape, field.is_required(), default, tuple(map(str, choices)))
