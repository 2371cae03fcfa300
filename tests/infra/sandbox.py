"""A sandbox for a process: a root of its own with the system and Python of this machine, and chosen folders.

It replaces a container where there is no container engine. Namespaces for mounts and processes make the process the
first one, as in a container, and hide the project and all home folders.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

# The parts of this machine that a process needs; the rest of the root is empty.
SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/sbin", "/etc", "/dev", sys.base_prefix)
# Arguments: the root; for each folder its path here, its path in the sandbox and `ro` or `rw`; `--`; the command.
_SCRIPT = """
root=$1; shift
mount -t tmpfs -o mode=755 none "$root"
put() {
  mkdir -p "$root$2"
  mount --bind "$1" "$root$2"
  mount -o "remount,bind,$3" "$root$2"
}
while [ "$1" != -- ]; do put "$1" "$2" "$3"; shift 3; done; shift
mkdir -p "$root/proc" && mount -t proc none "$root/proc"
mount -o remount,ro "$root"
cd "$root" && exec chroot "$root" "$@"
"""


_NAMESPACES = ("unshare", "--mount", "--pid", "--fork", "--kill-child")


def is_available() -> bool:
    """Return True if this process may create namespaces: as root, on a kernel that allows it."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return False
    return subprocess.run([*_NAMESPACES, "true"], capture_output=True, check=False).returncode == 0


def sandbox_command(
    root: Path, command: Sequence[str], *, readable: Mapping[str, Path], writable: Mapping[str, Path], user: int
) -> Sequence[str]:
    """Return the command line that runs `command` in a sandbox at `root` as `user`.

    `readable` and `writable` are folders of this machine by their path in the sandbox.
    """
    mounts = [(path, path, "ro") for path in SYSTEM if Path(path).is_dir()]
    mounts += [(str(source), target, "ro") for target, source in readable.items()]
    mounts += [(str(source), target, "rw") for target, source in writable.items()]
    arguments = [word for mount in mounts for word in mount]
    privileges = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--no-new-privs"]
    return [*_NAMESPACES, "sh", "-euc", _SCRIPT, "sandbox", str(root), *arguments, "--", *privileges, *command]
