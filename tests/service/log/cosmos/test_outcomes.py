"""The table of statuses: what is known of a request after each."""

import pytest
from aiohttp import ClientPayloadError
from azure.core.exceptions import ClientAuthenticationError, DecodeError, ServiceRequestError, ServiceResponseError
from azure.cosmos import exceptions as cosmos_exceptions

from eventfeed.log.cosmos.outcomes import (
    REQUEST_ERRORS,
    Kind,
    Outcome,
    outcome_of,
    reason_of,
    retry_after_of,
    status_of,
)
from tests.service.log.cosmos.errors import batch_error, http_error

CONNECTION_ERRORS = [
    ServiceRequestError("x"),
    ServiceResponseError("x"),
    DecodeError("x"),
    ClientPayloadError("x"),
    ClientAuthenticationError("x"),
    TimeoutError(),
    OSError("x"),
]
WRITES = [Kind.WRITE, Kind.IDEMPOTENT_WRITE]


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize(
    ("outcome", "codes"),
    [(Outcome.CONFLICT, [409, 412]), (Outcome.WAIT, [429, 449]), (Outcome.REFUSAL, [400, 401, 403, 404, 413])],
)
def test_request_that_was_not_done_is_known_by_its_status(kind: Kind, outcome: Outcome, codes: list[int]) -> None:
    """Reads and writes alike, alone and in a batch."""
    errors = [*map(http_error, codes), *map(batch_error, codes)]

    assert {outcome} == {outcome_of(error, kind) for error in errors}


@pytest.mark.parametrize(
    "error", [*map(http_error, (408, 410, 500, 502, 503, 504)), batch_error(503), *CONNECTION_ERRORS], ids=repr
)
@pytest.mark.parametrize("kind", Kind)
def test_outcome_of_a_failed_or_missing_response_is_unknown(error: Exception, kind: Kind) -> None:
    """A read is repeated, a write may be done."""
    assert Outcome.UNKNOWN is outcome_of(error, kind)


def test_missing_document_of_a_stale_replica_may_exist_later() -> None:
    """A write with this sub-status was not done, as with each other 404."""
    error = http_error(404, sub_status=1002)

    assert [Outcome.UNKNOWN, Outcome.REFUSAL, Outcome.REFUSAL] == [outcome_of(error, kind) for kind in Kind]


def test_unlisted_status_is_refused_for_a_read_and_unknown_for_a_write() -> None:
    """Only the listed statuses are certain for a write. A read with an unlisted one is not repeated."""
    assert [Outcome.REFUSAL, Outcome.UNKNOWN, Outcome.UNKNOWN] == [outcome_of(http_error(418), kind) for kind in Kind]


def test_reason_has_the_status_and_sub_status_or_the_class() -> None:
    """The message of the SDK may contain values of the request."""
    errors = [http_error(403, sub_status=1014), batch_error(429), ServiceRequestError("secret")]

    assert ["status 403/1014", "status 429", "ServiceRequestError"] == [reason_of(error) for error in errors]
    assert [403, 429, None] == [status_of(error) for error in errors]


def test_time_that_the_store_asks_for_is_read_from_its_header() -> None:
    """Without one, or with one that is no number, it is 0."""
    invalid = http_error(429)
    invalid.headers = {"x-ms-retry-after-ms": "soon"}
    errors = [http_error(429, retry_after=1.5), batch_error(429, retry_after=30), http_error(429), invalid, OSError()]

    assert [1.5, 30.0, 0.0, 0.0, 0.0] == [retry_after_of(error) for error in errors]


def test_every_error_of_the_sdk_is_classified() -> None:
    """A new error class of the SDK must be classified before that version is used."""
    classes = {
        name: each
        for name, each in vars(cosmos_exceptions).items()
        if isinstance(each, type) and issubclass(each, Exception) and each.__module__ == cosmos_exceptions.__name__
    }

    assert {
        "CosmosAccessConditionFailedError",
        "CosmosBatchOperationError",
        "CosmosClientTimeoutError",
        "CosmosHttpResponseError",
        "CosmosResourceExistsError",
        "CosmosResourceNotFoundError",
    } == set(classes)
    assert all(issubclass(each, REQUEST_ERRORS) for each in classes.values())
