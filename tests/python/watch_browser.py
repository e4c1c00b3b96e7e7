#!/usr/bin/env python3
"""The live page and the report in headless Chromium: speed, updates, keyboard, hostile texts, no request to anywhere else.

  python3 tests/python/watch_browser.py ISOTROPE [--sanitized]           the tests; exit code 77 without Chromium. --sanitized: times are
                                                                        printed, not limited: a sanitizer's are several times as long
  python3 tests/python/watch_browser.py ISOTROPE --pictures RUN… FOLDER  screenshots of both pages into FOLDER
"""

import json
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from devtools import Browser, find_chromium
from sample_comparison import NAME, RATES, make_comparison

RECORDS = 100_000
HOSTILE = "<img src=x onerror=window.injected=1>"
FIRST_PAINT_MS, UPDATE_S = 1000, 1.0


def record(step):
    return json.dumps({"type": "step", "step": step, "grad_norm": 1 + math.sin(step / 50), "loss": 2 + 5 / math.sqrt(step), "lr": 1e-3, "memory_bytes": 9e8,
                       "seconds": step * 0.3, "tokens": step * 8192, "tokens_per_second": 27000 + step % 100}, separators=(",", ":")) + "\n"  # fmt: skip


def measured(step, steps):
    """Tables and spectra, of hostile names too."""
    layers = {f"resid_post.{layer}": 0.05 * layer + 0.3 * step / steps for layer in range(12)}
    for name, rows in (("anisotropy", layers), (f"drift {HOSTILE}", {"above": 0.5, "below": -0.25, HOSTILE: step / steps - 0.5})):
        yield {"type": "table", "step": step, "name": name, "rows": rows}
    for name, row in (("gradient", "model.layers.0.w"), ("gradient", "model.layers.1.w"), (HOSTILE, HOSTILE)):
        yield {"type": "spectrum", "step": step, "name": name, "row": row, "values": [step / steps * 0.5**i for i in range(20)]}


