"""Where a worker's campaigns come from: a fixed list of sets, or the registry, polled.

A poll asks one number; only a new number is read and compiled. A worker that cannot read stops advancing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from schemas.errors import UsageError
from schemas.plans import PlanSet, decode_plan_set, encode_plan_set
from transforms.engine import Timeline
from transforms.registry.ports import Registry

POLL_S = 2.0
"""How old a worker's reading of the registry may be."""


class PlanSource(Protocol):
    """What a worker asks for the campaigns in force; picklable."""

    def timeline(self) -> Timeline:
        """The sets, not older than two polls.

        Raises:
          RegistryUnavailableError: they cannot be read now.
        """
        ...


class FixedPlans:
    """Sets that do not change while the job runs: a folder's, or a backtest's."""

    def __init__(self, plan_sets: tuple[PlanSet, ...]) -> None:
        self._raw = tuple(encode_plan_set(plan_set) for plan_set in plan_sets)
        self._timeline: Timeline | None = None

    def __getstate__(self) -> dict[str, object]:
        return {"_raw": self._raw, "_timeline": None}

    def timeline(self) -> Timeline:
        if self._timeline is None:
            self._timeline = Timeline([decode_plan_set(raw) for raw in self._raw])
        return self._timeline


class PolledPlans:
    """The registry's sets, asked again when the last answer is POLL_S old."""

    def __init__(self, connect: Callable[[], Registry], clock_s: Callable[[], float] = time.monotonic) -> None:
        self._connect, self._clock_s = connect, clock_s
        self._registry: Registry | None = None
        self._timeline: Timeline | None = None
        self._asked_s = 0.0

    def __getstate__(self) -> dict[str, object]:
        return {
            "_connect": self._connect,
            "_clock_s": self._clock_s,
            "_registry": None,
            "_timeline": None,
            "_asked_s": 0.0,
        }

    def timeline(self) -> Timeline:
        now_s = self._clock_s()
        if self._timeline is None or now_s - self._asked_s >= POLL_S:
            self._read()
            self._asked_s = now_s
        assert self._timeline is not None
        return self._timeline

    def _read(self) -> None:
        self._registry = self._registry or self._connect()
        if self._timeline is not None and self._registry.revision() == self._timeline.latest.number:
            return
        sets = self._registry.sets()
        if not sets:
            raise UsageError("no campaigns are published: run `incentives campaign apply` first")
        self._timeline = Timeline(sets)
