"""The package as it is published: installed, typed, documented, and as its README says."""

import os
import re
import subprocess
import sys
import threading
import venv
from pathlib import Path
from typing import Any

import pytest
from conftest import until

from tailrace import Tailrace

HERE = Path(__file__).resolve().parent
PACKAGE = HERE.parent
PROGRAMS = re.findall(r"^```python\n(.*?)^```", (PACKAGE / "README.md").read_text(), re.DOTALL | re.MULTILINE)


def ran(*command: object, **more: Any) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **more)
    assert done.returncode == 0, done.stdout + done.stderr
    return str(done.stdout + done.stderr)


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python in an empty environment that has the wheel, and nothing but what it needs."""
    folder = tmp_path_factory.mktemp("published")
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder / "dist"]
    ran(*build, PACKAGE)
    (wheel,) = (folder / "dist").glob("*.whl")
    assert len(list((folder / "dist").glob("*.tar.gz"))) == 1
    venv.create(folder / "venv")
    python = folder / "venv" / "bin" / "python"
    install = ["install", "--quiet", "--disable-pip-version-check", wheel]
    ran(sys.executable, "-m", "pip", "--python", python, *install)
    return python


def test_the_first_program_of_the_readme_runs_as_it_is_published(
    installed: Path, shared_runtime: Any, path: str, tmp_path: Path
) -> None:
    program = PROGRAMS[0]
    assert len(program.strip().splitlines()) < 10
    file = tmp_path / "program.py"
    file.write_text(program.replace("http://localhost:8787", shared_runtime.url).replace("/demo", path))
    with Tailrace(shared_runtime.url) as tailrace:
        stream = tailrace.stream(path)
        stream.append({"type": "begun"})
        process = subprocess.Popen([installed, file], cwd=tmp_path)
        try:
            until("it is configured", lambda: stream.state()["subscriptions"])
            stream.append([{"type": "message"}, {"type": "message"}])
            counted = until("it counts", lambda: (c := list(stream.read(types="counted"))) and len(c) == 2 and c)
            assert [event.payload for event in counted] == [{"count": 1}, {"count": 2}]
        finally:
            process.kill()
            process.wait()


def test_the_other_programs_of_the_readme_run(shared_runtime: Any, path: str) -> None:
    assert len(PROGRAMS) == 4
    with Tailrace(shared_runtime.url) as tailrace:
        enough = threading.Event()

        def talk() -> None:
            while not enough.wait(0.1):
                tailrace.stream(path).append({"type": "message", "payload": {"text": "again"}})

        talker = threading.Thread(target=talk)
        talker.start()
        try:
            for program in PROGRAMS[1:]:
                text = program.replace("http://localhost:8787", shared_runtime.url).replace("/support/anna", path)
                said = ran(sys.executable, "-c", text, env={**os.environ, "PYTHONPATH": str(PACKAGE / "src")})
                assert ("print" in program) == bool(said)
        finally:
            enough.set()
            talker.join()


def test_what_is_installed_has_its_types(installed: Path, tmp_path: Path) -> None:
    file = tmp_path / "typed.py"
    file.write_text(
        "from tailrace import AsyncTailrace, Event, Tailrace\n"
        "with Tailrace('http://x') as tailrace:\n"
        "    reveal_type(tailrace.stream('/a').append({'type': 'a'}))\n"
        "    reveal_type(tailrace.stream('/a').append([{'type': 'a'}]))\n"
        "    reveal_type(Event[int]({}).payload)\n"
    )
    check = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", tmp_path / "cache"]
    said = ran(*check, "--python-executable", installed, file)
    assert re.findall(r'Revealed type is "(.*)"', said.replace("builtins.", "").replace("tailrace._event.", "")) == [
        "Event[Any]",
        "list[Event[Any]]",
        "int",
    ]
    ran(*check, "--config-file", PACKAGE / "pyproject.toml", PACKAGE / "src", *sorted(HERE.glob("*.py")))


def test_the_documentation_of_the_api_is_made_without_a_warning(tmp_path: Path) -> None:
    said = ran(
        sys.executable,
        "-W",
        "error",
        "-m",
        "pdoc",
        "tailrace",
        "-o",
        tmp_path,
        env={**os.environ, "PYTHONPATH": str(PACKAGE / "src")},
    )
    assert said == ""
    page = (tmp_path / "tailrace.html").read_text()
    import tailrace

    assert all(f'id="{name}"' in page for name in tailrace.__all__)
    undocumented = [name for name in tailrace.__all__ if not (getattr(tailrace, name).__doc__ or "").strip()]
    assert undocumented == []
