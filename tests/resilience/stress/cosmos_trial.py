"""A trial on Cosmos DB: three service processes on one emulator, behind a network that loses responses."""

import subprocess
import tempfile

from tests.emulator.fault_proxy import Fault
from tests.emulator.running import bad_network, emulator
from tests.resilience.stress.trial import Size, Verdict, run_trial
from tests.support.service import COMMAND, clean_environment

# Half of these faults are a response lost after the request was executed.
FAULTS_RATE = 0.65
LOST_SHARE_MIN = 0.3
# Small, so that batches often meet the end of a segment.
SEGMENT_ENTRIES = 100


def run_cosmos_trial(size: Size, *, seed: int) -> Verdict:
    """Run a trial with a new emulator and a bad network, and check that the network was bad enough."""
    with emulator() as url, tempfile.TemporaryDirectory() as folder:
        create = [COMMAND, "store", "create", "--segment-entries", str(SEGMENT_ENTRIES)]
        environment = clean_environment(EVENTFEED_STORE=_store(url))
        subprocess.run(create, env=environment, cwd=folder, check=True, capture_output=True)
        with bad_network(url, seed=seed, rate=FAULTS_RATE) as (urls, counts):
            verdict = run_trial(size, EVENTFEED_STORE=_store(urls[0]))
    faults = counts.faults
    losses, requests = faults[Fault.RESPONSE_LOST.name], faults.total()
    print(f"seed {seed}: {requests:,} requests, {losses:,} responses lost: {dict(faults)}")
    assert {fault.name for fault in Fault} <= set(faults), "some kind of fault did not occur"
    assert losses >= LOST_SHARE_MIN * requests, "the network lost too few responses"
    return verdict


def _store(url: str) -> str:
    return f"cosmos://{url.removeprefix('http://').rstrip('/')}/stress"
