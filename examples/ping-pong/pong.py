"""Answers each ping: python pong.py"""

import os

from tailrace import Processor, Tailrace, run


class Pong(Processor[None]):
    def after_append(self, event, state, append):
        append({"type": "pong", "payload": {"round": event.payload["round"]}})


if __name__ == "__main__":
    tailrace = Tailrace(os.environ.get("TAILRACE_URL", "http://localhost:8787"))
    run(Pong(), tailrace.stream("/ping-pong"), slug="pong", types="ping", lease_seconds=5)
