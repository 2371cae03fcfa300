"""Rights: whole scopes, from Maskinporten alone."""

import pytest

from eventfeed.domain.errors import InsufficientScope
from eventfeed.domain.event import App
from eventfeed.domain.principal import Method, Principal, Publisher, require_app, require_publisher

APP = App(org="ttd", name="bolig")


def caller(*scopes: str, method: Method = Method.MASKINPORTEN) -> Principal:
    """A caller with these scopes."""
    return Principal(method=method, level=3, scopes=frozenset(scopes), token=b"", expires=0, org="ttd")


@pytest.mark.parametrize("scope", ["altinn:events/ttd/bolig", "altinn:events/ttd"])
def test_an_apps_or_its_orgs_scope_reads_it(scope: str) -> None:
    """One is enough."""
    require_app(caller("openid", scope), APP)

    with pytest.raises(InsufficientScope):
        require_app(caller("openid", f"{scope}x"), APP)


def test_a_persons_token_opens_nothing_by_scope() -> None:
    """Scopes count in tokens born of Maskinporten only, whatever a person's token carries."""
    everything = caller("altinn:events/ttd", "altinn:events.publish.admin", method=Method.ID_PORTEN)

    with pytest.raises(InsufficientScope):
        require_app(everything, APP)
    with pytest.raises(InsufficientScope):
        require_publisher(everything)


def test_who_may_publish() -> None:
    """The publish scope speaks for the own org, the admin scope, alone, for any."""
    assert Publisher(org="ttd", admin=False) == require_publisher(caller("altinn:events.publish"))
    assert Publisher(org="ttd", admin=True) == require_publisher(caller("altinn:events.publish.admin"))
    with pytest.raises(InsufficientScope) as refused:
        require_publisher(caller("altinn:events"))

    assert "altinn:events.publish" == refused.value.scope
