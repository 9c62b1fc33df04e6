"""What every Python process of the tests starts with: `PYTHONPATH` names this folder, Python imports this file itself.

Nothing but loopback is looked up: other names are refused at once, and written to the file that `LOOPBACK_GUARD_LOG`
names. The modules that `LOOPBACK_GUARD_HIDE` names (separated by commas) cannot be imported: they look uninstalled.
"""

import ipaddress
import os
import socket
import sys


def is_loopback(host: str | bytes | None) -> bool:
    """Say whether looking up this host leaves the machine for nobody; `None` and "" are "any" for a server."""
    name = host.decode() if isinstance(host, bytes) else host
    if not name or name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def install() -> None:
    """Put the guard before `socket.getaddrinfo`, which all of Python's HTTP clients go through; once is enough."""
    look_up = socket.getaddrinfo
    if hasattr(look_up, "guarded"):
        return

    def guarded_getaddrinfo(host, *args, **kwargs):
        if is_loopback(host):
            return look_up(host, *args, **kwargs)
        if log := os.environ.get("LOOPBACK_GUARD_LOG"):
            with open(log, "a", encoding="utf-8") as lines:  # noqa: PTH123 - pathlib would slow every start of Python
                lines.write(f"{host}\n")
        raise socket.gaierror(socket.EAI_NONAME, f"the tests look up nothing but loopback: {host}")

    guarded_getaddrinfo.guarded = True
    socket.getaddrinfo = guarded_getaddrinfo


install()
for hidden in filter(None, os.environ.get("LOOPBACK_GUARD_HIDE", "").split(",")):
    sys.modules[hidden] = None
