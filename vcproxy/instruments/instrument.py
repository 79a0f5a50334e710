"""Instrument: the declaration of a metric, and its values on one engine.

    class Orders(Session):
        orders = Counter("orders", "Orders accepted.", labels=("kind",))
        ...
            self.orders.add(kind="new")

The declaration is an attribute of a class. Read through an object, it gives the values that belong
to the engine that is running and to the object's listener. Each engine has values of its own, so
nothing is locked; a scrape adds them up. They are kept by name, so they survive a reload, also one
with new code of the plugin. Tested in tests/instruments/test_instruments.py.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, Self, TypeAlias, TypeVar, overload

from vcproxy.engine.continuation import ClassDeclaration
from vcproxy.engine.mutex import current

if TYPE_CHECKING:
    from vcproxy.engine.continuation import Continuation
    from vcproxy.engine.event_dispatcher import EventDispatcher

MOST_SERIES: Final = 1000
"""Combinations of label values that an instrument keeps for one listener and engine. All further
ones are counted together as OTHER, so that labels with text of clients cannot fill the memory."""

OTHER: Final = "other"
"""The value of each label of what is not counted by itself."""

Sample: TypeAlias = "float | Sequence[float]"
"""A value: of a counter or gauge, a number; of a histogram, the observations in each bucket (not
accumulated; the last bucket has no limit), then the sum of all observed values."""

_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_OF_THE_PROXY = "vcproxy_"
_ENDINGS = ("_bucket", "_count", "_created", "_gcount", "_gsum", "_info", "_sum", "_total")
"""Endings that have a meaning in OpenMetrics."""
_LABELS = ("listener", "le", "quantile", "worker")
"""Labels that the proxy adds, or that have a meaning in OpenMetrics."""

V = TypeVar("V", bound="InstrumentValues")


class InstrumentValues:
    """The values of an instrument on one engine, for one listener: one for each combination of
    label values."""

    __slots__ = ("_engine", "_reported", "instrument", "listener", "series")

    series: dict[tuple[str, ...], Any]
    """The values by the values of the labels, in the order of the labels."""

    def __init__(self, instrument: Instrument[Any], engine: EventDispatcher, listener: str) -> None:
        self.instrument = instrument
        self.listener = listener
        """The name of the listener; "": none."""
        self.series = {}
        self._engine = engine
        self._reported = False

    def samples(self) -> Iterator[tuple[dict[str, str], Sample]]:
        """Yield the labels and the value of each series."""
        names = self.instrument.labels
        for place, value in list(self.series.items()):
            yield dict(zip(names, place, strict=True)), self.sample(value)

    def sample(self, value: Any) -> Sample:
        """Return a value of `series` as a Sample."""
        number: float = value
        return number

    def place(self, labels: Mapping[str, object]) -> tuple[str, ...]:
        """Return the key in `series` for these labels. Raises TypeError if they are not those of
        the declaration."""
        names = self.instrument.labels
        if len(labels) != len(names):
            raise self._mistaken(labels)
        if not names:
            return ()
        try:
            place = tuple([str(labels[name]) for name in names])
        except KeyError:
            raise self._mistaken(labels) from None
        if place in self.series or len(self.series) < MOST_SERIES:
            return place
        if not self._reported:
            self._reported = True
            self._engine.log(
                "warning",
                f"metric {self.instrument.name}: {MOST_SERIES} combinations of labels are counted "
                f'one by one; all others are counted together, as "{OTHER}"',
            )
        return (OTHER,) * len(names)

    def _mistaken(self, labels: Mapping[str, object]) -> TypeError:
        wanted = ", ".join(self.instrument.labels) or "none"
        given = ", ".join(labels) or "none"
        return TypeError(f"metric {self.instrument.name} has the labels {wanted}; given: {given}")


class Instrument(ClassDeclaration, Generic[V]):
    """The base of Counter, Gauge and Histogram.

    Args:
        name: letters, digits and "_". It is exported unchanged; names that begin with "vcproxy_"
            are those of the proxy itself.
        help: one line about what is counted.
        labels: the names of the labels by which the values are counted. The label "listener" is
            added.
        own: whether it is a metric of the proxy itself.
    """

    kind: ClassVar[str]
    """Its type in OpenMetrics."""
    values: type[V]
    """The class of its values."""

    def __init__(
        self,
        name: str,
        help: str,  # noqa: A002  prometheus_client's argument has this name
        *,
        labels: Sequence[str] = (),
        own: bool = False,
    ) -> None:
        if (
            not _NAME.fullmatch(name)
            or name.endswith(_ENDINGS)
            or name.startswith(_OF_THE_PROXY) is not own
        ):
            raise ValueError(
                f'"{name}" cannot be the name of a metric: write letters, digits and "_", not '
                f'beginning with "{_OF_THE_PROXY}", and not ending with {", ".join(_ENDINGS)}'
            )
        self.name = name
        self.help = help
        self.labels = tuple(labels)
        for label in self.labels:
            if not _NAME.fullmatch(label) or label.startswith("__") or label in _LABELS:
                raise ValueError(
                    f'metric {name}: "{label}" cannot be the name of a label: write letters, '
                    f'digits and "_", not beginning with "__", and none of {", ".join(_LABELS)}'
                )
        self.shape: Hashable = (name, self.kind, self.labels)
        """What two declarations of one metric have in common."""

    def class_made(self, cls: type[Continuation]) -> None:
        """Raise TypeError if it hides what a base class of the plugin needs."""
        (name, *_) = [name for name, value in vars(cls).items() if value is self]
        for base in cls.__mro__[1:]:
            if name in vars(base) and not isinstance(vars(base)[name], Instrument):
                raise TypeError(
                    f"metric {self.name}: {cls.__qualname__}.{name} hides {base.__qualname__}."
                    f"{name}: rename the attribute"
                )

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type) -> V: ...
    def __get__(self, instance: object, owner: type) -> Self | V:
        """Return the values for the listener of an object, on the engine that is running.

        Raises RuntimeError where no engine is running, as in a function that Engine.call runs.
        """
        if instance is None:
            return self
        engine = current.engine
        if engine is None:
            raise RuntimeError(
                f"metric {self.name} can be used on net threads only: return what is to be counted "
                "from the function, and count it where its result is received"
            )
        service = getattr(instance, "service", None)
        if service is not None:
            return self.of(engine, service.name)
        return self.of(engine, getattr(instance, "listener", ""))

    @property
    def running(self) -> V:
        """The values for the listener whose code is running: for class methods, which have no
        object. Raises RuntimeError where that is none's."""
        engine = current.engine
        service = None if engine is None else getattr(engine.running, "service", None)
        if engine is None or service is None:
            raise RuntimeError(
                f"metric {self.name}: no code of a listener is running: count it through an object"
            )
        return self.of(engine, service.name)

    def of(self, engine: EventDispatcher, listener: str) -> V:
        """Return the values of an engine for a listener."""
        key = listener, self.shape
        found: V | None = engine.instruments.get(key)
        if found is None:
            found = engine.instruments[key] = self.values(self, engine, listener)
        return found
