"""A storm on Cosmos DB: three service processes on one emulator, behind a network that loses answers."""

import subprocess
import tempfile

from tests.emulator.running import bad_network, emulator
from tests.serving import COMMAND, clean_environment
from tests.storm.storm import Size, Verdict, blow

# Of these more than half is an answer lost after the request was done: of all requests, 31 in 100.
FAULTS_RATE = 0.55
# Small, so that batches meet the end of one again and again.
SEGMENT_ENTRIES = 100


def blow_on_cosmos(size: Size, *, seed: int) -> Verdict:
    """A storm with an emulator and a network of its own."""
    with emulator() as url, tempfile.TemporaryDirectory() as folder:
        create = [COMMAND, "store", "create", "--segment-entries", str(SEGMENT_ENTRIES)]
        environment = clean_environment(EVENTFEED_STORE=_store(url))
        subprocess.run(create, env=environment, cwd=folder, check=True, capture_output=True)
        with bad_network(url, seed=seed, rate=FAULTS_RATE) as network:
            return blow(size, EVENTFEED_STORE=_store(network))


def _store(url: str) -> str:
    return f"cosmos://{url.removeprefix('http://').rstrip('/')}/storm"
