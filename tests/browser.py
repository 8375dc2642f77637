"""Chromium without a window, driven over a pipe by its own debugging protocol: no driver and no port."""

import base64
import json
import os
import shutil
import subprocess
from pathlib import Path

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Browser:
    """A page of a headless Chromium that reaches no network. Use it in a ``with`` statement."""

    def __init__(self, profile: Path) -> None:
        to_browser, self._out = os.pipe()
        self._in, from_browser = os.pipe()
        # The protocol's pipes are descriptors 3 and 4 of the browser.
        script = f'exec "$0" "$@" 3<&{to_browser} 4>&{from_browser}'
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"]
        options += [f"--user-data-dir={profile}", "--host-resolver-rules=MAP * ~NOTFOUND", "about:blank"]
        self._process = subprocess.Popen(
            ["bash", "-c", script, CHROMIUM, *options],
            pass_fds=(to_browser, from_browser),
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self._buffer, self._n_calls, self._session = b"", 0, None
        self.events: list[dict] = []
        targets = self.call("Target.getTargets")["targetInfos"]
        target = next(one["targetId"] for one in targets if one["type"] == "page")
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.terminate()
        self._process.wait()
        os.close(self._in)
        os.close(self._out)

    def _message(self) -> dict:
        while b"\0" not in self._buffer:
            self._buffer += os.read(self._in, 1 << 20)
        text, self._buffer = self._buffer.split(b"\0", 1)
        return json.loads(text)

    def call(self, method: str, **parameters) -> dict:
        """Call a method of the protocol and return its result; what happens meanwhile is in ``events``."""
        self._n_calls += 1
        call = {"id": self._n_calls, "method": method, "params": parameters}
        if self._session:
            call["sessionId"] = self._session
        os.write(self._out, json.dumps(call).encode() + b"\0")
        while (message := self._message()).get("id") != self._n_calls:
            self.events.append(message)
        if "error" in message:
            raise RuntimeError(f"{method}: {message['error']}")
        return message["result"]

    def open(self, url: str, width: int, dark: bool = False) -> None:
        """Open a page in a window of a width, and wait until it is there."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.events.clear()
        self.call("Page.navigate", url=url)
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(self._message())
        self.value("new Promise(done => setTimeout(done, 50))")

    def value(self, expression: str):
        """The value of an expression of JavaScript, awaited if it is a promise."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        return result["result"].get("value")

    def problems(self) -> list[str]:
        """Errors in the console, and requests that are not for a file, since the page was opened."""
        found = []
        for event in self.events:
            content = event.get("params", {})
            match event["method"]:
                case "Runtime.exceptionThrown":
                    found.append(content["exceptionDetails"]["text"])
                case "Log.entryAdded" if content["entry"]["level"] == "error":
                    found.append(content["entry"]["text"] + " " + content["entry"].get("url", ""))
                case "Runtime.consoleAPICalled" if content["type"] == "error":
                    found.append(str(content["args"]))
                case "Network.requestWillBeSent" if not content["request"]["url"].startswith(
                    ("file:", "data:")
                ):
                    found.append(f"a request for {content['request']['url']}")
        return found

    def picture(self, path: Path, height: int | None = None) -> None:
        """Save a picture of the page, of its full height unless one is given."""
        height = height or int(self.value("document.documentElement.scrollHeight"))
        width = int(self.value("window.innerWidth"))
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        picture = self.call("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        path.write_bytes(base64.b64decode(picture["data"]))
