"""Headless Chromium in a network namespace, driven by its DevTools protocol.

The namespace has no other route, but the protocol's port is in there too: `python -m tests.support.browser` runs in
the namespace, reads commands as lines of JSON on its standard input, and writes what came of each.
"""

import base64
import contextlib
import itertools
import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import websocket

PORT = 9222
PATIENCE_S = 30


class Browser:
    """Chromium of the test's own in `namespace`; `call`, `evaluate` and `events` as in the DevTools protocol."""

    def __init__(self, namespace):
        self.process = namespace.start(sys.executable, "-m", "tests.support.browser", stdin=subprocess.PIPE)

    def __enter__(self):
        assert self._answer() == {"ready": True}
        return self

    def __exit__(self, *exc_info):
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()

    def _answer(self):
        line = self.process.stdout.readline()
        assert line, "the browser has ended"
        return json.loads(line)

    def _ask(self, **request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer = self._answer()
        assert "error" not in answer, answer
        return answer["result"]

    def call(self, method, **parameters):
        return self._ask(method=method, parameters=parameters)

    def events(self):
        """All events so far."""
        return self._ask(method="events")

    def evaluate(self, expression):
        """The value of an expression of JavaScript, also of a promise."""
        told = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def until(self, expression, seconds=20):
        """Wait for an expression to be true."""
        end = time.monotonic() + seconds
        while not self.evaluate(expression):
            assert time.monotonic() < end, f"waited in vain: {expression}"
            time.sleep(0.1)

    def size(self, width, height, *, mobile=False):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)

    def dark(self, on):
        value = "dark" if on else "light"
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": value}])

    def picture(self, path):
        """A screenshot, as PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))


class Tab:
    """The one page of a Chromium, seen from beside it."""

    def __init__(self, address):
        self._socket = websocket.create_connection(address, timeout=PATIENCE_S, suppress_origin=True)
        self._numbers = itertools.count(1)
        self.events = []

    def call(self, method, parameters):
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            told = json.loads(self._socket.recv())
            if told.get("id") == number:
                return {"error": told["error"]} if "error" in told else {"result": told["result"]}
            self.events.append(told)


def _open(process):
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/json", timeout=5) as told:
                pages = [one for one in json.load(told) if one["type"] == "page"]
            return Tab(pages[0]["webSocketDebuggerUrl"])
        except (OSError, IndexError):
            assert process.poll() is None, "chromium has ended"
            assert time.monotonic() < end, "chromium does not answer"
            time.sleep(0.1)


def main():
    """In the namespace: until standard input ends."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        process = subprocess.Popen(
            [
                *("chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
                *("--no-first-run", "--disable-background-networking", "--disable-component-update"),
                *(f"--remote-debugging-port={PORT}", f"--user-data-dir={Path(folder)}", "about:blank"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            tab = _open(process)
            for domain in ("Page", "Runtime", "Log", "Network"):
                tab.call(f"{domain}.enable", {})
            tab.call("Emulation.setFocusEmulationEnabled", {"enabled": True})
            print(json.dumps({"ready": True}), flush=True)
            for line in sys.stdin:
                request = json.loads(line)
                if request["method"] == "events":
                    tab.call("Runtime.evaluate", {"expression": "0"})  # what has happened comes before its answer
                    answer = {"result": tab.events}
                else:
                    answer = tab.call(request["method"], request["parameters"])
                print(json.dumps(answer), flush=True)
        finally:
            process.terminate()
            process.wait(10)


if __name__ == "__main__":
    main()
