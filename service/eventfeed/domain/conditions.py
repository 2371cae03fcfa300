"""Conditions on the fields of an event. Memory and the engines translate them."""

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Literal

import msgspec

from eventfeed.domain.app_source import party_of_instance
from eventfeed.domain.event import Event, alternative_subject_of

Field = Literal[
    "id", "source", "type", "subject", "alternativesubject", "org", "app", "instance", "instance_party", "resource"
]

# The attribute of an event that holds a field. `app` may be None.
ATTRIBUTES: Mapping[Field, str] = {
    "id": "identity.id",
    "source": "identity.source",
    "type": "type",
    "subject": "subject",
    "org": "app.org",
    "app": "app.name",
    "instance": "instance",
    "resource": "resource",
}
# Fields of the app alone.
APP_FIELDS = frozenset[Field]({"org", "app"})
_VALUES: Mapping[Field, Callable[[Event], str | None]] = {
    **{field: attrgetter(attribute) for field, attribute in ATTRIBUTES.items()},
    "instance_party": party_of_instance,
    "alternativesubject": alternative_subject_of,
}
# Fields that no engine stores: the reader checks conditions on them.
COMPUTED_FIELDS = frozenset[Field]({"instance_party", "alternativesubject"})


def value_of(event: Event, field: Field) -> str | None:
    """Return an event's value of a field, None if it has none."""
    return None if event.app is None and field in APP_FIELDS else _VALUES[field](event)


class Equal(msgspec.Struct, frozen=True):
    """The field has this value."""

    field: Field
    value: str

    def holds(self, event: Event) -> bool:
        """True if the event meets the condition."""
        return value_of(event, self.field) == self.value


class AnyOf(msgspec.Struct, frozen=True):
    """The field has one of these values."""

    field: Field
    values: frozenset[str]

    def holds(self, event: Event) -> bool:
        """True if the event meets the condition."""
        return value_of(event, self.field) in self.values


class Matches(msgspec.Struct, frozen=True):
    """The field has one of these values, or begins with one of these prefixes; an absent field matches nothing.

    The field of an app's event also matches with `app_prefix` in front of a value or prefix, if that is set.
    """

    field: Field
    values: frozenset[str] = frozenset()
    prefixes: frozenset[str] = frozenset()
    app_prefix: str = ""

    def holds(self, event: Event) -> bool:
        """True if the event meets the condition."""
        value, mark = value_of(event, self.field), self.app_prefix
        if value is None:
            return False
        has_mark = bool(mark) and event.app is not None and value.startswith(mark)
        return self._matches(value) or (has_mark and self._matches(value.removeprefix(mark)))

    def _matches(self, value: str) -> bool:
        return value in self.values or any(value.startswith(prefix) for prefix in self.prefixes)

    @property
    def app_values(self) -> frozenset[str]:
        """The values with `app_prefix` in front."""
        return frozenset(f"{self.app_prefix}{value}" for value in self.values if self.app_prefix)

    @property
    def app_prefixes(self) -> frozenset[str]:
        """The prefixes with `app_prefix` in front."""
        return frozenset(f"{self.app_prefix}{prefix}" for prefix in self.prefixes if self.app_prefix)


class NoneOf(msgspec.Struct, frozen=True):
    """The field has none of these values; "" among them stands for an absent field."""

    field: Field
    values: frozenset[str]

    def holds(self, event: Event) -> bool:
        """True if the event meets the condition."""
        return (value_of(event, self.field) or "") not in self.values


Condition = Equal | AnyOf | Matches | NoneOf
