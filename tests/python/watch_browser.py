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

RECORDS = 100_000
HOSTILE = "<img src=x onerror=window.injected=1>"
FIRST_PAINT_MS, UPDATE_S = 1000, 1.0


def record(step):
    return json.dumps({"type": "step", "step": step, "grad_norm": 1 + math.sin(step / 50), "loss": 2 + 5 / math.sqrt(step), "lr": 1e-3, "memory_bytes": 9e8,
                       "seconds": step * 0.3, "tokens": step * 8192, "tokens_per_second": 27000 + step % 100}, separators=(",", ":")) + "\n"  # fmt: skip


def make_run(folder, steps):
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


def test_widths(browser):
    for width in (1280, 400):
        for theme in ("light", "dark"):
            browser.resize(width, 900, theme)
            time.sleep(0.2)
            expect(browser.run("document.documentElement.scrollWidth <= innerWidth"), f"the page is wider than {width} px")
            small = browser.run("[...document.querySelectorAll('button, select')].filter((one) => one.getBoundingClientRect().height < 24).length")
            expect(small == 0, "a control is lower than 24 px")
    browser.resize(1280, 900)


def test_names(browser):
    nameless = browser.run("""[...document.querySelectorAll('button, select, input, .plot, canvas[role=img]')].filter((one) =>
        !(one.textContent.trim() && one.tagName === 'BUTTON') && !one.getAttribute('aria-label') && !one.closest('label')).map((one) => one.outerHTML.slice(0, 80))""")
    expect(not nameless, f"controls without a name: {nameless}")


def run_tests(program, limited):
    browser = Browser()
    try:
        with tempfile.TemporaryDirectory(prefix="isotrope-watch-") as place:
            folder = Path(place) / HOSTILE.replace("/", "")
            make_run(folder, RECORDS)
            make_run(Path(place) / "second", 1000)
            browser.resize(1280, 900)
            watch = Watch(program, [folder])
            try:
                test_first_paint(browser, watch.url, limited)
                test_update(browser, folder, limited)
                test_keyboard(browser)
                open_everything(browser)
                test_names(browser)
                test_widths(browser)
                expect_calm(browser, watch.url)
            finally:
                watch.close()
            report = Path(place) / "report.html"
            subprocess.run([program, "report", "--quiet", str(folder), str(Path(place) / "second"), "-o", str(report)], check=True)
            browser.open(f"file://{report}")
            print(f"report: {report.stat().st_size / 1e6:.1f} MB")
            expect(browser.run("document.querySelectorAll('#runs tbody tr').length") == 2, "the report lacks a run")
            test_keyboard(browser)
            open_everything(browser)
            test_widths(browser)
            expect_calm(browser, f"file://{report}")
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
