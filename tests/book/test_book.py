"""The book as a reader meets it: rendered from the archived run, opened in a real browser, with no network."""

import functools
import http.server
import os
import re
import shutil
import sys
import threading

import pytest

from dnastudy.study import load_profile, load_record
from dnastudy.study.parameters import PROJECT

sys.path.insert(0, str(PROJECT / "workflow"))
from render_book import chapters, contents, render

ARCHIVE = PROJECT / "book" / "archive" / "laptop"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Said by the theme itself, on every page that it makes.
KNOWN_MESSAGES = ("Got invalid theme mode",)
FIGURES = {
    "index": 1,
    "chapters/01_extract_genes": 2,
    "chapters/01_extract_genes/short": 2,
    "chapters/01_extract_genes/short_family": 2,
    "chapters/02_train_tokenizers": 8,
    "chapters/03_select_tokenizer": 3,
    "chapters/04_train_language_model/ngram": 1,
    "chapters/04_train_language_model/ngram_rc": 1,
    "chapters/04_train_language_model/lstm": 1,
    "chapters/04_train_language_model/lstm_published": 1,
    "chapters/04_train_language_model/lstm_seed1": 1,
    "chapters/04_train_language_model/lstm_seed2": 1,
    "chapters/04_train_language_model/lstm_rc": 1,
    "chapters/04_train_language_model/gpt": 1,
    "chapters/04_train_language_model/bert": 1,
    "chapters/04_train_language_model/gpt_published": 1,
    "chapters/05_compare_models": 3,
    "chapters/06_measure_data_hunger": 3,
    "chapters/07_generate_genes": 8,
    "chapters/08_detect_mutations": 5,
    "chapters/08_detect_mutations/short": 4,
    "chapters/09_label_regulatory_sequence": 5,
    "chapters/10_read_the_grammar": 10,
}
PROSE = ("train", "claims", "methods", "data", "rerun", "runs", "references")


@pytest.fixture(scope="session")
def html(tmp_path_factory):
    """The rendered book; Sphinx's warnings are errors."""
    return render(load_profile("laptop"), ARCHIVE, tmp_path_factory.mktemp("book")).parent


@pytest.fixture(scope="session")
def site(html):
    """The book on a local address: search needs one."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=html))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="session")
def browser():
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if not found:
        message = "no Chromium or Chrome found; install one (Debian: apt-get install chromium) to test the book in it"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser, site):
    """A page that reaches the book alone, and the errors that it meets."""
    page = browser.new_page()
    page.troubles = []
    page.on("pageerror", lambda error: page.troubles.append(str(error)))
    page.on("console", lambda m: m.type == "error" and page.troubles.append(m.text))
    page.on("response", lambda r: r.status >= 400 and page.troubles.append(f"{r.status} {r.url}"))
    page.route(lambda url: not url.startswith(site), lambda route: _refuse(page, route))
    yield page
    page.close()


def _refuse(page, route):
    page.troubles.append(f"asks for {route.request.url}")
    route.abort()


def written(html):
    """The book's own pages: what lies under _static belongs to the theme."""
    return [path for path in html.rglob("*.html") if "_static" not in path.parts]


def test_the_table_of_contents_names_every_job_of_the_study():
    for profile in ("smoke", "laptop", "paper"):
        jobs = list(load_profile(profile))
        assert chapters(contents(jobs)) == set(jobs)
    assert "file: claims" in contents(jobs) and "file: claims" not in contents(list(load_profile("smoke")))


def test_every_page_is_there_and_no_other(html):
    pages = {p.relative_to(html).with_suffix("").as_posix() for p in written(html)}
    assert pages == {*FIGURES, *PROSE, "genindex", "search"}


def test_nothing_of_a_template_and_no_folder_of_a_machine_is_left(html):
    for path in written(html):
        text = path.read_text(encoding="utf-8")
        assert "{{" not in text and "{%" not in text, path.name
        assert not re.search(r"/(home|root|tmp|work|Users)/\w", text), path.name


def test_a_second_rendering_of_the_same_run_does_nothing(html):
    before = (html / "index.html").stat().st_mtime_ns
    render(load_profile("laptop"), ARCHIVE, html.parent.parent)
    assert (html / "index.html").stat().st_mtime_ns == before


@pytest.mark.browser
@pytest.mark.parametrize("name", [*FIGURES, *PROSE])
def test_a_page_shows_its_figures_without_an_error_or_a_network(page, site, name):
    page.goto(f"{site}/{name}.html", wait_until="networkidle")
    figures = page.locator("article img")
    shown = figures.evaluate_all("images => images.filter(i => i.complete && i.naturalWidth > 100).length")
    assert (figures.count(), shown) == (FIGURES.get(name, 0), FIGURES.get(name, 0))
    assert [t for t in page.troubles if not t.startswith(KNOWN_MESSAGES)] == []
    assert page.locator("article h1").count() == 1


@pytest.mark.browser
def test_formulas_are_typeset_from_a_local_script(page, site):
    page.goto(f"{site}/methods.html", wait_until="networkidle")
    page.wait_for_selector("mjx-container svg", timeout=10_000)
    assert page.locator("mjx-container").count() >= 2


@pytest.mark.browser
def test_the_landing_page_shows_the_numbers_of_the_record(page, site):
    page.goto(f"{site}/index.html")
    metrics = load_record(ARCHIVE / "05_compare_models")["metrics"]
    text = page.locator("article").inner_text()
    for model in ("ngram", "lstm", "gpt"):
        bits = metrics[f"{model}/all/bits_per_base"]
        assert f"{bits['value']:.3f} ({bits['low']:.3f} to {bits['high']:.3f})" in text


@pytest.mark.browser
def test_search_finds_a_chapter(page, site):
    page.goto(f"{site}/search.html?q=leakage", wait_until="networkidle")
    page.wait_for_selector("ul.search li a", timeout=10_000)
    assert page.locator("ul.search li a", has_text="01 Extract genes").count() >= 1


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("chapter", ["05_compare_models", "09_label_regulatory_sequence", "10_read_the_grammar"])
def test_a_wide_table_scrolls_in_its_own_box_and_its_first_column_stays(page, site, chapter, width):
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(f"{site}/chapters/{chapter}.html", wait_until="networkidle")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    from_the_edge = page.locator("article .cell_output table").evaluate_all(
        """tables => tables.map(table => [table.closest(".searchable div, .text_html"), table])
        .filter(([box, table]) => table.offsetWidth > box.clientWidth)
        .map(([box, table]) => {
          box.scrollLeft = 60;
          const left = element => element.getBoundingClientRect().left;
          return left(table.querySelector("tbody th, tbody td")) - left(box);
        })"""
    )
    assert from_the_edge and all(abs(left) <= 1 for left in from_the_edge)
