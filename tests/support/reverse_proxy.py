"""nginx and haproxy in front of a service, with the limits and defaults that Debian's packages have."""

import os
import shutil
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.service import free_port
from tests.support.waiting import WAIT_SECONDS_MAX, wait_until

# The packages install them where only root's path looks.
_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"])
_HAPROXY_PACKAGE = Path("/etc/haproxy/haproxy.cfg")
_NGINX_PARAMETERS = Path("/etc/nginx/proxy_params")

# What docs/operating.md asks for is `client_max_body_size`; everything else is nginx's own default.
_NGINX = """
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
{user}
events {{ worker_connections 768; }}
http {{
  access_log off;
  gzip on;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port};
    client_max_body_size 2m;
    location / {{
      proxy_pass {service};
      include {parameters};
    }}
  }}
}}
"""
_HAPROXY = """
global
  maxconn 500
{defaults}
frontend public
  bind 127.0.0.1:{port}
  option forwardfor
  default_backend service
backend service
  server one {service}
"""


class ReverseProxy:
    """A proxy of this kind (`nginx` or `haproxy`) for the service at a URL. It can be stopped and started again."""

    def __init__(self, kind: str, service: str, *, folder: Path) -> None:
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        configuration = _nginx if kind == "nginx" else _haproxy
        file = folder / f"{kind}.conf"
        file.write_text(configuration(service, folder=folder, port=self._port))
        options = ["-p", str(folder), "-g", "daemon off;", "-c"] if kind == "nginx" else ["-f"]
        self._command = [_program(kind), *options, str(file)]
        self._output = folder / f"{kind}.output"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the proxy, and wait until it accepts connections."""
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(self._command, stdout=output, stderr=output)
        wait_until(self._accepts)

    def stop(self) -> None:
        """Stop the proxy at once, which cuts its connections."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=WAIT_SECONDS_MAX)

    def _accepts(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._output.read_text()
        with suppress(OSError), socket.create_connection(("127.0.0.1", self._port)):
            return True
        return False


def _program(kind: str) -> str:
    """Return the path of the program. Without it, skip the test; in CI, fail it."""
    path = shutil.which(kind, path=_PATH)
    if path is None:
        assert not os.environ.get("CI"), f"there is no {kind}: `.ci/run` installs it"
        pytest.skip(f"there is no {kind} on this machine")
    return path


def _nginx(service: str, *, folder: Path, port: int) -> str:
    _program("nginx")
    user = "user root;" if os.getuid() == 0 else ""
    return _NGINX.format(service=service, folder=folder, port=port, user=user, parameters=_NGINX_PARAMETERS)


def _haproxy(service: str, *, folder: Path, port: int) -> str:  # noqa: ARG001  # it writes no files
    _program("haproxy")
    _, section, defaults = _HAPROXY_PACKAGE.read_text().partition("\ndefaults\n")
    return _HAPROXY.format(service=service.removeprefix("http://"), port=port, defaults=section + defaults)
