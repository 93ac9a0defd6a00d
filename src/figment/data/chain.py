"""The data room: the chain of steps between source and store, and what it makes of a record.

A step is a file in `data/steps` with `ORDER`, its place in the chain, a `Config`, and either `mend(record, config)`
for one picture or, with `GLOBAL = True`, `select(index, config)` for all of them at once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from types import ModuleType
from typing import Any

from figment.core import plugins
from figment.core.config import from_json, to_json
from figment.core.errors import ConfigError
from figment.core.types import Record, Rejected
from figment.data.index import Index


@dataclass(frozen=True)
class Chain:
    """Names of steps with their settings, in the order in which they run."""

    steps: tuple[tuple[str, Any], ...]

    def mend(self, record: Record) -> Record | Rejected:
        """The record after all steps for one picture; its image is then uint8 (H, W, C)."""
        for name, config in self.steps:
            if not _is_global(name):
                result = _step(name).mend(record, config)
                if isinstance(result, Rejected):
                    return result
                record = result
        return record

    def select(self, index: Index) -> None:
        """Run all steps for the whole dataset. Running them again changes nothing."""
        for name, config in self.steps:
            if _is_global(name):
                # As a list, because a table must not change under a query that is still reading it.
                index.reject(list(_step(name).select(index, config)))

    def single(self) -> Chain:
        """The steps for one picture."""
        return Chain(tuple(pair for pair in self.steps if not _is_global(pair[0])))

    def idle(self) -> dict[str, Callable[[Mapping[str, Any]], str | None]]:
        """Steps that have been given no limit, by the flag that would: the reason why looks would be refused, or None.

        Such a step has `SUGGESTED`, a value for its only setting, and `judge(looks, value)`.
        """
        return {flag: partial(_judged, step, value) for flag, step, _, value in self._idle() if not _is_whole(step)}

    def idle_selections(self) -> dict[str, Callable[[Index], Iterable[Rejected]]]:
        """The same for steps for the whole dataset: what each would refuse."""
        return {
            flag: partial(_selected, step, step.Config(**{setting: value}))
            for flag, step, setting, value in self._idle()
            if _is_whole(step)
        }

    def _idle(self) -> Iterator[tuple[str, ModuleType, str, float]]:
        """(flag, step, its only setting, suggested value) of every step that has been given no limit."""
        for name, config in self.steps:
            value = getattr(_step(name), "SUGGESTED", None)
            ((setting, given),) = to_json(config).items() if value is not None else (("", ""),)
            if value is not None and given is None:
                yield f"--{name}.{setting} {value:g}".replace("_", "-"), _step(name), setting, value

    def without(self, step: str) -> Chain:
        return Chain(tuple(pair for pair in self.steps if pair[0] != step))

    def to_json(self) -> dict[str, Any]:
        return {name: to_json(config) for name, config in self.steps}


def make_chain(settings: Mapping[str, Mapping[str, Any]], skip: Collection[str] = ()) -> Chain:
    """Every step there is but those to skip, each with the given settings or its own defaults.

    Raises ConfigError for an unknown step or setting, and for settings of a step that is skipped.
    """
    for name in (*settings, *skip):
        plugins.require("steps", name)
    if "decode" in skip:
        raise ConfigError("--skip decode: a picture must be decoded to be checked; skip another step")
    for name in skip:
        if name in settings:
            raise ConfigError(f"--skip {name}: it has settings too, which would have no effect; leave one out")
    names = sorted((name for name in plugins.names("steps") if name not in skip), key=_place)
    return Chain(tuple((name, _configured(name, settings.get(name, {}))) for name in names))


def chain_from_json(steps: Mapping[str, Mapping[str, Any]]) -> Chain:
    """The chain that `Chain.to_json` described.

    Raises ConfigError for a step that is not installed any more.
    """
    for name in steps:
        plugins.require("steps", name)
    return Chain(tuple((name, _configured(name, steps[name])) for name in sorted(steps, key=_place)))


def _judged(step: ModuleType, value: float, looks: Mapping[str, Any]) -> str | None:
    return step.judge(looks, value)


def _selected(step: ModuleType, config: Any, index: Index) -> Iterable[Rejected]:
    return step.select(index, config)


def _configured(name: str, values: Mapping[str, Any]) -> Any:
    return from_json(_step(name).Config, values, f"--{name.replace('_', '-')}")


def _place(name: str) -> tuple[int, str]:
    order = plugins.constant("steps", name, "ORDER")
    if not isinstance(order, int):
        raise ConfigError(f"step '{name}': its file must say where it stands, as in ORDER = 40")
    return order, name


@cache
def _step(name: str) -> ModuleType:
    return plugins.load("steps", name)


def _is_global(name: str) -> bool:
    return _is_whole(_step(name))


def _is_whole(step: ModuleType) -> bool:
    return getattr(step, "GLOBAL", False)
