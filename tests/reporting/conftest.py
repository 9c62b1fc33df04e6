"""A browser for the tests that look at pages, where there is one."""

import functools
import http.server
import shutil
import subprocess
import threading
from pathlib import Path

import pytest


@pytest.fixture
def chromium(tmp_path):
    """A function that opens an address in a headless browser, in a profile of its own."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("there is no Chromium on this machine: apt-get install chromium")

    def open_page(address: str, *options: str) -> str:
        flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
        flags += "--disable-component-update --disable-sync --hide-scrollbars --virtual-time-budget=5000"
        argv = [program, *flags.split(), f"--user-data-dir={tmp_path / 'profile'}", *options, address]
        return subprocess.run(argv, capture_output=True, text=True, timeout=120, check=True, cwd=tmp_path).stdout

    return open_page


@pytest.fixture
def serve():
    """A function that serves a folder on loopback: a page of a file may not look into another."""
    servers = []

    def start(folder: Path) -> str:
        handler = functools.partial(QuietHandler, directory=str(folder))
        servers.append(http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass
