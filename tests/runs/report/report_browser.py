"""Headless Chromium over its DevTools protocol, spoken through a pipe: no driver, no port, no network."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# Chromium reads commands from descriptor 3 and answers on 4
LAUNCH = """import fcntl, os, sys
ends = [fcntl.fcntl(int(each), fcntl.F_DUPFD, 10) for each in sys.argv[1:3]]
for end, number in zip(ends, (3, 4)): os.dup2(end, number)
os.execv(sys.argv[3], sys.argv[3:])"""
NAMES = ("chromium", "chromium-browser", "google-chrome")
SECONDS = 60.0  # for an answer, on a machine under load


def chromium() -> str | None:
    """The path of a Chromium, if there is one."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class Browser:
    """One page in a browser of its own; what it asked for, said and threw is kept in `events`, by method."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands, self._answers = commands, answers
        self._buffer, self._number, self._session = b"", 0, ""
        self.events: list[tuple[str, dict[str, Any]]] = []

    def open_tab(self) -> None:
        """A tab to work in."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The result of a DevTools command."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise AssertionError(f"{method}: {answer['error']}")
                return answer["result"]
            self.events.append((answer.get("method", ""), answer.get("params", {})))

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            if not select.select([self._answers], [], [], SECONDS)[0]:
                raise AssertionError("the browser does not answer")
            part = os.read(self._answers, 1 << 20)
            if not part:
                raise AssertionError("the browser has gone")
            self._buffer += part
        first, self._buffer = self._buffer.split(b"\0", 1)
        return json.loads(first)

    def ask(self, expression: str) -> Any:
        """The value of a JavaScript expression, a promise's included."""
        answer = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise AssertionError(f"{expression[:80]}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait_for(self, expression: str) -> None:
        """Until the expression is true."""
        ends = time.monotonic() + SECONDS
        while not self.ask(expression):
            assert time.monotonic() < ends, f"never came true: {expression}"
            time.sleep(0.02)

    def visit(self, page: Path, width: int = 1200, height: int = 900, scheme: str = "light") -> None:
        """Load a report at a size and in a colour scheme, and wait for its figures."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.events.clear()
        self.call("Page.navigate", url=page.as_uri())
        self.wait_for(f"location.href === '{page.as_uri()}' && document.documentElement?.dataset.drawn === 'yes'")

    def press(self, key: str) -> None:
        """A key of the keyboard: Tab or Enter."""
        code = {"Tab": 9, "Enter": 13}[key]
        more = {"text": "\r"} if key == "Enter" else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, code=key, windowsVirtualKeyCode=code, **more)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, code=key, windowsVirtualKeyCode=code)

    def picture(self, file: Path) -> None:
        """The whole page as a PNG."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        file.write_bytes(base64.b64decode(shot["data"]))

    def said(self) -> list[str]:
        """What came to the console, by itself or from the page: warnings, errors and what was thrown."""
        found = []
        for method, event in self.events:
            if method == "Runtime.consoleAPICalled" and event["type"] in ("warning", "error", "assert"):
                found.append(json.dumps(event["args"]))
            elif method == "Runtime.exceptionThrown":
                found.append(json.dumps(event["exceptionDetails"]))
            elif method == "Log.entryAdded" and event["entry"]["level"] in ("warning", "error"):
                found.append(event["entry"]["text"])
        return found

    def asked_for(self) -> list[str]:
        """The addresses of all requests."""
        return [event["request"]["url"] for method, event in self.events if method == "Network.requestWillBeSent"]

    def dialogs(self) -> int:
        """How often a script opened a dialog."""
        return sum(method == "Page.javascriptDialogOpening" for method, _ in self.events)


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """A browser with its profile and its downloads in `folder`."""
    (commands_end, commands), (answers, answers_end) = os.pipe(), os.pipe()
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--no-first-run",
               "--disable-dev-shm-usage", "--disable-background-networking", "--hide-scrollbars",
               f"--user-data-dir={folder / 'profile'}"]  # fmt: skip
    launch = [sys.executable, "-c", LAUNCH, str(commands_end), str(answers_end), str(chromium()), *options]
    process = subprocess.Popen(
        launch, pass_fds=(commands_end, answers_end), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    os.close(commands_end)
    os.close(answers_end)
    try:
        found = Browser(commands, answers)
        found.open_tab()
        found.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
        yield found
    finally:
        os.close(commands)
        process.terminate()
        process.wait(timeout=SECONDS)
        os.close(answers)