def make_run(folder, steps, with_measured=True):
    folder.mkdir(parents=True)
    with open(folder / "run.jsonl", "w") as log:
        log.write(json.dumps({"type": "run", "format": 1, "started": "2026-11-22T07:13:54Z", "version": HOSTILE, "commit": HOSTILE}) + "\n")
        for step in range(1, steps + 1):
            log.write(record(step))
            if step % (steps // 10) == 0:
                names = {f"model.layers.{layer}.{HOSTILE}": 0.02 + layer * step / steps for layer in range(4)}
                for each in (
                    {"type": "eval", "step": step, "nll": 2 + 5 / math.sqrt(step), "bits_per_byte": 1.2},
                    {"type": "sample", "step": step, "prompt": HOSTILE, "text": f"</pre>{HOSTILE}"},
                    {"type": "weights", "step": step, "rms": {"matrix": 0.02, HOSTILE: 0.1}, "matrices": names},
                    {"type": "warning", "step": step, "message": HOSTILE},
                    {"type": "skip", "step": step, "reason": "empty"},
                    *(measured(step, steps) if with_measured else ()),
                ):
                    log.write(json.dumps(each) + "\n")
    (folder / "config.toml").write_text(f"[run]\nfolder = '{HOSTILE}'\n\n[train]\nsteps = {2 * steps}\n")


class Watch:
    def __init__(self, program, folders):
        self.process = subprocess.Popen([program, "watch", "--json", "--quiet", "--port", "0", *map(str, folders)], stdout=subprocess.PIPE, text=True)
        self.url = json.loads(self.process.stdout.readline())["url"]

    def close(self):
        self.process.terminate()
        self.process.wait()
        self.process.stdout.close()


def expect(truth, what):
    if not truth:
        raise AssertionError(what)


def expect_calm(browser, origin):
    expect(not browser.complaints(), f"the console is not empty: {browser.complaints()}")
    strangers = [url for url in browser.requested() if not url.startswith(origin) and not url.startswith("data:")]
    expect(not strangers, f"asked of others: {strangers}")
    expect(browser.run("window.injected === undefined && document.querySelectorAll('img').length === 0"), "a run's text became markup")


def open_everything(browser):
    browser.run("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    browser.wait("document.querySelector('.heatmap canvas[role=img]')?.width > 300 && document.querySelector('.sample') !== null && document.querySelector('.settings') !== null")


def test_first_paint(browser, url, limited):
    drawn, painted = [], []
    for _ in range(5):
        browser.open(url)
        drawn.append(browser.run("performance.getEntriesByName('isotrope-drawn')[0].startTime"))
        browser.wait("performance.getEntriesByName('first-contentful-paint').length > 0")
        painted.append(browser.run("performance.getEntriesByName('first-contentful-paint')[0].startTime"))
    print(f"{RECORDS} records: first paint {median(painted):.0f} ms, charts drawn {median(drawn):.0f} ms (medians of 5)")
    expect(not limited or median(painted) <= FIRST_PAINT_MS and median(drawn) <= FIRST_PAINT_MS, f"slower than {FIRST_PAINT_MS} ms")
    expect(browser.run("document.querySelectorAll('.chart canvas').length") >= 7, "charts are missing")


def test_update(browser, folder, limited):
    delays = []
    for step in range(RECORDS + 1, RECORDS + 6):
        before = browser.run("document.documentElement.dataset.records")
        began = time.monotonic()
        with open(folder / "run.jsonl", "a") as log:
            log.write(record(step))
        browser.wait(f"document.documentElement.dataset.records !== '{before}'", 10)
        delays.append(time.monotonic() - began)
        shown = browser.run("document.querySelector('#runs td[data-head=step]').textContent").replace("\u202f", "")
        expect(shown.startswith(str(step)), f"the table shows {shown}, the log is at {step}")
        time.sleep(0.3)
    print(f"record to page: {median(delays):.2f} s (median of 5), longest {max(delays):.2f} s")
    expect(not limited or max(delays) <= UPDATE_S, f"slower than {UPDATE_S} s")


def test_keyboard(browser):
    values = "document.querySelector('.chart .values').textContent"
    browser.run("document.querySelector('.plot').focus()")
    browser.press("ArrowLeft")
    browser.wait(f"{values}.startsWith('step')")
    at = browser.run(values)
    browser.press("ArrowLeft")
    expect(browser.run(values) != at, "an arrow key does not move the cursor")
    expect(browser.run("document.querySelector('.chart .spoken').textContent").startswith("step"), "the cursor's values are not spoken")
    browser.press("+")
    browser.wait("!document.getElementById('reset').disabled")
    browser.press("Escape")
    browser.wait("document.getElementById('reset').disabled")
    browser.press("t")
    expect(browser.run("document.querySelectorAll('.chart .table tbody tr').length") == 40, "the table lacks rows")
    browser.press("t")
    browser.press("l")
    expect(browser.run("document.querySelector('.chart button').getAttribute('aria-pressed')") == "true", "L does not switch the axis")
    browser.press("l")
    for axis in ("tokens", "seconds", "step"):
        browser.run(f"(() => {{ const one = document.getElementById('axis'); one.value = '{axis}'; one.dispatchEvent(new Event('change')); }})()")


def panel(view):
    return f"[...document.querySelectorAll('details')].find((one) => one.querySelector('{view}'))"


def choose(browser, view, label, value):
    browser.run(f"""(() => {{
        const select = [...{panel(view)}.querySelectorAll('label')].find((one) => one.textContent.startsWith({json.dumps(label)})).querySelector('select');
        select.value = {json.dumps(value)};
        select.dispatchEvent(new Event('change'));
    }})()""")


def test_tables(browser):
    label = "document.querySelector('.heatmap canvas[role=img]').getAttribute('aria-label')"
    readout = "document.querySelector('.heatmap .readout').textContent"
    expect(browser.run(f"{panel('.heatmap')}.querySelector('h2').textContent") == "Tables", "the panel of several tables has another title")
    expect(browser.run(label).startswith("Each matrix’s ‖W‖ RMS: 4 rows"), "the weights' table is not the first")
    choose(browser, ".heatmap", "table", "anisotropy")
    browser.wait(f"{label}.startsWith('anisotropy: 12 rows')")
    browser.run("document.querySelector('.heatmap canvas[role=img]').focus()")
    browser.press("ArrowUp")
    expect(browser.run(readout).endswith("value 0.3") and "resid_post.0 ·" in browser.run(readout), f"the first row's last value reads {browser.run(readout)}")
    for _ in range(10):
        browser.press("ArrowDown")
    expect("resid_post.10 ·" in browser.run(readout), f"the eleventh row is {browser.run(readout)}")
    browser.press("Enter")
    row = "document.querySelector('.heatmap .row')"
    expect(browser.run(f"!{row}.hidden && {row}.querySelector('h3').textContent") == "resid_post.10", "Enter does not open the row")
    expect(browser.run(f"{row}.querySelector('.values b').textContent") == "0.8" and browser.run(f"{row}.querySelector('canvas') !== null"), "the row has no curve")
    browser.press("Escape")
    expect(browser.run(f"{row}.hidden"), "Escape does not close the row")
    choose(browser, ".heatmap", "table", f"drift {HOSTILE}")
    browser.wait(f"{label}.includes('3 rows')")
    # The rows stand as <img…, above, below, each 20 px high.
    pixels = browser.run("[...document.querySelector('.heatmap canvas[role=img]').getContext('2d').getImageData(400, 0, 1, 60).data]")
    above, below = pixels[30 * 4 :][:3], pixels[50 * 4 :][:3]
    expect(above[0] > above[2] and below[2] > below[0], f"numbers above and below 0 are not orange and blue: {above}, {below}")
    browser.run("""(() => {
        const canvas = document.querySelector('.heatmap canvas[role=img]'), { left, top } = canvas.getBoundingClientRect();
        canvas.dispatchEvent(new MouseEvent('click', { clientX: left + 300, clientY: top + 50 }));
    })()""")
    expect(browser.run(f"!{row}.hidden && {row}.querySelector('h3').textContent") == "below", "a click does not open the row")
    choose(browser, ".heatmap", "table", "weight_rms")
    browser.wait(f"{label}.startsWith('Each matrix')")
    expect(browser.run(f"{row}.hidden"), "a row of another table is still open")


def test_events(browser):
    events = browser.run("document.querySelector('.events').textContent")
    expect("nothing to predict" in events and "not finite" not in events, "an empty step is said to be something else")


def test_spectra(browser):
    place, values = "document.querySelector('.spectrum output').textContent", "document.querySelector('.spectrum .values').textContent"
    button = "document.querySelector('.spectrum .play')"
    choose(browser, ".spectrum", "spectrum", "gradient")
    choose(browser, ".spectrum", "row", "model.layers.1.w")
    browser.wait(f"{place}.endsWith('10 of 10')")
    expect(browser.run("document.querySelector('.spectrum .buttons button').getAttribute('aria-pressed')") == "true", "positive values are not drawn logarithmically")
    newest = browser.run(values)
    browser.run("document.querySelector('.spectrum input').focus()")
    for key, at in (("ArrowLeft", 9), ("Home", 1)):
        browser.press(key)
        expect(browser.run(place).endswith(f" {at} of 10"), f"{key} leads to {browser.run(place)}")
    expect(browser.run("document.querySelectorAll('.spectrum .values li').length") == 1 and browser.run(values) != newest, "the first step is drawn beside itself")
    browser.run(f"{button}.click()")
    expect(browser.run(f"{button}.textContent") == "pause", "the button does not offer to pause")
    browser.wait(f"{place}.endsWith('10 of 10') && {button}.textContent === 'play'")
    expect(browser.run(values) == newest, "the last step has other values after playing")


def test_spectra_follow(browser, folder):
    place = "document.querySelector('.spectrum output').textContent"
    step = RECORDS + 100
    with open(folder / "run.jsonl", "a") as log:
        log.writelines(json.dumps(each) + "\n" for each in measured(step, RECORDS))
    browser.wait(f"{place}.endsWith('11 of 11')")
    browser.press("Home")
    with open(folder / "run.jsonl", "a") as log:
        log.writelines(json.dumps(each) + "\n" for each in measured(step + 100, RECORDS))
    browser.wait(f"{place}.endsWith(' 1 of 12')")
    browser.press("End")
    expect(browser.run(place).endswith("12 of 12"), "End does not lead to the newest step")
    with open(folder / "run.jsonl", "a") as log:
        log.writelines(json.dumps(each) + "\n" for each in measured(step + 200, RECORDS))
    browser.wait(f"{place}.endsWith('13 of 13')")
    expect(browser.run("document.activeElement === document.querySelector('.spectrum input')"), "new records take the focus from the slider")


def test_old_log(browser, url):
    browser.open(url)
    open_everything(browser)
    expect(browser.run(f"{panel('.heatmap')}.querySelector('h2').textContent") == "Each matrix’s ‖W‖ RMS", "the one table is not the panel's title")
    expect(browser.run("document.querySelector('.heatmap canvas[role=img]').getAttribute('aria-label')").startswith("Each matrix’s ‖W‖ RMS: 4 rows"), "the matrices are missing")
    expect(browser.run("[...document.querySelectorAll('.none')].some((one) => one.textContent === 'No run has records of spectra.')"), "spectra out of nothing")


def test_widths(browser):
    for width in (1280, 400):
        for theme in ("light", "dark"):
            browser.resize(width, 900, theme)
            time.sleep(0.2)
            expect(browser.run("document.documentElement.scrollWidth <= innerWidth"), f"the page is wider than {width} px")
            small = browser.run("[...document.querySelectorAll('button, select')].filter((one) => one.checkVisibility() && one.getBoundingClientRect().height < 24).length")
            expect(small == 0, "a control is lower than 24 px")
    browser.resize(1280, 900)


def test_names(browser):
    nameless = browser.run("""[...document.querySelectorAll('button, select, input, .plot, canvas[role=img]')].filter((one) =>
        !(one.textContent.trim() && one.tagName === 'BUTTON') && !one.getAttribute('aria-label') && !one.closest('label')).map((one) => one.outerHTML.slice(0, 80))""")
    expect(not nameless, f"controls without a name: {nameless}")


def comparison_titles(browser, row):
    """Titles of the comparison's charts: of the panels (row 1) or of the curves (row 2)."""
    return browser.run(f"[...document.querySelectorAll('#comparison .cards')[{row - 1}].querySelectorAll('h3')].map((one) => one.textContent)")


def expect_comparison(browser):
    """Of the whole sample: panels by learning rate, the curve of final losses, the table."""
    titles, words = comparison_titles(browser, 1), browser.run("document.querySelector('#comparison').textContent")
    expect([title.split(":")[0] for title in titles] == [f"lr = {rate}" for rate in RATES], f"the panels are {titles}")
    expect(titles[1].startswith("lr = 0.001: adamw lowest, 5.1") and titles[3].startswith(f"lr = 0.01: {HOSTILE} lowest, 5.0"), f"the panels' findings are {titles}")
    expect(titles[1].endswith("(2 seeds)") and " ± 0.0" in titles[1], f"a finding without its spread: {titles[1]}")
    expect(browser.run("document.querySelectorAll('#comparison .cards canvas').length") == 5, "a chart of the comparison is missing")
    expect("adamw seed 2, diverged at step 120" in words, "a run that diverged is not named")
    expect("so far" not in words and "waiting" not in words, "what has ended is told as if it went on")
    expect(comparison_titles(browser, 2) == [f"Best lr: adamw 0.001, muon 0.005, {HOSTILE} 0.01"], f"the curve says {comparison_titles(browser, 2)}")
    expect(browser.run("[...document.querySelectorAll('#comparison .flag')].map((one) => one.textContent)") == [f"{HOSTILE}: best at the edge of the grid, lr = 0.01: try larger."],
           "the best value at the edge is not flagged")  # fmt: skip
    rows = browser.run("[...document.querySelectorAll('#comparison tbody tr')].map((row) => [...row.children].map((cell) => cell.textContent))")
    expect(len(rows) == 12 and rows[0][0] == f"{HOSTILE}, lr 0.01" and rows[0][1].startswith("5.0"), f"the table begins with {rows[:1]}")
    lost = next(row for row in rows if row[0] == "adamw, lr 0.01")
    expect(lost[-1] == "1 of 2" and "not reached" in lost and lost[1].endswith("(1)"), f"the row of a run that diverged is {lost}")
    expect("25\u202fMB" in rows[0] and "63\u202fMB" in rows[0] and "90\u202fms" in rows[0], f"the state's size or the optimizer's time is missing: {rows[0]}")


def test_comparison(browser, program, place):
    folder = place / "compared"
    make_comparison(folder, 2, waiting=5, renamed={"spectra": HOSTILE})
    watch = Watch(program, [folder])
    try:
        browser.open(watch.url)
        words = "document.querySelector('#comparison').textContent"
        expect("1 running, 5 waiting" in browser.run(words), f"the state of the grid is missing: {browser.run(words)[:300]}")
        expect("so far" in comparison_titles(browser, 1)[3] and browser.run("document.querySelectorAll('#comparison .flag').length") == 0, "a grid that is not done is judged")
        expect(f"waiting: {HOSTILE} seed 1, {HOSTILE} seed 2" in browser.run(words), "waiting runs are not named")
        browser.run("document.querySelector('#comparison .plot').focus()")
        make_comparison(folder, 2, renamed={"spectra": HOSTILE})
        browser.wait(f"!{words}.includes('waiting') && document.documentElement.dataset.records.split(',').length === 24 && !document.documentElement.dataset.records.includes(',0')", 20)
        browser.wait("document.querySelectorAll('#comparison .flag').length === 1")
        expect(browser.run("document.activeElement === document.querySelector('#comparison .plot')"), "a new comparison takes the focus from a panel")
        expect_comparison(browser)
        values, spoken = ("document.querySelector('#comparison .plot').parentElement.querySelector('%s').textContent" % name for name in (".values", ".spoken"))
        browser.press("ArrowLeft")
        browser.wait(f"{values}.startsWith('step') && {spoken}.includes('muon')")
        choose_panels = "(() => { const one = document.querySelector('#comparison select'); one.value = %s; one.dispatchEvent(new Event('change')); })()"
        browser.run(choose_panels % json.dumps(NAME))
        titles = comparison_titles(browser, 1)
        expect([title.rsplit(" lowest", 1)[0] for title in titles] == ["adamw: lr 0.001", "muon: lr 0.005", f"{HOSTILE}: lr 0.01"], f"the panels of the other axis are {titles}")
        browser.run(choose_panels % "''")
        expect(len(comparison_titles(browser, 1)) == 1 and comparison_titles(browser, 1)[0].startswith(f"All runs: {HOSTILE}, lr 0.01 lowest"), "one chart of all is not to be had")
        test_names(browser)
        test_widths(browser)
        (folder / "compare.json").write_text('{"format": 2}')
        browser.wait("document.querySelector('#comparison .problem')?.textContent.includes('is a comparison of format 2') ?? false")
        (folder / "compare.json").unlink()
        browser.wait("document.querySelector('#comparison').hidden")
        expect_calm(browser, watch.url)
    finally:
        watch.close()
    make_comparison(folder, 2, renamed={"spectra": HOSTILE})
    report = place / "comparison.html"
    subprocess.run([program, "report", "--quiet", str(folder), "-o", str(report)], check=True)
    browser.open(f"file://{report}")
    expect_comparison(browser)
    test_widths(browser)
    expect_calm(browser, f"file://{report}")


def test_report(browser, program, folder, place):
    report = place / "report.html"
    subprocess.run([program, "report", "--quiet", str(folder), str(place / "second"), "-o", str(report)], check=True)
    browser.open(f"file://{report}")
    print(f"report: {report.stat().st_size / 1e6:.1f} MB")
    expect(browser.run("document.querySelectorAll('#runs tbody tr').length") == 2, "the report lacks a run")
    test_keyboard(browser)
    open_everything(browser)
    expect(browser.run(f"{panel('.heatmap')}.querySelectorAll('label')[0].hidden") is False, "the report's tables lack the choice of the run")
    choose(browser, ".spectrum", "row", "model.layers.0.w")
    browser.wait("document.querySelector('.spectrum output').textContent.endsWith('13 of 13')")
    test_widths(browser)
    expect_calm(browser, f"file://{report}")


def run_tests(program, limited):
    browser = Browser()
    try:
        with tempfile.TemporaryDirectory(prefix="isotrope-watch-") as place:
            folder = Path(place) / HOSTILE.replace("/", "")
            make_run(folder, RECORDS)
            make_run(Path(place) / "second", 1000, with_measured=False)
            browser.resize(1280, 900)
            watch = Watch(program, [folder])
            try:
                test_first_paint(browser, watch.url, limited)
                test_update(browser, folder, limited)
                test_keyboard(browser)
                open_everything(browser)
                test_tables(browser)
                test_events(browser)
                test_spectra(browser)
                test_spectra_follow(browser, folder)
                test_names(browser)
                test_widths(browser)
                expect_calm(browser, watch.url)
            finally:
                watch.close()
            watch = Watch(program, [Path(place) / "second"])
            try:
                test_old_log(browser, watch.url)
                expect_calm(browser, watch.url)
            finally:
                watch.close()
            test_comparison(browser, program, Path(place))
            test_report(browser, program, folder, Path(place))
    finally:
        browser.close()


def take_pictures(program, runs, folder):
    folder.mkdir(parents=True, exist_ok=True)
    browser = Browser()
    watch = Watch(program, runs)
    try:
        report = folder / "report.html"
        subprocess.run([program, "report", "--quiet", *map(str, runs), "-o", str(report)], check=True)
        for name, url in (("watch", watch.url), ("report", f"file://{report.resolve()}")):
            for width in (1280, 400):
                for theme in ("light", "dark"):
                    browser.resize(width, 900, theme)
                    browser.open(url)
                    time.sleep(0.3)
                    browser.screenshot(folder / f"{name}-{width}-{theme}-top.png", whole=False)
                    browser.run("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
                    time.sleep(1)
                    browser.run("document.querySelector('.heatmap canvas[role=img]')?.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter' }))")
                    browser.screenshot(folder / f"{name}-{width}-{theme}.png")
    finally:
        watch.close()
        browser.close()


if __name__ == "__main__":
    if not find_chromium():
        print("SKIPPED: there is no Chromium; ./dev setup installs it")
        sys.exit(77)
    if sys.argv[2:3] == ["--pictures"]:
        take_pictures(sys.argv[1], [Path(run) for run in sys.argv[3:-1]], Path(sys.argv[-1]))
    else:
        run_tests(sys.argv[1], limited="--sanitized" not in sys.argv[2:])
