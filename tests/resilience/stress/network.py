"""A storm on Cosmos DB: three service processes on one emulator, behind a network that loses answers."""

import subprocess
import tempfile

from tests.emulator.fault_proxy import Fault
from tests.emulator.running import bad_network, emulator
from tests.resilience.stress.stress import Size, Verdict, blow
from tests.support.service import COMMAND, clean_environment

# Half of these is an answer lost after the request was done.
FAULTS_RATE = 0.65
LOST_AT_LEAST = 0.3
# Small, so that batches meet the end of one again and again.
SEGMENT_ENTRIES = 100


def blow_on_cosmos(size: Size, *, seed: int) -> Verdict:
    """A storm with an emulator and a network of its own, which must have been as bad as it should."""
    with emulator() as url, tempfile.TemporaryDirectory() as folder:
        create = [COMMAND, "store", "create", "--segment-entries", str(SEGMENT_ENTRIES)]
        environment = clean_environment(EVENTFEED_STORE=_store(url))
        subprocess.run(create, env=environment, cwd=folder, check=True, capture_output=True)
        with bad_network(url, seed=seed, rate=FAULTS_RATE) as (network, happened):
            verdict = blow(size, EVENTFEED_STORE=_store(network))
    lost, all_of_them = happened[Fault.ANSWER_LOST.name], happened.total()
    print(f"seed {seed}: {all_of_them:,} requests, {lost:,} answers lost: {dict(happened)}")
    assert {fault.name for fault in Fault} <= set(happened), "the network did not do everything that it can"
    assert lost >= LOST_AT_LEAST * all_of_them, "the network lost too few answers"
    return verdict


def _store(url: str) -> str:
    return f"cosmos://{url.removeprefix('http://').rstrip('/')}/storm"
