"""Says hello, and reads what everybody said: python hello.py"""

import os

from tailrace import Tailrace

with Tailrace(os.environ.get("TAILRACE_URL", "http://localhost:8787")) as tailrace:
    stream = tailrace.stream("/hello-world")
    stream.append({"type": "message", "payload": {"text": "Hello from Python!"}})
    for event in stream.read(types="message"):
        print(event.offset, event.payload["text"])
