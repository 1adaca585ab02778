"""Programs for HiGHS, linear and mixed-integer: how they are written down, and how it is asked.

It runs on one thread with a fixed seed, so that the same program always has the same answer. Never use it in a process
that serves orders.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import highspy
import numpy as np

INFINITE: float = highspy.kHighsInf
#: The presolve of HiGHS 1.15 calls some integer programs infeasible that have an answer.
_OPTIONS: dict[str, bool | float | str] = {"output_flag": False, "threads": 1, "random_seed": 0, "presolve": "off"}


class Unsolved(Exception):
    """HiGHS found no optimum; its own words say why. Asked again, it would say the same."""


def solver(**options: bool | float | str) -> Any:
    """HiGHS with these options beside ours; an integer program that was presolved may have an answer all the same."""
    highs = highspy.Highs()  # type: ignore[no-untyped-call]
    for name, value in (_OPTIONS | options).items():
        highs.setOptionValue(name, value)
    return highs


def solve(highs: Any) -> None:
    """Have the solver find the optimum of what it was passed.

    Raises:
        Unsolved: it gave up.
    """
    highs.run()
    status = highs.getModelStatus()
    if status != highspy.HighsModelStatus.kOptimal:
        raise Unsolved(highs.modelStatusToString(status))


class Program:
    """Rows and columns in any sequence, each with what it has in those that are there already."""

    def __init__(self) -> None:
        self._rows: list[tuple[float, float]] = []
        self._columns: list[tuple[float, float, float]] = []
        self._at: list[tuple[int, int]] = []
        self._values: list[float] = []

    def row(self, least: float, most: float, entries: Iterable[tuple[int, float]] = ()) -> int:
        """A row between these bounds, with (column, value) entries; returns its place."""
        place = len(self._rows)
        self._rows.append((least, most))
        for column, value in entries:
            self._at.append((column, place))
            self._values.append(value)
        return place

    def column(
        self, cost: float, entries: Iterable[tuple[int, float]] = (), *, least: float = 0.0, most: float = INFINITE
    ) -> int:
        """A column between these bounds, with (row, value) entries; returns its place."""
        place = len(self._columns)
        self._columns.append((cost, least, most))
        for row, value in entries:
            self._at.append((place, row))
            self._values.append(value)
        return place

    def passed(self, highs: Any, *, whole: bool = False) -> Any:
        """The solver with this program; ``whole`` columns take whole numbers only."""
        model = highspy.HighsLp()
        model.num_col_, model.num_row_ = len(self._columns), len(self._rows)
        columns = np.array(self._columns, dtype=np.float64).reshape(-1, 3)
        rows = np.array(self._rows, dtype=np.float64).reshape(-1, 2)
        model.col_cost_, model.col_lower_, model.col_upper_ = columns.T
        model.row_lower_, model.row_upper_ = rows.T
        if whole:
            model.integrality_ = [highspy.HighsVarType.kInteger] * len(columns)
        at = np.array(self._at, dtype=np.int64).reshape(-1, 2)
        order = np.lexsort((at[:, 1], at[:, 0]))
        counts = np.bincount(at[:, 0], minlength=len(columns))
        model.a_matrix_.format_ = highspy.MatrixFormat.kColwise
        model.a_matrix_.start_ = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
        model.a_matrix_.index_ = at[order, 1].astype(np.int32)
        model.a_matrix_.value_ = np.array(self._values, dtype=np.float64)[order]
        highs.passModel(model)
        return highs
