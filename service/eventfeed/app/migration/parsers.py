"""Parsing of rows beside the writes of the log: in processes, since both keep a processor busy."""

import asyncio
import contextlib
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, ProcessPoolExecutor, ThreadPoolExecutor

from eventfeed.app.migration.parsing import Candidate, decode_candidates, encode_rows, parse_encoded
from eventfeed.app.migration.rows import Row, TableError
from eventfeed.app.shutdown import end_with_parent

# Fewer rows are parsed in less time than a process needs to start.
PROCESS_ROWS_MIN = 50_000
# With more, the writes of the log are slower than the parsing.
PROCESSES_MAX = 3


async def parse_ahead(chunks: AsyncIterator[Sequence[Row]], *, rows: int) -> AsyncGenerator[list[Candidate], None]:
    """Yield the candidates of each chunk, in order, while the next ones are parsed. `rows` is their number in all."""
    loop, count = asyncio.get_running_loop(), _process_count(rows)
    ahead = deque[tuple[Sequence[Row], asyncio.Future[bytes]]]()
    try:
        with _pool(count) as pool:
            async for chunk in chunks:
                ahead.append((chunk, loop.run_in_executor(pool, parse_encoded, encode_rows(chunk))))
                if len(ahead) > count + 1:
                    yield await _candidates(*ahead.popleft())
            while ahead:
                yield await _candidates(*ahead.popleft())
    except BrokenExecutor:
        raise TableError("A process that parses rows was killed. Is there enough memory?") from None
    finally:
        await asyncio.gather(*(events for _, events in ahead), return_exceptions=True)


async def _candidates(rows: Sequence[Row], events: asyncio.Future[bytes]) -> list[Candidate]:
    return decode_candidates(rows, await events)


def _process_count(rows: int) -> int:
    """Return the number of processes for so many rows; 0 for a thread."""
    return min(max((os.cpu_count() or 1) - 1, 1), PROCESSES_MAX) if rows >= PROCESS_ROWS_MIN else 0


@contextlib.contextmanager
def _pool(processes: int) -> Iterator[Executor]:
    if processes:
        context = multiprocessing.get_context("spawn")
        pool: Executor = ProcessPoolExecutor(processes, mp_context=context, initializer=_prepare_process)
    else:
        pool = ThreadPoolExecutor(1)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _prepare_process() -> None:
    """End with the command, also if that is killed. An interrupt from the keyboard is for the command alone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
