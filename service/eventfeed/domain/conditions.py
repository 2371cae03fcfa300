"""Conditions on the fields of an event. Memory and the engines translate them."""

from collections.abc import Callable, Mapping
from typing import Literal

import msgspec

from eventfeed.domain.app_source import party_of_instance
from eventfeed.domain.event import Event

Field = Literal["id", "source", "type", "subject", "org", "app", "instance", "instance_party", "resource"]

_VALUES: Mapping[Field, Callable[[Event], str | None]] = {
    "id": lambda event: event.identity.id,
    "source": lambda event: event.identity.source,
    "type": lambda event: event.type,
    "subject": lambda event: event.subject,
    "org": lambda event: event.app.org if event.app else None,
    "app": lambda event: event.app.name if event.app else None,
    "instance": lambda event: event.instance,
    "instance_party": party_of_instance,
    "resource": lambda event: event.resource,
}
# Fields that no engine stores: the reader checks conditions on them.
COMPUTED_FIELDS = frozenset[Field]({"instance_party"})


def value_of(event: Event, field: Field) -> str | None:
    """Return an event's value of a field, None if it has none."""
    return _VALUES[field](event)


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


class Prefix(msgspec.Struct, frozen=True):
    """The field begins with this text."""

    field: Field
    value: str

    def holds(self, event: Event) -> bool:
        """True if the event meets the condition."""
        return (value_of(event, self.field) or "").startswith(self.value)


class NoneOf(msgspec.Struct, frozen=True):
    """The field has none of these values; "" among them stands for an absent field."""

    field: Field
    values: frozenset[str]

    def holds(self, event: Event) -> bool:
        """True if the event meets the condition."""
        return (value_of(event, self.field) or "") not in self.values


Condition = Equal | AnyOf | Prefix | NoneOf
