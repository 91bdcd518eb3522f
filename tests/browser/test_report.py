"""The report as its readers meet it: sorted, filtered, read aloud, in light and dark, on a phone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from aliquot.keys import ChunkId, OutcomeKey
from aliquot.outcome import Outcome
from aliquot.spans import SpanSet
from aliquot.trace import Spread, Trace
from orchestrator.api import plan
from orchestrator.report.asking import write_now

MESSAGE = "</script><img src=x onerror=document.title='broken'>"
JOB = f"""
import os, time
def work(record):
    n = int(record["n"])
    if n % 5 == 0: raise ValueError({MESSAGE!r} + str(n))
    if n == 33: os._exit(3)
    time.sleep(0.001)
    return {{"n": n, "id": record["id"]}}
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a run of 100 records, of which 21 failed."""
    folder = tmp_path_factory.mktemp("report")
    (folder / "browsed.py").write_text(JOB)
    rows = "".join(f"<i>{n},{n}\n" for n in range(100))
    (folder / "data.csv").write_text(f"id,n\n{rows}")
    address = f"{folder / 'browsed.py'}:work"
    plan(address, str(folder / "data.csv"), max_failed="50%").start(folder / "out").wait(quiet=True)
    return folder / "out" / "report.html"


def open_page(browser, path: Path, width: int = 1280, scheme: str = "light"):
    """The page, opened; what its console says is an error of the test."""
    page = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme).new_page()
    page.said = []
    page.on("console", lambda message: page.said.append(message.text))
    page.on("pageerror", lambda error: page.said.append(str(error)))
    page.on("request", lambda asked: page.said.append(asked.url) if asked.url.startswith("http") else None)
    page.goto(path.as_uri())
    return page


def draw_all(page) -> None:
    """Scroll through the page, so that its charts are drawn."""
    for chart in page.query_selector_all(".chart"):
        chart.scroll_into_view_if_needed()
        page.wait_for_function("chart => chart.dataset.drawn", arg=chart)


def column(page, place: int) -> list[str]:
    rows = page.query_selector_all("#examples tbody tr:not([hidden])")
    return [row.query_selector_all("td")[place].inner_text() for row in rows]


def test_tables_sort_and_filter_and_hostile_text_stays_text(browser, report):
    page = open_page(browser, report)
    draw_all(page)
    head = page.locator("#examples th").first
    assert head.get_attribute("aria-sort") == "none"
    records = column(page, 0)
    head.locator("button").focus()
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "ascending"
    assert column(page, 0) == sorted(records, key=int)
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    assert column(page, 0) == sorted(records, key=int, reverse=True)
    page.get_by_label("Filter failed records").fill("crash")
    assert column(page, 0) == ["33"]
    assert page.locator("#examples output").inner_text() == "1 of 21 rows"
    page.get_by_label("Filter failed records").fill("")
    assert len(column(page, 0)) == 21
    assert page.locator("img").count() == 0
    assert "broken" not in page.title()
    assert page.said == []
    page.context.close()


@pytest.mark.long
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_stands_in_a_readers_way(browser, report, width, scheme):
    """axe-core finds nothing, and nothing is wider than the page."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = open_page(browser, report, width, scheme)
    draw_all(page)
    for details in page.query_selector_all("details"):
        details.evaluate("each => each.open = true")
    found = axe.run(page)
    assert found.violations_count == 0, found.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.said == []
    page.context.close()


@pytest.mark.long
def test_charts_follow_the_scheme(browser, report):
    page = open_page(browser, report)
    draw_all(page)
    read = "getComputedStyle(document.querySelector('.chart .xtick text')).fill"
    light = page.evaluate(read)
    page.emulate_media(color_scheme="dark")
    page.wait_for_function("light => " + read + " !== light", arg=light)
    assert page.evaluate(read) != light
    page.context.close()


@pytest.mark.long
def test_a_browser_that_cannot_unpack_says_why_there_are_no_charts(browser, report):
    page = browser.new_page()
    page.add_init_script("delete window.DecompressionStream")
    page.goto(report.as_uri())
    page.get_by_text("Not drawn, since this browser is older than 2023").first.wait_for()
    assert page.locator(".chart").count() == 0
    assert "worker" in page.inner_text("#timeline-said")
    page.close()


@pytest.mark.long
def test_a_run_of_100000_tasks_opens_in_a_second(browser, report, tmp_path):
    """Outcomes as the engine writes them; the page is as large as any, and its charts are drawn."""
    shutil.copytree(report.parent, tmp_path / "out")
    ledger = tmp_path / "out" / "ledger"
    shutil.rmtree(ledger / "outcomes")
    spread = Spread()
    spread.note(0, 100, 10**9)
    for number in range(100_000):
        chunk, first = ChunkId(number // 10, 1000), 100 * (number % 10)
        spans = SpanSet.range(first, first + 100)
        path = ledger / str(OutcomeKey("call", chunk, spans, f"{number:012x}", "local", 4900, 0, 1))
        path.parent.mkdir(parents=True, exist_ok=True)
        made = tmp_path / f"{number % 2000}"
        if number < 2000:  # the others are links to these, which takes a tenth of the time
            at_ms = 1_790_000_000_000 + number // 20 * 5000
            trace = Trace(f"e/{number % 500}", at_ms, at_ms + 4900, spread)
            made.write_bytes(Outcome({}, {}, 0, peak_mib=100, trace=trace).to_bytes())
        path.hardlink_to(made)
    written = write_now(tmp_path / "out")
    assert written.stat().st_size < 2_500_000
    taken = "performance.getEntriesByType('navigation')[0].loadEventEnd"
    pages = [open_page(browser, written) for _ in range(3)]
    assert min(page.evaluate(taken) for page in pages) < 1000
    draw_all(pages[0])
    assert "of 100,000 outcomes" in pages[0].inner_text("#timeline-said")
    assert pages[0].said == []
    for page in pages:
        page.context.close()
