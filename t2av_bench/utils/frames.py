"""Rows as pandas DataFrames whose columns and types are always the same, also without rows."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pandas import DataFrame


def frame(rows: Iterable[Mapping[str, Any]], columns: Mapping[str, str]) -> "DataFrame":
    """rows: their keys are the columns' names. columns: name -> type, in order.

    ``text``: str, or None where there is none. ``object``: anything. Others are pandas' own: ``float64`` with NaN where
    there is no number, ``Int64`` with NA, ``bool``.
    """
    import pandas as pd

    listed = list(rows)
    return pd.DataFrame({
        name: pd.Series([row[name] for row in listed], dtype="object" if kind == "text" else kind)
        for name, kind in columns.items()
    })  # fmt: skip
