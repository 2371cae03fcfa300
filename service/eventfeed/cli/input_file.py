"""Files of input: plain or compressed, named or on standard input."""

import gzip
import shutil
import sys
import tempfile
from pathlib import Path
from typing import IO

_GZIP = b"\x1f\x8b"


def open_content(file: str) -> IO[bytes]:
    """Return the content, decompressed and seekable. Standard input and pipes are copied to a temporary file."""
    raw: IO[bytes] = sys.stdin.buffer if file == "-" else Path(file).open("rb")  # noqa: SIM115  # the caller closes it
    if file == "-" or not raw.seekable():
        copy = tempfile.TemporaryFile()  # noqa: SIM115  # as above
        shutil.copyfileobj(raw, copy)
        copy.seek(0)
        raw = copy
    is_gzip = raw.read(len(_GZIP)) == _GZIP
    raw.seek(0)
    return gzip.GzipFile(fileobj=raw) if is_gzip else raw  # type: ignore[return-value]  # it reads and seeks like one
