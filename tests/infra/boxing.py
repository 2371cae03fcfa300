"""A root of its own for a process: the system and Python of this machine, and what is put there, mostly to be read.

It takes the place of a container where there is no engine for one: namespaces of mounts and processes, so that the
process is the first one, as in a container, and sees neither the project nor anybody's home.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

# What a process needs of a system, from here; the rest of the root is empty.
SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/sbin", "/etc", "/dev", sys.base_prefix)
# Of each folder: where it is here, where there, and whether it can be written (`rw`) or not (`ro`).
_BOXED = """
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


_SPACES = ("unshare", "--mount", "--pid", "--fork", "--kill-child")


def available() -> bool:
    """Whether this process may make namespaces: it takes root, and a kernel that lets it."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return False
    return subprocess.run([*_SPACES, "true"], capture_output=True, check=False).returncode == 0


def boxed(
    root: Path, command: Sequence[str], *, shown: Mapping[str, Path], written: Mapping[str, Path], user: int
) -> Sequence[str]:
    """The command line that runs `command` in a box at `root`, as `user`, with folders to read and folders to write."""
    system = [(each, each, "ro") for each in SYSTEM if Path(each).is_dir()]
    ours = [(str(here), there, "ro") for there, here in shown.items()]
    ours += [(str(here), there, "rw") for there, here in written.items()]
    mounts = [word for mount in (*system, *ours) for word in mount]
    powers = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--no-new-privs"]
    return [*_SPACES, "sh", "-euc", _BOXED, "box", str(root), *mounts, "--", *powers, *command]
