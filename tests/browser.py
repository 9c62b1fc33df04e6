"""A headless browser that clicks, types and looks, for pages that talk to a server while they are open."""

import json
import re
import shutil
import subprocess
import time
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

FLAGS = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
FLAGS += "--disable-component-update --disable-sync --hide-scrollbars --remote-debugging-port=0"


class Browser:
    """One page, driven by the protocol of Chromium's developer tools; what it complains of and asks for is kept.

    Args:
        socket: a connection to the page.
    """

    def __init__(self, socket: Any):
        self.socket, self.count = socket, 0
        self.complaints: list[str] = []
        self.addresses: list[str] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol and wait for its answer."""
        self.count += 1
        self.socket.send(json.dumps({"id": self.count, "method": method, "params": parameters}))
        while (message := json.loads(self.socket.recv(timeout=30))).get("id") != self.count:
            self.keep(message)
        assert "error" not in message, message
        return message["result"]

    def keep(self, event: dict[str, Any]) -> None:
        """Remember an event."""
        name, said = event["method"], event["params"]
        if name == "Network.requestWillBeSent":
            self.addresses.append(said["request"]["url"])
        elif name == "Runtime.exceptionThrown":
            self.complaints.append(said["exceptionDetails"].get("exception", {}).get("description", "exception"))
        elif name == "Log.entryAdded" and said["entry"]["level"] == "error":
            self.complaints.append(f"{said['entry']['text']} {said['entry'].get('url')}")
        elif name == "Runtime.consoleAPICalled" and said["type"] in ("error", "assert"):
            self.complaints.append(" ".join(str(one.get("value", one.get("description"))) for one in said["args"]))

    def ask(self, script: str) -> Any:
        """Return the value of an expression in the page."""
        answer = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, (script, answer["exceptionDetails"])
        return answer["result"].get("value")

    def wait(self, script: str, seconds: float = 30) -> Any:
        """Wait until an expression is true, and return its value."""
        end = time.monotonic() + seconds
        while not (value := self.ask(script)):
            assert time.monotonic() < end, f"never true: {script}; {self.complaints}"
            time.sleep(0.05)
        return value

    def resize(self, width: int, height: int = 900) -> None:
        """Give the page a screen, below 500 pixels that of a phone."""
        screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.send("Emulation.setDeviceMetricsOverride", **screen)

    def press(self, key: str, text: str = "") -> None:
        """Press a key, `Tab` or `Enter`."""
        codes = {"Tab": 9, "Enter": 13}
        name = {"key": key, "code": key, "windowsVirtualKeyCode": codes[key]}
        self.send("Input.dispatchKeyEvent", type="keyDown", **name, **({"text": text} if text else {}))
        self.send("Input.dispatchKeyEvent", type="keyUp", **name)

    def write(self, text: str) -> None:
        """Type a text where the cursor is."""
        self.send("Input.insertText", text=text)

    def picture(self, path: Path) -> None:
        """Take a picture of the whole page."""
        path.write_bytes(b64decode(self.send("Page.captureScreenshot", captureBeyondViewport=True)["data"]))


@contextmanager
def open_browser(address: str, profile: Path) -> Iterator[Browser]:
    """Open an address; skips the test where there is no Chromium, or nothing to talk to it with."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("there is no Chromium on this machine: apt-get install chromium")
    client = pytest.importorskip("websockets.sync.client")
    argv = [program, *FLAGS.split(), f"--user-data-dir={profile}", "about:blank"]
    process = subprocess.Popen(argv, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    try:
        port = next(found[1] for line in process.stderr if (found := re.search(r"127\.0\.0\.1:(\d+)/", line)))
        socket = page_of(int(port))
        with client.connect(socket, max_size=None) as connection:
            browser = Browser(connection)
            browser.send("Page.navigate", url=address)
            yield browser
    finally:
        process.terminate()
        process.wait()


def page_of(port: int) -> str:
    """Return the address of the one page of a browser."""
    import urllib.request

    with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list") as answer:
        return next(one["webSocketDebuggerUrl"] for one in json.load(answer) if one["type"] == "page")
