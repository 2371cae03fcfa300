"""Files of settings, read within a limit."""

from pathlib import Path


def read_file(path: Path, *, bytes_max: int) -> bytes:
    """Return the content of a file. Raises `OSError` if it cannot be read, `ValueError` if it is too long.

    A device or a pipe, which may never end, is refused with `ValueError`.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise ValueError("is a device or a pipe; write the content to a file")
    with path.open("rb") as file:
        content = file.read(bytes_max + 1)
    if len(content) > bytes_max:
        raise ValueError(f"has more than {bytes_max} bytes; shorten the file")
    return content
