"""JSON values as the dataclasses that they were made of, checked against their annotations."""

import dataclasses
import math
from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

_WORDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def decode(kind: Any, value: Any, where: str = "") -> Any:
    """Make what an annotation says of a value that ``json.loads`` gave.

    Fields that the dataclass does not have are passed over; every one that it has must be there.

    Args:
        kind: A dataclass, ``str``, ``int``, ``float``, None, ``Literal``, a union of them, a
            ``tuple[X, ...]`` or a ``Mapping[str, X]``.
        value: What stands for it.
        where: Its place in the document, for the message.

    Raises:
        ValueError: It is missing or something else; says where, what was expected and what came.
    """
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _decode_fields(kind, value, where)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        # `in` alone would take true for 1, and stumble over what has no hash.
        if not isinstance(value, str) or value not in arguments:
            raise _unexpected(where, f"one of {', '.join(arguments)}", value)
        return value
    if origin in (Union, UnionType):
        return _decode_union(arguments, value, where)
    if origin is tuple:
        if not isinstance(value, list):
            raise _unexpected(where, "a list", value)
        return tuple(decode(arguments[0], each, f"{where}[{at}]") for at, each in enumerate(value))
    if origin is Mapping:
        _require_object(value, where)
        return {
            decode(str, key, where): decode(arguments[1], each, f"{where}.{key}")
            for key, each in value.items()
        }
    return _decode_scalar(kind, value, where)


def _decode_fields(kind: type, value: Any, where: str) -> Any:
    _require_object(value, where)
    hints = get_type_hints(kind)
    found = {}
    for each in dataclasses.fields(kind):
        at = f"{where}.{each.name}".lstrip(".")
        if each.name not in value:
            raise ValueError(f"{at} is missing")
        found[each.name] = decode(hints[each.name], value[each.name], at)
    return kind(**found)


def _decode_union(kinds: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and NoneType in kinds:
        return None
    wanted = []
    for kind in (kind for kind in kinds if kind is not NoneType):
        try:
            return decode(kind, value, where)
        except ValueError as exc:
            wanted.append(str(exc))
    # Of what may be null there is one kind else, and that knows best what is wrong.
    raise ValueError(wanted[-1])


def _decode_scalar(kind: Any, value: Any, where: str) -> Any:
    # In Python true is 1 as well.
    if isinstance(value, bool) and kind is not bool:
        raise _unexpected(where, _WORDS[kind], value)
    if kind is float:
        try:
            number = float(value) if isinstance(value, int | float) else math.nan
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise _unexpected(where, "a finite number", value)
        return number
    if not isinstance(value, kind):
        raise _unexpected(where, _WORDS[kind], value)
    if isinstance(value, str):
        # Half of a surrogate pair can stand in JSON and in no file.
        value.encode("utf-8")
    return value


def _require_object(value: Any, where: str) -> None:
    if not isinstance(value, dict):
        raise _unexpected(where, "an object", value)


def _unexpected(where: str, expected: str, value: Any) -> ValueError:
    if isinstance(value, str):
        shown = repr(value[:40])
    elif isinstance(value, float) or (isinstance(value, int) and abs(value) < 10**18):
        shown = repr(value)
    else:
        # Of a whole number of thousands of digits Python makes no text.
        shown = {dict: "an object", list: "a list", NoneType: "null"}.get(type(value), "too much")
    return ValueError(f"{where or 'it'}: expected {expected}, got {shown}")
