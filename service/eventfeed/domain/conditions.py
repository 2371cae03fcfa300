"""Conditions on the fields of an event. Memory and the engines translate them."""

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Literal

import msgspec

from eventfeed.domain.app_source import party_of_instance
from eventfeed.domain.event import Event

Field = Literal["id", "source", "type", "subject", "org", "app", "instance", "instance_party", "resource"]

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
}
# Fields that no engine stores: the reader checks conditions on them.
COMPUTED_FIELDS = frozenset[Field]({"instance_party"})


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
