"""What a caller gives as inputs, written as the platform reads it.

Arrays and frames are known by what they can do, so that no library is imported here."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Union

from . import _errors
from ._errors import Error

Inputs = Union[Mapping[str, Any], Sequence[Any], Any]
"""Rows (a list of dicts, or of lists in the model's order), columns (a dict of lists or arrays), one row
(a dict of plain values), a numpy array with rows first, or a pandas DataFrame. NaN, None and NA are
missing values. Types beyond the standard library are recognised by their attributes."""

NEXT = "give a list of dict rows, a dict of columns, a numpy array or a pandas DataFrame"


def invocation(inputs: Inputs) -> bytes:
    """A request of MLflow's scoring protocol."""
    form, data = _form(inputs)
    return dumps({form: data})


def inference(inputs: Inputs, metadata: object) -> bytes:
    """A request of the Open Inference Protocol for a model's metadata: a tensor for each of its inputs
    that is given."""
    declared = _declared(metadata)
    form, data = _form(inputs)
    names = [name for name, _, _ in declared]
    if form == "dataframe_records":
        given = {k for row in data for k in row}
        columns = {n: [row.get(n) for row in data] for n in names if n in given}
    elif form == "inputs":
        columns = {n: _list(data[n]) for n in names if n in data}
    elif len(names) == 1:
        columns = {names[0]: data}
    elif all(isinstance(row, (list, tuple)) and len(row) == len(names) for row in data):
        columns = {n: [row[i] for row in data] for i, n in enumerate(names)}
    else:
        raise _bad(f"the rows do not have the {len(names)} values that the model takes")
    if not columns:
        raise _bad("no column of the inputs is one that the model takes")
    tensors = []
    for name, datatype, shape in declared:
        if name in columns:
            have = _shape(columns[name], 1 + len(shape))
            lengths = have if -1 in shape else [*have[:1], *shape]
            tensors.append({"name": name, "shape": lengths, "datatype": datatype, "data": columns[name]})
    return dumps({"inputs": tensors})


def outputs(answer: object) -> dict[str, list[Any]]:
    """The outputs of an answer of the Open Inference Protocol: for each its rows."""
    try:
        tensors = answer["outputs"]  # type: ignore[index]
        return {str(t["name"]): _nested(list(t["data"]), [int(n) for n in t["shape"]]) for t in tensors}
    except (KeyError, TypeError, ValueError, IndexError):
        raise _errors.unknown_answer() from None


def dumps(value: object) -> bytes:
    """JSON, with null for what is missing. Only what JSON cannot say costs a second pass."""
    try:
        return json.dumps(value, allow_nan=False, default=_plain, separators=(",", ":")).encode()
    except (ValueError, TypeError, RecursionError):
        pass
    try:
        return json.dumps(_clean(value), allow_nan=False, separators=(",", ":")).encode()
    except RecursionError:
        raise _bad("the inputs are nested too deeply") from None
    except (ValueError, TypeError):
        raise _bad("the inputs cannot be written as JSON") from None


def _form(inputs: Inputs) -> tuple[str, Any]:
    """The inputs as one of MLflow's forms: dataframe_records, inputs (columns) or instances."""
    if isinstance(inputs, Mapping):
        return _of_dict(inputs)
    if isinstance(inputs, (list, tuple)):
        if inputs and all(isinstance(row, Mapping) for row in inputs):
            return "dataframe_records", inputs
        if any(isinstance(row, Mapping) for row in inputs):
            raise _bad("some of the rows are dicts and others are not")
        return "instances", inputs
    if hasattr(inputs, "columns") and hasattr(inputs, "__getitem__"):
        return _of_frame(inputs)
    if hasattr(inputs, "tolist") and not hasattr(inputs, "index"):
        if not getattr(inputs, "ndim", 0):
            raise _bad("the array has no rows")
        names = getattr(getattr(inputs, "dtype", None), "names", None)
        if names:
            return "inputs", {n: _list(inputs[n]) for n in names}
        return "instances", _list(inputs)
    raise _bad(f"the inputs are of the type {type(inputs).__name__}")


def _of_dict(inputs: Mapping[str, Any]) -> tuple[str, Any]:
    if not inputs:
        raise _bad("the inputs have no columns")
    columns = {name for name, value in inputs.items() if _is_column(value)}
    if not columns:
        return "dataframe_records", [inputs]
    if len(columns) < len(inputs):
        lone = next(name for name in inputs if name not in columns)
        raise _bad(f"{lone!r:.80} is one value where other columns are lists")
    return "inputs", inputs


def _of_frame(frame: Any) -> tuple[str, Any]:
    names = list(frame.columns)
    if not names or len(set(names)) < len(names):
        raise _bad("the frame has two columns of one name" if names else "the frame has no columns")
    columns = {n: _list(frame[n]) for n in names}
    if any(isinstance(n, str) for n in names):
        return "inputs", {str(n): column for n, column in columns.items()}
    return "instances", [list(row) for row in zip(*columns.values())]  # columns that are only numbered


def _is_column(value: Any) -> bool:
    return isinstance(value, (list, tuple)) or hasattr(value, "tolist") and bool(getattr(value, "ndim", 0))


def _list(array: Any) -> list[Any]:
    """The values of an array, as Python's own."""
    if isinstance(array, (list, tuple)):
        return list(array)
    if hasattr(array, "to_list"):  # pandas: dates stay dates
        return list(array.to_list())
    if getattr(getattr(array, "dtype", None), "kind", "?") in "mM":
        raise _bad("numpy's dates have no form in JSON", "convert them: array.astype(str)")
    return list(array.tolist())


def _plain(value: Any) -> Any:
    """A value that JSON does not have, as one that it has."""
    if type(value).__name__ in ("NAType", "NaTType"):  # of pandas
        return None
    if isinstance(value, (datetime.datetime, datetime.date)):
        return value.isoformat()
    if hasattr(value, "tolist") and hasattr(value, "dtype"):
        if getattr(value, "ndim", 0):
            return _list(value)
        if getattr(value.dtype, "kind", "?") not in "mM":
            return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    raise _bad(f"a value is of the type {type(value).__name__}", "convert it to a number, a text or a list")


def _clean(value: Any) -> Any:
    """The same value with null for NaN."""
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, float):
        if math.isinf(value):
            raise _bad("a value is infinite", "send finite numbers, or None for a missing one")
        return None if math.isnan(value) else value
    if isinstance(value, Mapping):
        if not all(isinstance(k, str) for k in value):
            raise _bad("the name of a column is no text", "name columns as the model does")
        return {k: _clean(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(v) for v in value]
    return _clean(_plain(value))


def _declared(metadata: object) -> list[tuple[str, str, list[int]]]:
    """Name, type and shape of one row for each input of a model."""
    try:
        return [(str(m["name"]), str(m["datatype"]), [int(n) for n in m["shape"][1:]]) for m in metadata["inputs"]]  # type: ignore[index]
    except (KeyError, TypeError, ValueError):
        raise _errors.unknown_answer() from None


def _shape(value: Any, depth: int) -> list[int]:
    shape = []
    for _ in range(depth):
        if not isinstance(value, (list, tuple)):
            break
        shape.append(len(value))
        value = value[0] if value else None
    return shape


def _nested(flat: list[Any], shape: Iterable[int]) -> list[Any]:
    """Elements in the order of rows, nested as the shape says."""
    lengths = list(shape)
    if math.prod(lengths) != len(flat) or not lengths:
        raise ValueError
    for n in reversed(lengths[1:]):
        flat = [flat[i : i + n] for i in range(0, len(flat), n)] if n else [[] for _ in range(lengths[0])]
    return flat


def _bad(message: str, next_step: str = NEXT) -> Error:
    return Error(_errors.REQUEST, message, next_step)
