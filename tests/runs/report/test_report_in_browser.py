"""The page in a browser: drawn, silent, alone, reachable by keyboard, readable on phones, in the dark, in print."""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from made_report_runs import full_runs, hostile_runs
from report_browser import Browser, browser, chromium

from orl.data.catalog import load
from orl.runs.report.gather import gather
from orl.runs.report.log import leave_log, summary
from orl.runs.report.page import render

pytestmark = pytest.mark.skipif(chromium() is None, reason="no chromium here; Debian's package of that name is enough")
AXE = Path(os.environ.get("ORL_AXE", Path(__file__).parents[3] / "node_modules" / "axe-core" / "axe.min.js"))
FOCUSABLE = "a[href], button, summary, [tabindex='0']"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, pendulum_log: str) -> Path:
    """A report with every section."""
    pytest.importorskip("vl_convert", reason="the extra [report] is not installed")
    folder = tmp_path_factory.mktemp("page")
    log = {"summary": summary(load(pendulum_log)), "missing": None}
    file = folder / "report.html"
    file.write_text(render(gather([full_runs(folder / "runs")], read=lambda *_: log)))
    return file


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of runs with an attack in every name."""
    folder = tmp_path_factory.mktemp("hostile")
    file = folder / "report.html"
    file.write_text(render(gather([hostile_runs(folder / "runs")], read=leave_log)))
    return file


@pytest.fixture(scope="module")
def tab(page: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("browser")) as found:
        yield found


def test_every_figure_is_drawn_silently_and_nothing_is_fetched(tab: Browser, page: Path) -> None:
    tab.visit(page)
    assert tab.ask("document.querySelectorAll('.plot').length") == 15
    assert tab.ask("[...document.querySelectorAll('.plot')].filter((p) => !p.querySelector('svg path')).length") == 0
    assert tab.said() == []
    assert [address for address in tab.asked_for() if not address.startswith("data:")] == [page.as_uri()]


def test_what_is_looked_at_is_drawn_first(tab: Browser, page: Path) -> None:
    """Opened at its last figure."""
    tab.visit(page)
    places = tab.ask("[...document.querySelectorAll('.plot')].map((place) => place.id)")
    watch = """window.order = []; new MutationObserver((changes) => {
        for (const { target } of changes) {
          const place = target.closest?.(".plot");
          if (place?.querySelector("svg path") && !order.includes(place.id)) order.push(place.id);
        }
      }).observe(document, { subtree: true, childList: true });"""
    script = tab.call("Page.addScriptToEvaluateOnNewDocument", source=watch)["identifier"]
    tab.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-reduced-motion", "value": "reduce"}])
    tab.call("Page.navigate", url="about:blank")
    tab.call("Page.navigate", url=f"{page.as_uri()}#{places[-1]}")
    tab.wait_for("document.documentElement?.dataset.drawn === 'yes'")
    tab.call("Page.removeScriptToEvaluateOnNewDocument", identifier=script)
    order = tab.ask("order")
    assert sorted(order) == sorted(places)
    assert order.index(places[-1]) < order.index(places[len(places) // 2])


def test_what_the_page_must_stay_below(page: Path) -> None:
    assert page.stat().st_size < 2_000_000


def test_data_from_elsewhere_never_act(tab: Browser, hostile: Path) -> None:
    """Not when the page is loaded, and not when the pointer opens a tooltip with the attack in it."""
    tab.visit(hostile)
    box = tab.ask(
        "(() => { const p = [...document.querySelectorAll('figure')].find((f) => f.textContent.startsWith('Value'))"
        ".querySelector('svg'); p.scrollIntoView({block: 'center', behavior: 'instant'});"
        " const r = p.getBoundingClientRect(); return [r.x + r.width / 3, r.y + r.height / 2]; })()"
    )
    for shift in (0, 5):
        tab.call("Input.dispatchMouseEvent", type="mouseMoved", x=box[0] + shift, y=box[1])
    tab.wait_for("document.querySelector('#vg-tooltip-element.visible') !== null")
    assert "gradient updates" in tab.ask("document.querySelector('#vg-tooltip-element').textContent")
    assert tab.ask("document.querySelectorAll('img, iframe, object, embed').length") == 0
    assert tab.dialogs() == 0
    assert tab.said() == []
    assert [address for address in tab.asked_for() if not address.startswith("data:")] == [hostile.as_uri()]


def test_the_policy_stops_what_escaping_would_have_let_through(tab: Browser, page: Path, tmp_path: Path) -> None:
    """A page into which somebody wrote a script and an image by hand."""
    broken = tmp_path / "broken.html"
    attack = "<script>alert(1)</script><img src=x onerror=alert(1)><img src=https://127.0.0.1:9/x>"
    broken.write_text(page.read_text().replace("<footer>", f"<footer>{attack}"))
    tab.visit(broken)
    assert tab.dialogs() == 0
    assert sum("Content Security Policy" in said for said in tab.said()) >= 3


def test_the_keyboard_reaches_everything(tab: Browser, page: Path) -> None:
    """From the top, Tab by Tab: the skip link first, then every link, button, table and fold in their order."""
    tab.visit(page)
    shown = f'[...document.querySelectorAll("{FOCUSABLE}")].filter((e) => e.checkVisibility())'
    wanted = tab.ask(f"{shown}.map((e, i) => e.dataset.stop = i)")
    assert len(wanted) > 60
    reached = []
    for _ in wanted:
        tab.press("Tab")
        reached.append(tab.ask("document.activeElement.dataset.stop"))
    assert reached == [str(index) for index in wanted]
    assert tab.ask("document.querySelector('[data-stop=\"0\"]').textContent") == "Skip to the content"


def test_focus_is_seen(tab: Browser, page: Path) -> None:
    tab.visit(page)
    tab.press("Tab")
    assert tab.ask("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    tab.press("Enter")
    assert tab.ask("document.activeElement.id") == "content"


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_a_figure_is_saved_by_its_button(kind: str, tab: Browser, page: Path, tmp_path: Path) -> None:
    tab.visit(page, scheme="dark")
    tab.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    tab.ask(f"document.querySelector('[data-save={kind}]').focus()")
    tab.press("Enter")
    file = tmp_path / f"what-each-policy-is-worth-in-the-environment-small-dots-seeds-.{kind}"
    ends = time.monotonic() + 60
    while not file.exists() and time.monotonic() < ends:
        tab.ask("new Promise((next) => setTimeout(next, 50))")
    content = file.read_bytes()
    if kind == "svg":
        assert content.startswith(b"<svg")
        assert b"var(--" not in content
        assert b"#1f5fa8" in content
    else:
        assert content.startswith(b"\x89PNG")
        assert int.from_bytes(content[16:20], "big") > 1400
    assert tab.said() == []


@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (1200, "dark"), (390, "light"), (390, "dark")])
def test_axe_finds_no_serious_fault(width: int, scheme: str, tab: Browser, page: Path) -> None:
    if not AXE.is_file():
        pytest.skip(f"no axe-core at {AXE}; `npm install --no-save axe-core` brings it")
    tab.visit(page, width=width, height=800, scheme=scheme)
    tab.ask("for (const each of document.querySelectorAll('details')) each.open = true;")
    tab.ask(AXE.read_text() + "; undefined")
    found = json.loads(tab.ask("axe.run().then((found) => JSON.stringify(found))"))
    grave = [each for each in found["violations"] if each["impact"] in ("serious", "critical")]
    assert [(each["id"], each["nodes"][0]["html"][:200]) for each in grave] == []
    assert "color-contrast" in {each["id"] for each in found["passes"]}


def test_a_phone_scrolls_one_way_only(tab: Browser, page: Path) -> None:
    tab.visit(page, width=390, height=800)
    assert tab.ask("document.documentElement.scrollWidth") == 390
    widest = "Math.max(...[...document.querySelectorAll('.plot svg')].map((svg) => svg.getBoundingClientRect().right))"
    assert tab.ask(widest) <= 390


def test_paper_is_white_and_holds_every_setting(tab: Browser, page: Path) -> None:
    tab.visit(page, scheme="dark")
    assert tab.ask("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 27)"
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    tab.call("Emulation.setEmulatedMedia", media="print", features=dark)
    assert tab.ask("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert tab.ask("getComputedStyle(document.querySelector('nav')).display") == "none"
    tab.call("Emulation.setEmulatedMedia", media="", features=dark)
    tab.ask("window.dispatchEvent(new Event('beforeprint'))")
    assert tab.ask("document.querySelectorAll('article details:not([open])').length") == 0
    tab.ask("window.dispatchEvent(new Event('afterprint'))")
    assert tab.ask("document.querySelectorAll('article details[open]').length") == 0
    assert base64.b64decode(tab.call("Page.printToPDF")["data"]).startswith(b"%PDF")
