"""Drives a headless Chromium through its DevTools pipe: opens pages, presses keys, hears what they say and ask for."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe",
    "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
    "--force-color-profile=srgb", "--font-render-hinting=none",
)  # fmt: skip
_ENTER = {"Enter": (13, "\r"), "Tab": (9, ""), "Escape": (27, ""), "ArrowDown": (40, ""), " ": (32, " ")}


class Page:
    """One page, and everything that it said on its console and asked of the network."""

    def __init__(self, write: int, read: int) -> None:
        self._write, self._read, self._buffer, self._sent = write, read, b"", 0
        self.errors: list[str] = []
        """Console errors and warnings, uncaught errors, and what the page's own policy refused."""
        self.requests: list[str] = []
        """Addresses, without data URIs."""
        target = self._say("Target.createTarget", {"url": "about:blank"}, None)["targetId"]
        self._session = self._say("Target.attachToTarget", {"targetId": target, "flatten": True}, None)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log", "DOM"):
            self.say(f"{domain}.enable")

    def say(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._say(method, parameters, self._session)

    def open(self, url: str, width: int = 1300, height: int = 900, dark: bool = False) -> float:
        """Load a page until it is ready; returns the seconds that this took."""
        self.say(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.say("Emulation.setEmulatedMedia", features=scheme)
        self.errors.clear()
        self.requests.clear()
        self.run("document.documentElement && delete document.documentElement.dataset.ready")  # of the page before
        begun = time.perf_counter()
        self.say("Page.navigate", url=url)
        self.wait("document.documentElement?.dataset.ready === 'true'")
        return time.perf_counter() - begun

    def run(self, code: str) -> Any:
        """The value of an expression, which must be plain data; a promise is awaited."""
        found = self.say("Runtime.evaluate", expression=code, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait(self, condition: str, seconds: float = 20.0) -> None:
        ends = time.monotonic() + seconds
        while not self.run(condition):
            assert time.monotonic() < ends, f"never came true: {condition}; the page said {self.errors}"
            time.sleep(0.02)

    def press(self, *keys: str) -> None:
        """Keys by name, or whole texts letter by letter."""
        for key in keys:
            for one in [key] if key in _ENTER else key:
                code, text = _ENTER[one] if one in _ENTER else (ord(one.upper()) if one.isalnum() else 0, one)
                what = {"key": one, "windowsVirtualKeyCode": code, **({"text": text} if text else {})}
                self.say("Input.dispatchKeyEvent", type="keyDown", **what)
                self.say("Input.dispatchKeyEvent", type="keyUp", key=one, windowsVirtualKeyCode=code)

    def picture(self, file: Path, whole: bool = False) -> Path:
        shown = self.say("Page.captureScreenshot", format=file.suffix[1:], captureBeyondViewport=whole,
                         **({"quality": 70} if file.suffix == ".webp" else {}))  # fmt: skip
        file.write_bytes(base64.b64decode(shown["data"]))
        return file

    def _say(self, method: str, parameters: dict[str, Any], session: str | None) -> dict[str, Any]:
        self._sent += 1
        message = {
            "id": self._sent,
            "method": method,
            "params": parameters,
            **({"sessionId": session} if session else {}),
        }
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._write, data) :]
        while True:
            while b"\0" not in self._buffer:
                part = os.read(self._read, 2**20)
                assert part, "Chromium has ended"
                self._buffer += part
            line, _, self._buffer = self._buffer.partition(b"\0")
            heard = json.loads(line)
            if heard.get("id") == self._sent:
                assert "error" not in heard, heard["error"]
                return heard["result"]
            self._hear(heard.get("method", ""), heard.get("params", {}))

    def _hear(self, event: str, what: dict[str, Any]) -> None:
        if event == "Runtime.exceptionThrown":
            self.errors.append(what["exceptionDetails"].get("exception", {}).get("description", "error"))
        elif event == "Runtime.consoleAPICalled" and what["type"] in ("error", "warning", "assert"):
            self.errors.append(str([each.get("value") for each in what["args"]]))
        elif event == "Log.entryAdded" and what["entry"]["level"] in ("error", "warning"):
            self.errors.append(what["entry"]["text"])
        elif event == "Network.requestWillBeSent" and not what["request"]["url"].startswith("data:"):
            self.requests.append(what["request"]["url"])


@contextmanager
def browsing(profile: Path) -> Iterator[Page]:
    """A page of a new Chromium with its profile in a folder; skips the test where there is no Chromium."""
    program = next((found for name in _NAMES if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("no Chromium: on Debian, apt-get install chromium")
    (down_read, down_write), (up_read, up_write) = os.pipe(), os.pipe()
    command = f'exec "$0" "$@" 3<&{down_read} 4>&{up_write}'
    process = subprocess.Popen(
        ["bash", "-c", command, program, *_FLAGS, f"--user-data-dir={profile}"], pass_fds=(down_read, up_write),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(down_read)
    os.close(up_write)
    try:
        yield Page(down_write, up_read)
    finally:
        process.terminate()
        process.wait(20)
        os.close(down_write)
        os.close(up_read)
