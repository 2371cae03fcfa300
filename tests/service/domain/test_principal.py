"""Rights: whole scopes, from Maskinporten alone."""

from collections.abc import Callable

import msgspec
import pytest

from eventfeed.domain.errors import InsufficientScope
from eventfeed.domain.event import App
from eventfeed.domain.principal import (
    SCOPE_ADMIN,
    SCOPE_REPORTEES,
    SCOPE_SUBSCRIBE,
    Method,
    Principal,
    require_app,
    require_publisher,
    require_scope,
)

APP = App(org="ttd", name="bolig")


def caller(*scopes: str, method: Method = Method.MASKINPORTEN) -> Principal:
    """A caller with these scopes."""
    return Principal(method=method, level=3, scopes=frozenset(scopes), token=b"", expires=0, org="ttd")


@pytest.mark.parametrize("scope", ["altinn:events/ttd/bolig", "altinn:events/ttd"])
def test_scope_of_the_app_or_its_org_gives_access(scope: str) -> None:
    """One of them is enough, and a longer scope is another scope."""
    require_app(caller("openid", scope), APP)

    with pytest.raises(InsufficientScope):
        require_app(caller("openid", f"{scope}x"), APP)


def test_scopes_in_a_token_of_a_person_give_no_access() -> None:
    """Scopes count only in tokens that were exchanged from Maskinporten."""
    person = caller("altinn:events/ttd", "altinn:events.publish.admin", method=Method.ID_PORTEN)

    with pytest.raises(InsufficientScope):
        require_app(person, APP)
    assert (False, False) == (person.is_publisher, person.is_publish_admin)


def test_publish_scopes_give_publishers_and_other_scopes_are_refused() -> None:
    """The publish scope permits the caller's own org. The admin scope permits any org, even on its own."""
    publisher, admin = caller("altinn:events.publish"), caller("altinn:events.publish.admin")
    other = caller("altinn:events", "altinn:events.publishing")

    assert (True, False) == (publisher.is_publisher, publisher.is_publish_admin)
    assert (True, True) == (admin.is_publisher, admin.is_publish_admin)
    assert (False, False) == (other.is_publisher, other.is_publish_admin)


def test_caller_without_the_scope_is_refused_with_its_name() -> None:
    """A longer or shorter scope is another scope."""
    require_scope(caller("altinn:events.admin"), "altinn:events.admin")
    with pytest.raises(InsufficientScope) as refusal:
        require_scope(caller("altinn:events", "altinn:events.administer"), "altinn:events.admin")

    assert "altinn:events.admin" == refusal.value.scope


def test_rights_of_two_callers_differ_in_everything_that_decisions_depend_on() -> None:
    """The token is not part of the rights, so a new token of the same caller has the same rights."""
    one = caller("a", "b")
    others = [
        msgspec.structs.replace(one, **change)
        for change in (
            *({"level": 4}, {"party": "5"}, {"organisation": "310000011"}, {"scopes": frozenset("a")}),
            *({"system_user": "one"}, {"system_user": "two"}),
        )
    ]

    assert 7 == len({each.rights for each in (one, *others)})
    assert 4 == len({each.caller for each in (one, *others)})
    assert one.rights == msgspec.structs.replace(one, token=b"other", expires=9).rights
    assert one.caller == msgspec.structs.replace(one, level=4).caller


def test_scopes_of_a_system_user_count_for_feeds_of_resources_alone() -> None:
    """They were granted to the vendor of its system. The refusal says so, and names the scope."""
    granted = [SCOPE_SUBSCRIBE, SCOPE_ADMIN, SCOPE_REPORTEES, "altinn:events/ttd", "altinn:events.publish.admin"]
    system_user = msgspec.structs.replace(caller(*granted, "altinn:events.publish"), org=None, system_user="uuid")
    require_scope(system_user, SCOPE_SUBSCRIBE)
    refusals: dict[str, Callable[[], None]] = {
        SCOPE_ADMIN: lambda: require_scope(system_user, SCOPE_ADMIN),
        SCOPE_REPORTEES: lambda: require_scope(system_user, SCOPE_REPORTEES),
        "altinn:events/ttd/bolig": lambda: require_app(system_user, APP),
        "altinn:events.publish": lambda: require_publisher(system_user),
    }

    for scope, require in refusals.items():
        with pytest.raises(InsufficientScope, match="vendor") as refusal:
            require()
        assert scope == refusal.value.scope
    assert (False, False) == (system_user.is_publisher, system_user.is_publish_admin)


def test_system_user_without_the_scope_of_resources_is_refused_with_its_name() -> None:
    """Its vendor can get the scope, so the detail is the usual one."""
    with pytest.raises(InsufficientScope) as refusal:
        require_scope(msgspec.structs.replace(caller(), system_user="uuid"), SCOPE_SUBSCRIBE)

    assert "This needs the scope altinn:events.subscribe." == str(refusal.value)
