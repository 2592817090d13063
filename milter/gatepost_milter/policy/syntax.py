"""Owns the syntax tree of a compiled condition, as far as a glance understands it.

The runtime gives a checked expression as a protocol buffer (cel.expr.CheckedExpr of the CEL specification). Only
the fields that are named here are read; what is not understood is ``Unknown``, and stays the runtime's business.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cel_expr_python import cel
from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError


@dataclass(frozen=True, slots=True)
class Unknown:
    """Something that is not understood."""


@dataclass(frozen=True, slots=True)
class Constant:
    """A text, a whole number, or true or false."""

    value: str | int | bool


@dataclass(frozen=True, slots=True)
class Name:
    """A fact, or the variable of a ``Walk``."""

    name: str


@dataclass(frozen=True, slots=True)
class Select:
    """A field of something."""

    operand: Node
    field: str


@dataclass(frozen=True, slots=True)
class Call:
    """A function or operator. A method's own thing comes first: ``a.startsWith(b)`` is a call of two."""

    function: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Items:
    """A list that is written out."""

    elements: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Walk:
    """A walk over a list: ``how`` is filter, exists or all."""

    how: str
    variable: str
    items: Node
    condition: Node


Node = Unknown | Constant | Name | Select | Call | Items | Walk

_UNKNOWN = Unknown()


def read(expression: cel.Expression) -> Node:
    """The tree of a compiled expression; ``Unknown`` if it is nested more deeply than protocol buffers may be."""
    envelope = any_pb2.Any()
    checked = _CHECKED()
    try:
        envelope.ParseFromString(expression.serialize())
        checked.ParseFromString(envelope.value)
    except DecodeError:
        return _UNKNOWN
    return _node(checked.expr)


def _node(expr: Any) -> Node:
    if expr.HasField("const_expr"):
        return _constant(expr.const_expr)
    if expr.HasField("ident_expr"):
        return Name(expr.ident_expr.name)
    if expr.HasField("select_expr"):
        select = expr.select_expr
        return _UNKNOWN if select.test_only else Select(_node(select.operand), select.field)
    if expr.HasField("call_expr"):
        call = expr.call_expr
        own = (call.target,) if call.HasField("target") else ()
        return Call(call.function, tuple(_node(each) for each in (*own, *call.args)))
    if expr.HasField("list_expr"):
        return Items(tuple(_node(each) for each in expr.list_expr.elements))
    if expr.HasField("comprehension_expr"):
        return _walk(expr.comprehension_expr)
    return _UNKNOWN


def _constant(constant: Any) -> Node:
    for field in ("bool_value", "int64_value", "string_value"):
        if constant.HasField(field):
            return Constant(getattr(constant, field))
    return _UNKNOWN


def _walk(walk: Any) -> Node:
    """What the macros ``filter``, ``exists`` and ``all`` became (CEL specification, Macros)."""
    result, start, step = Name(walk.accu_var), _node(walk.accu_init), _node(walk.loop_step)
    if walk.HasField("iter_var2") or _node(walk.result) != result or not isinstance(step, Call):
        return _UNKNOWN
    added = Call("_+_", (result, Items((Name(walk.iter_var),))))
    condition: Node = _UNKNOWN
    match step.function, step.arguments:
        case "_||_", (accumulated, condition) if start == Constant(False) and accumulated == result:
            how = "exists"
        case "_&&_", (accumulated, condition) if start == Constant(True) and accumulated == result:
            how = "all"
        case "_?_:_", (condition, kept, accumulated) if (
            start == Items(()) and kept == added and accumulated == result
        ):
            how = "filter"
        case _:
            return _UNKNOWN
    return Walk(how, walk.iter_var, _node(walk.iter_range), condition)


def _message_class() -> Any:
    """The class of CheckedExpr, with the fields that are read here, by their numbers in the specification."""
    kinds = descriptor_pb2.FieldDescriptorProto
    types = {"bool": kinds.TYPE_BOOL, "int64": kinds.TYPE_INT64, "string": kinds.TYPE_STRING}
    # In this dialect of protocol buffers a field that is not there can be told from one that is empty.
    file = descriptor_pb2.FileDescriptorProto(name="gatepost/syntax.proto", package="syntax", syntax="proto2")
    for name, fields in _FIELDS.items():
        message = file.message_type.add(name=name)
        for field, (number, written) in fields.items():
            kind = written.lstrip("*")  # a star says that there may be many
            made = message.field.add(name=field, number=number)
            made.label = kinds.LABEL_OPTIONAL if kind == written else kinds.LABEL_REPEATED
            made.type = types.get(kind, kinds.TYPE_MESSAGE)
            if kind not in types:
                made.type_name = f".syntax.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("syntax.CheckedExpr"))


_FIELDS: Mapping[str, Mapping[str, tuple[int, str]]] = {
    "CheckedExpr": {"expr": (4, "Expr")},
    "Expr": {
        "const_expr": (3, "Constant"),
        "ident_expr": (4, "Ident"),
        "select_expr": (5, "Select"),
        "call_expr": (6, "Call"),
        "list_expr": (7, "CreateList"),
        "comprehension_expr": (9, "Comprehension"),
    },
    "Constant": {"bool_value": (2, "bool"), "int64_value": (3, "int64"), "string_value": (6, "string")},
    "Ident": {"name": (1, "string")},
    "Select": {"operand": (1, "Expr"), "field": (2, "string"), "test_only": (3, "bool")},
    "Call": {"target": (1, "Expr"), "function": (2, "string"), "args": (3, "*Expr")},
    "CreateList": {"elements": (1, "*Expr")},
    "Comprehension": {
        "iter_var": (1, "string"),
        "iter_range": (2, "Expr"),
        "accu_var": (3, "string"),
        "accu_init": (4, "Expr"),
        "loop_step": (6, "Expr"),
        "result": (7, "Expr"),
        "iter_var2": (8, "string"),
    },
}

_CHECKED = _message_class()
