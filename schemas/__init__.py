"""What the data is: the six classes, code lists and front-end profiles, as data with a loader.

Everything a province, a standard or a class decides stands in the YAML files beside this module;
a further class, code list or profile is a file, not code.
"""

from __future__ import annotations

from schemas.errors import SchemaError
from schemas.items import GRADES, ITEM_TYPES, Item, arrow_schema, arrow_type
from schemas.loader import (
    code_list,
    code_lists,
    profile,
    profiles,
    record_class,
    record_classes,
    use_folders,
)
from schemas.model import CodeList, DeleteMark, Profile, RecordClass, RecordTable, StateColumn

__all__ = [
    "GRADES",
    "ITEM_TYPES",
    "CodeList",
    "DeleteMark",
    "Item",
    "Profile",
    "RecordClass",
    "RecordTable",
    "SchemaError",
    "StateColumn",
    "arrow_schema",
    "arrow_type",
    "code_list",
    "code_lists",
    "profile",
    "profiles",
    "record_class",
    "record_classes",
    "use_folders",
]
