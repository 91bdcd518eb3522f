"""What tests of all kinds share."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# no timed tests: a busy machine is no fault of the code
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# moto, samtranslator and pydantic are a heap of objects that never go: walking it again and again took a
# sixth of the processor time of tests that rehearse
gc.set_threshold(20_000, 20, 20)

# a suite begun in the background inherits "ignore", and so would the commands that tests interrupt
signal.signal(signal.SIGINT, signal.default_int_handler)

CHROMIUM = Path("/usr/bin/chromium")
ROOT = Path(__file__).resolve().parents[1]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """`-n auto`: one more than there are processors, as tests wait for the processes that they start."""
    return (os.cpu_count() or 1) + 1


@pytest.fixture(scope="session")
def project_root() -> Path:
    """The folder that holds pyproject.toml."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with the real datasets, which are not part of the project; skips where it is absent."""
    folder = Path(os.environ.get("ALIQUOT_TEST_DATA") or ROOT / "../shared/data").resolve()
    if not (folder / "uspto").is_dir():
        pytest.skip("no real data here: ALIQUOT_TEST_DATA names the folder that holds it")
    return folder


@pytest.fixture(scope="session")
def browser() -> Iterator[object]:
    """Debian's Chromium, driven; once, since a second driver in one process is refused."""
    if not CHROMIUM.exists():
        pytest.skip("no chromium here")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield chromium
        chromium.close()
