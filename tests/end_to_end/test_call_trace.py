"""The path of a publish and of a page through the files of the service."""

import subprocess
import sys

from tests.support.service import clean_environment


def test_publish_and_page_stay_within_the_limits_of_the_trace() -> None:
    """`make trace` prints the files, the moves between them, and the carriers."""
    command = [sys.executable, "-m", "tests.support.call_trace", "--check"]
    trace = subprocess.run(command, env=clean_environment(), capture_output=True, text=True, check=False)

    assert 0 == trace.returncode, trace.stdout + trace.stderr
