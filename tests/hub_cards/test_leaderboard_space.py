"""The Space in a browser: it loads, answers clicks and keys, fits a phone, and asks nobody but its own server."""

import os
import socket
import subprocess
import sys
import time
import urllib.request

import pytest
from browser import open_browser

from hf_nextfail.files import shipped_folder

APP = shipped_folder("hub_cards") / "spaces/leaderboard/app.py"
ALERTS = "[...document.querySelectorAll('.answer [role=alert]')].map(one => one.innerText)"
PICTURES = "[...document.querySelectorAll('.answer img')].filter(one => one.complete && one.naturalWidth > 50)"
LED = "[...document.querySelectorAll('.answer p')].map(one => one.innerText).filter(text => text.includes('goes on'))"
IN_BOARD = "document.querySelector('#board iframe')?.contentDocument"


@pytest.fixture
def address(tmp_path):
    pytest.importorskip("gradio", reason="pip install -e .[space]")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path / "log"
    environment = os.environ | {"GRADIO_SERVER_PORT": str(port), "GRADIO_SERVER_NAME": "127.0.0.1"}
    with log.open("w") as output:
        process = subprocess.Popen([sys.executable, APP], env=environment, stdout=output, stderr=output, cwd=tmp_path)
    address, end = f"http://127.0.0.1:{port}/", time.monotonic() + 120
    try:
        while True:
            assert process.poll() is None and time.monotonic() < end, log.read_text()[-2000:]
            try:
                urllib.request.urlopen(address).close()
                break
            except OSError:
                time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        process.wait()
    assert "Traceback" not in log.read_text(), log.read_text()[-2000:]


def ask_about(page, graph: str) -> None:
    """Replace the graph by another with the keyboard alone."""
    page.ask("document.querySelector('#graph input, #graph textarea').focus()")
    page.ask("document.activeElement.select()")
    page.write(graph)
    page.press("Enter", "\r")


def test_the_space(address, tmp_path):
    with open_browser(address, tmp_path / "profile") as page:
        page.resize(1280)
        # The leaderboard is the page that `nextfail leaderboard` writes, and its cells open.
        page.wait(f"{IN_BOARD}?.querySelectorAll('tr.cell').length > 10")
        page.ask(f"{IN_BOARD}.querySelector('tr.cell button').click()")
        opened = page.ask(f"[...{IN_BOARD}.querySelectorAll('tr.more')].find(row => !row.hidden).innerText")
        assert "nextfail rerun hub_cards/results/" in opened and "nextfail reproduce" in opened
        # By the keyboard: the other tab opens, with a graph that both have answered.
        page.ask("document.querySelector('[role=tab]').focus()")
        page.press("Tab")
        page.press("Enter", "\r")
        page.wait(f"{PICTURES}.length >= 4")
        drawn = page.ask("document.querySelector('#graph input, #graph textarea').value")
        page.ask("document.querySelector('#sample').click()")
        page.wait(f"document.querySelector('#graph input, #graph textarea').value !== {drawn!r}")
        # One's own graph, and nonsense.
        ask_about(page, "8,12|3,13|13,14|14,18|3,8|12,5/3,18=")
        page.wait(f"{LED}.length === 2 && {LED}.every(text => text.startsWith('Shown 3, 8, it goes on with 1'))")
        ask_about(page, "<img src=x onerror=window.evil=1>")
        assert set(page.wait(f"{ALERTS}.length === 2 && {ALERTS}")) == {
            "not of the form 'a,b|c,d|.../start,goal=': character 1 is '<'"
        }
        assert page.ask("window.evil === undefined")
        # Other graphs have other checkpoints.
        page.ask("[...document.querySelectorAll('input[type=radio]')].at(-1).click()")
        page.wait("document.body.innerText.includes('It cannot be led')")
        # On a phone nothing is wider than the screen.
        page.resize(390)
        assert page.wait("document.documentElement.scrollWidth <= innerWidth || document.documentElement.scrollWidth")
        assert page.ask("document.documentElement.scrollWidth") <= 390
        assert page.complaints == []
        assert {asked.split("/")[2] for asked in page.addresses if asked.startswith("http")} == {address.split("/")[2]}
