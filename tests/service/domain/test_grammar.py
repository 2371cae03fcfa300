"""Grammars: each accepts the texts of its type, and no others."""

import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventfeed.domain import grammar
from eventfeed.domain.cloudevents import ATTRIBUTES
from eventfeed.domain.grammar import Grammar
from tests.support.texts import BY_GRAMMAR

GRAMMARS = {name: value for name, value in vars(grammar).items() if isinstance(value, Grammar)}
SLOW_SECONDS = 1.0


@pytest.mark.parametrize("name", sorted(BY_GRAMMAR))
@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(data=st.data())
def test_text_of_a_type_is_accepted(name: str, data: st.DataObject) -> None:
    """The strategy follows the specification, not the pattern."""
    text = data.draw(BY_GRAMMAR[name][0])

    assert GRAMMARS[name].accepts(text)


@pytest.mark.parametrize("name", sorted(BY_GRAMMAR))
@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(data=st.data())
def test_text_of_no_type_is_refused(name: str, data: st.DataObject) -> None:
    """One character outside the grammar is enough."""
    text = data.draw(BY_GRAMMAR[name][1])

    assert not GRAMMARS[name].accepts(text)


def test_each_grammar_has_strategies_for_both_sides() -> None:
    """A new grammar needs its texts, allowed ones and others."""
    assert GRAMMARS.keys() == BY_GRAMMAR.keys()


def test_long_text_takes_no_long_time() -> None:
    """Patterns are linear: neither repetition of a part nor a wrong end makes them try again and again."""
    parts = ["a", "/", "//", ".", ":", "@", "?", "#", "%41", "%", ";a=a", '"', "\\", "[", "-", "1"]
    heads = ["", "https://", "https://h/", "https://h:", "https://[", "urn:ab:", "a/b", 'a/b;c="', "00-"]
    texts = [f"{head}{part * (65_536 // len(part))}\n" for head in heads for part in parts]
    seconds = list[float]()
    for each in [*GRAMMARS.values(), *ATTRIBUTES.values()]:
        for text in texts:
            began = time.process_time()
            each.accepts(text)
            seconds.append(time.process_time() - began)

    assert max(seconds) < SLOW_SECONDS
