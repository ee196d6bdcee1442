"""The resource directory (资源目录): who has which data, and in what state of approval it stands."""

from __future__ import annotations

from catalog.comparison import Change, difference, in_words
from catalog.directory import Catalog
from catalog.entries import DemandEntry, Entry, Found, Hit, Outline, Registered, ResponsibilityList, Step
from catalog.errors import CatalogError, Overtaken, Problem, Rejected, SamePerson, UnknownEntry, WrongState
from catalog.facets import Cube, Facets
from catalog.found import Column, from_table, guess
from catalog.model import Contact, Demand, Department, EndpointSpec, Offer, Resource, completed
from catalog.reading import Form
from catalog.sheet import read_sheet, write_sheet
from catalog.workflow import MOVES, PARTS, STATES, Action, Part, State, move

__all__ = [
    "MOVES",
    "PARTS",
    "STATES",
    "Action",
    "Catalog",
    "CatalogError",
    "Change",
    "Column",
    "Contact",
    "Cube",
    "Demand",
    "DemandEntry",
    "Department",
    "EndpointSpec",
    "Entry",
    "Facets",
    "Form",
    "Found",
    "Hit",
    "Offer",
    "Outline",
    "Overtaken",
    "Part",
    "Problem",
    "Registered",
    "Rejected",
    "Resource",
    "ResponsibilityList",
    "SamePerson",
    "State",
    "Step",
    "UnknownEntry",
    "WrongState",
    "completed",
    "difference",
    "from_table",
    "guess",
    "in_words",
    "move",
    "read_sheet",
    "write_sheet",
]
