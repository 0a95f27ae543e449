"""Looks at each input before the model does, and pauses the stream when it should not: python safety.py"""

import os
import re

from tailrace import Processor, Tailrace, run

SECRET = re.compile(r"\b(?:\d[ -]?){13,19}\b|\b(?:password|passphrase)\b", re.IGNORECASE)


class Safety(Processor[None]):
    def after_append(self, event, state, append):
        content = event.payload["content"]
        said = content if isinstance(content, str) else " ".join(part.get("text", "") for part in content)
        if not SECRET.search(said):
            append({"type": "safety.passed", "payload": {"of": event.offset}})
            return
        # First it is not to be answered: else it would be, as soon as the stream is resumed.
        append({"type": "agent.interrupt-requested"})
        append({"type": "stream.paused", "payload": {"reason": f"event {event.offset} may hold a secret"}})


if __name__ == "__main__":
    tailrace = Tailrace(os.environ.get("TAILRACE_URL", "http://localhost:8787"))
    run(Safety(), tailrace.stream("/safety"), slug="safety", types="agent.input-added", grants=["stream.paused"])
