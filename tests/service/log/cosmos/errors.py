"""Errors of the SDK, as a request raises them."""

from azure.cosmos.exceptions import CosmosBatchOperationError, CosmosHttpResponseError


def http_error(
    code: int, *, sub_status: int | None = None, retry_after: float | None = None
) -> CosmosHttpResponseError:
    """The error of a request with this status. `retry_after` is the time (s) that the store asks for."""
    error = CosmosHttpResponseError(status_code=code, message="no")  # type: ignore[no-untyped-call]  # the SDK's
    error.sub_status = sub_status
    error.headers = {} if retry_after is None else {"x-ms-retry-after-ms": str(int(1_000 * retry_after))}
    return error


def batch_error(code: int, *, retry_after: float | None = None) -> CosmosBatchOperationError:
    """The error of a batch with this status."""
    headers = {} if retry_after is None else {"x-ms-retry-after-ms": str(int(1_000 * retry_after))}
    return CosmosBatchOperationError(  # type: ignore[no-untyped-call]  # the SDK's
        error_index=0, headers=headers, status_code=code, message="no", operation_responses=[]
    )


class Request:
    """A request that raises these errors, one in each attempt, and then succeeds."""

    def __init__(self, *errors: Exception) -> None:
        self._errors = list(errors)
        self.attempts = 0

    async def __call__(self) -> str:
        """Make an attempt."""
        self.attempts += 1
        if self._errors:
            raise self._errors.pop(0)
        return "done"
