"""An agent at a shell: what it writes in a bash block is run, and it is told what came of it.

    python bash_mode.py

Each of its streams has a folder of its own, which is gone when this program ends. What bounds a command is said in
README.md, and also what does not.
"""

import contextlib
import os
import re
import selectors
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from tailrace import Processor, Tailrace, run

SECONDS = float(os.environ.get("BASH_SECONDS", "10"))  # for one command
OUTPUT = 16 * 1024  # bytes that the agent is told
# Seconds of CPU and KiB of memory of each process, KiB and number of files, no core dumps.
LIMITS = "ulimit -t 10 -v 1048576 -f 8192 -n 64 -c 0\n"
BLOCK = re.compile(r"^```bash\n(.*?)^```", re.DOTALL | re.MULTILINE)

AGENT = {
    "api": "chat",
    "model": os.environ.get("MODEL", "gpt-4.1-mini"),
    "baseUrl": os.environ.get("MODEL_URL", "https://api.openai.com/v1"),
    "secret": "OPENAI",
    "tools": [],
    "system": (
        "You work at a shell. What you write in a ```bash block is run in your folder, and you are told what it wrote. "
        "Write one block at a time and wait. When you are done, answer without a block."
    ),
}


class BashMode(Processor[None]):
    """Runs the blocks of each answer, one after the other, and says what they wrote as input."""

    def __init__(self, home: Path):
        self.home = home

    def after_append(self, event, state, append):
        blocks = BLOCK.findall(event.payload["content"])
        if not blocks:
            return
        folder = self.home / event.stream_path.strip("/").replace("/", "+")
        folder.mkdir(exist_ok=True)
        results = [execute(block, folder) for block in blocks]
        append({"type": "agent.input-added", "payload": {"content": "\n\n".join(results), "from": "bash"}})


def execute(script: str, folder: Path) -> str:
    """Runs a script; what it wrote, and how it ended."""
    process = subprocess.Popen(
        ["bash", "-c", LIMITS + script],
        cwd=folder,
        # None of this program's variables: there may be keys among them.
        env={"PATH": os.defpath, "HOME": str(folder), "LANG": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        # A group of its own, so that its children end with it.
        start_new_session=True,
    )
    deadline = time.monotonic() + SECONDS
    said, why = read(process.stdout.fileno(), deadline)
    try:
        # Who has nothing more to say may still be at work.
        process.wait(timeout=0 if why else max(0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        why = why or f"it took longer than {SECONDS:g} s"
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    code = process.wait()
    process.stdout.close()
    text = said[:OUTPUT].decode(errors="replace")
    return f"{text}\n[ended: {why}]" if why else f"{text}\n[exit {code}]"


def read(pipe: int, deadline: float) -> tuple[bytes, str | None]:
    """What comes out of a pipe, and why no more of it was read."""
    said = b""
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while (left := deadline - time.monotonic()) > 0:
            if not selector.select(left):
                continue
            piece = os.read(pipe, 65536)
            if not piece:
                return said, None
            said += piece
            if len(said) > OUTPUT:
                return said, f"it wrote more than {OUTPUT} bytes"
    return said, f"it took longer than {SECONDS:g} s"


def main() -> None:
    stream = Tailrace(os.environ.get("TAILRACE_URL", "http://localhost:8787")).stream("/bash-mode")
    stream.append({"type": "subscription.configured", "payload": {"slug": "sheller", "target": {"agent": AGENT}}})
    home = Path(tempfile.mkdtemp(prefix="bash-mode-"))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        run(BashMode(home), stream, slug="bash", types="agent.output-added")
    except KeyboardInterrupt:
        pass
    finally:
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
