"""End-to-end tests of `steno report`: exit codes, files, and the page in a real browser.

Usage: report_test.py STENO [unittest arguments]. What needs Chromium is skipped aloud without it. KEEP_SHOTS=FOLDER
keeps the screenshots.
"""
import html.parser
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
import xml.dom.minidom

ROOT = pathlib.Path(__file__).resolve().parent.parent
STENO = (pathlib.Path(sys.argv.pop(1)) if len(sys.argv) > 1 else ROOT / "build/release/steno").resolve()
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
         "--disable-background-networking", "--disable-component-update", "--disable-sync", "--enable-logging=stderr",
         "--virtual-time-budget=4000", "--host-resolver-rules=MAP * ~NOTFOUND"]


def steno(*arguments, cwd=None):
    return subprocess.run([STENO, *map(str, arguments)], capture_output=True, text=True, timeout=120, cwd=cwd)


class Folder(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.temporary.cleanup)
        cls.folder = pathlib.Path(cls.temporary.name)
        subprocess.run([sys.executable, ROOT / "tests/data/report/make_sample.py", cls.folder / "samples"], check=True)
        cls.samples = sorted((cls.folder / "samples").iterdir())
        cls.page = cls.folder / "report.html"
        made = steno("report", *cls.samples, "-o", cls.page, "--svg", cls.folder / "plots", "--json")
        assert made.returncode == 0, made.stderr
        cls.told = json.loads(made.stdout)

    def copy(self, name):
        """A sample to damage, under a name of its own."""
        target = self.folder / self.id().rsplit(".", 1)[1]
        shutil.rmtree(target, ignore_errors=True)
        return pathlib.Path(shutil.copytree(self.folder / "samples" / name, target))


class ProgramTest(Folder):
    def assertRefused(self, result, code, *parts):
        self.assertEqual(result.returncode, code, result.stderr)
        self.assertEqual(len(result.stderr.strip().splitlines()), 1, result.stderr)
        for part in parts:
            self.assertIn(part, result.stderr)

    def test_says_what_was_written(self):
        self.assertEqual(self.told["runs"], 3)
        lines = sum(len((s / "items.jsonl").read_text().splitlines()) for s in self.samples)
        self.assertEqual(self.told["items"], lines)
        self.assertEqual(self.told["bytes"], self.page.stat().st_size)
        self.assertEqual(sorted(self.told["pictures"]), sorted(str(p) for p in (self.folder / "plots").iterdir()))

    def test_usage(self):
        self.assertRefused(steno("report"), 2, "name at least one result folder")
        self.assertRefused(steno("report", self.samples[0], "--text-limit", "-1"), 2, "--text-limit")

    def test_bad_input_leaves_an_old_page_alone(self):
        old = self.folder / "old.html"
        old.write_text("an old page")
        cut = self.copy("synthetic-ppl")
        with open(cut / "items.jsonl", "a") as file:
            file.write('{"arm":"window-256","it')
        self.assertRefused(steno("report", self.samples[0], cut, "-o", old), 3, "items.jsonl: line ", "cut off")
        self.assertRefused(steno("report", self.folder, "-o", old), 3, "not a result folder")
        self.assertRefused(steno("report", self.folder / "absent", "-o", old), 3, "no such folder")
        run = json.loads((cut / "run.json").read_text())
        (cut / "run.json").write_text(json.dumps(run | {"format_version": 9}))
        self.assertRefused(steno("report", cut, "-o", old), 3, "format version 9")
        self.assertEqual(old.read_text(), "an old page")
        self.assertEqual([p for p in self.folder.iterdir() if p.name.endswith(".tmp")], [])

    def test_a_page_that_cannot_be_written(self):
        self.assertRefused(steno("report", self.samples[0], "-o", self.folder / "absent/report.html"), 3, "report.html")
        self.assertRefused(steno("report", self.samples[0], "-o", self.folder), 3, "it is a folder")

    def test_same_bytes_again(self):
        again = self.folder / "again.html"
        self.assertEqual(steno("report", *self.samples, "-o", again, "--quiet").returncode, 0)
        self.assertEqual(again.read_bytes(), self.page.read_bytes())

    def test_numbers_equal_those_of_the_summary(self):
        text = self.page.read_text()
        shown = set(re.findall(r'data-v="([^"]*)" data-low="([^"]*)" data-high="([^"]*)" data-n="(\d+)"', text))
        shown = {tuple(float(v) for v in entry) for entry in shown if "" not in entry}
        checked = 0
        for sample in self.samples:
            if not (sample / "summary.json").exists():
                continue
            for arm in json.loads((sample / "summary.json").read_text())["arms"]:
                for metric in arm["metrics"].values():
                    self.assertIn((metric["mean"], metric["low"], metric["high"], metric["n"]), shown)
                    checked += 1
        self.assertGreater(checked, 60)

    def test_the_page_is_balanced_and_embeds_all_items(self):
        class Checker(html.parser.HTMLParser):
            VOID = {"meta", "link", "br", "input", "rect", "path", "line", "circle"}

            def __init__(self):
                super().__init__()
                self.open, self.data, self.current = [], {}, None

            def handle_starttag(self, tag, attributes):
                if tag not in self.VOID:
                    self.open.append(tag)
                self.current = dict(attributes).get("id") if tag == "script" else None

            def handle_endtag(self, tag):
                if tag in self.VOID:
                    return
                assert self.open and self.open[-1] == tag, (tag, self.open, self.getpos())
                self.open.pop()
                self.current = None

            def handle_startendtag(self, tag, attributes):
                pass

            def handle_data(self, data):
                if self.current:
                    self.data[self.current] = self.data.get(self.current, "") + data

        checker = Checker()
        checker.feed(self.page.read_text())
        self.assertEqual(checker.open, [])
        for number, sample in enumerate(self.samples, 1):
            data = json.loads(checker.data[f"items-{number}"])
            lines = [json.loads(line) for line in (sample / "items.jsonl").read_text().splitlines()]
            self.assertEqual([data["texts"][i["i"]] for i in data["items"]], [line["item"] for line in lines])
            self.assertEqual([i["s"] for i in data["items"]], [line.get("scores", {}) for line in lines])

    def test_shortened_texts_are_counted_and_whole_on_demand(self):
        self.assertEqual(self.told["shortened_texts"], 1)
        self.assertIn("texts are longer than 4,000 characters", self.page.read_text())
        whole = self.folder / "whole.html"
        told = json.loads(steno("report", *self.samples, "-o", whole, "--text-limit", 0, "--json").stdout)
        self.assertEqual(told["shortened_texts"], 0)
        self.assertIn("Synthetic answer. " * 600, whole.read_text())

    def test_pictures_are_xml(self):
        pictures = list((self.folder / "plots").iterdir())
        self.assertGreater(len(pictures), 20)
        for picture in pictures:
            xml.dom.minidom.parse(str(picture))


class Browser(Folder):
    def setUp(self):
        if not CHROMIUM:
            self.skipTest("Chromium is not installed: the page was not looked at in a browser")

    def chromium(self, *arguments):
        with tempfile.TemporaryDirectory() as profile:
            result = subprocess.run([CHROMIUM, *FLAGS, f"--user-data-dir={profile}", *map(str, arguments)],
                                    capture_output=True, text=True, timeout=180)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.console = [line for line in result.stderr.splitlines() if "CONSOLE" in line]
        return result.stdout

    def rendered(self, script, width=1280, height=900, *flags):
        """What `script` makes of the page: it must return something for JSON."""
        probe = self.folder / "probe.html"
        probe.write_text(self.page.read_text().replace("</body>", "<script>document.documentElement.dataset.probe ="
                                                       "JSON.stringify((() => {" + script + "})());</script></body>"))
        dom = self.chromium(f"--window-size={width},{height}", *flags, "--dump-dom", probe.as_uri())
        self.assertEqual(self.console, [], "the console must stay empty")
        return json.loads(html_unescape(re.search(r'data-probe="([^"]*)"', dom)[1])), dom


def html_unescape(text):
    import html as module
    return module.unescape(text)


OPEN = "document.querySelectorAll('details').forEach((d) => { d.open = true; d.dispatchEvent(new Event('toggle')); });"


class PageTest(Browser):
    def fetched_by(self, page):
        """Addresses that the page asked for; what the browser asks for by itself has no page as its initiator."""
        log = self.folder / "net.json"
        self.chromium(f"--log-net-log={log}", "--dump-dom", page.as_uri())
        events = json.loads(log.read_text())["events"]
        requests = [e["params"] for e in events if "url" in e.get("params", {}) and "initiator" in e["params"]]
        return {r["url"] for r in requests if r["initiator"] != "not an origin" and not r["url"].startswith("data:")}

    def test_nothing_is_fetched_and_nothing_breaks(self):
        self.assertEqual(self.fetched_by(self.page), set())
        self.assertEqual(self.console, [])
        # The same look at a page that does ask, so that an empty set means something.
        asking = self.folder / "asking.html"
        asking.write_text('<img src="http://example.invalid/picture.png"><script>console.log("said")</script>')
        self.assertEqual(self.fetched_by(asking), {"http://example.invalid/picture.png"})
        self.assertEqual(len(self.console), 1)

    def test_narrow_screens_do_not_scroll_sideways(self):
        # The page stands in a frame of exactly this width: windows cannot be made that narrow everywhere.
        for width in (360, 768):
            with self.subTest(width=width):
                inner = self.folder / "inner.html"
                report = ("onload = () => {" + OPEN + "setTimeout(() => { const d = document.documentElement;"
                          "parent.postMessage([d.clientWidth, d.scrollWidth, [...document.querySelectorAll('body *')]"
                          ".filter((e) => e.getBoundingClientRect().right > d.clientWidth + 1 && "
                          "!e.closest('.scroll, pre, .skip, svg')).slice(0, 5).map((e) => e.outerHTML.slice(0, 80))], '*'); }, 300); };")
                inner.write_text(self.page.read_text().replace("</body>", f"<script>{report}</script></body>"))
                outer = self.folder / "outer.html"
                outer.write_text(f'<iframe src="inner.html" style="border:0;width:{width}px;height:740px"></iframe><script>'
                                 "onmessage = (e) => document.documentElement.dataset.probe = JSON.stringify(e.data);</script>")
                dom = self.chromium("--dump-dom", outer.as_uri())
                inside, needed, wide = json.loads(html_unescape(re.search(r'data-probe="([^"]*)"', dom)[1]))
                self.assertEqual((inside, needed, wide), (width, width, []))

    def test_hostile_texts_stay_texts(self):
        script = OPEN + """return [document.title, document.querySelectorAll('.card b, .card script').length,
          document.querySelectorAll('.card').length];"""
        (title, markup, cards), dom = self.rendered(script)
        self.assertEqual(title, "steno report: passkey, ppl, qa")
        self.assertEqual(markup, 0)
        self.assertEqual(cards, 60, "three browsers of 20 items a page")

    def test_browsing(self):
        script = """
          const browser = document.querySelector('#run-1 .browser');
          browser.open = true; browser.dispatchEvent(new Event('toggle'));
          const [arm, cell, result, order] = browser.querySelectorAll('select');
          const total = () => browser.querySelector('[role=status]').textContent;
          const seen = [total()];
          const set = (node, label) => {
            node.value = [...node.options].find((o) => o.textContent === label).value;
            node.dispatchEvent(new Event('change')); seen.push(total()); };
          set(arm, 'h2o-512'); set(cell, 'depth=50 length=2048'); set(result, 'right');
          const verdicts = [...browser.querySelectorAll('.verdict')].map((v) => v.textContent);
          const strips = browser.querySelectorAll('.strip .kept').length, needles = browser.querySelectorAll('.strip .needle').length;
          return {seen, verdicts, strips, needles, kept: browser.querySelector('.card .meta').textContent};"""
        told, _ = self.rendered(script)
        lines = [json.loads(line) for line in (self.samples[0] / "items.jsonl").read_text().splitlines()]
        of_arm = [line for line in lines if line["arm"] == "h2o-512"]
        of_cell = [line for line in of_arm if line["cell"] == {"length": 2048, "depth": 50}]
        right = [line for line in of_cell if line["scores"]["correct"] == 1]
        counts = [re.search(r"of ([\d,]+) items|No item", text)[1] for text in told["seen"]]
        self.assertEqual([int((c or "0").replace(",", "")) for c in counts], [len(lines), len(of_arm), len(of_cell), len(right)])
        self.assertEqual(set(told["verdicts"]), {"✓ right"} if right else set())
        self.assertEqual(told["needles"], len(right))
        self.assertGreater(told["strips"], 0)
        self.assertIn("512 of 2,048 positions", told["kept"])

    def test_sorting_hiding_and_telling(self):
        script = """
          const table = document.querySelector('#run-1 table.sortable'), head = table.tHead.rows[0].cells[2];
          const values = () => [...table.tBodies[0].rows].map((r) => Number(r.cells[2].dataset.v));
          head.querySelector('button').click(); const down = values();
          head.querySelector('button').click(); const up = values();
          const figure = document.querySelector('#run-1 figure.chart'), svg = figure.querySelector('svg');
          svg.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowRight', bubbles: true}));
          const toggle = document.querySelector('#run-1 [data-toggle]'); toggle.click();
          return {down, up, readout: figure.querySelector('.readout').textContent, pressed: toggle.getAttribute('aria-pressed'),
            hidden: document.querySelectorAll('#run-1 figure .hidden').length, sort: head.getAttribute('aria-sort')};"""
        told, _ = self.rendered(script)
        self.assertEqual(told["down"], sorted(told["down"], reverse=True))
        self.assertEqual(told["up"], sorted(told["up"]))
        self.assertEqual(told["sort"], "ascending")
        self.assertIn("correct", told["readout"])
        self.assertEqual(told["pressed"], "false")
        self.assertGreater(told["hidden"], 0)

    def test_both_themes(self):
        shots = pathlib.Path(os.environ.get("KEEP_SHOTS", self.folder))
        grounds = {}
        for theme, number in (("light", 1), ("dark", 0)):
            told, _ = self.rendered("return [getComputedStyle(document.body).backgroundColor, getComputedStyle("
                                    "document.querySelector('.plot .s0')).color];", 1280, 900, f"--blink-settings=preferredColorScheme={number}")
            grounds[theme] = told
            for width, height in ((360, 740), (1280, 900)):
                shot = shots / f"report-{width}x{height}-{theme}.png"
                self.chromium(f"--blink-settings=preferredColorScheme={number}", f"--window-size={width},{height}",
                              f"--screenshot={shot}", self.page.as_uri())
                self.assertGreater(shot.stat().st_size, 5000)
        self.assertEqual(grounds["light"][0], "rgb(255, 255, 255)")
        self.assertNotEqual(grounds["light"][0], grounds["dark"][0])
        self.assertNotEqual(grounds["light"][1], grounds["dark"][1])


if __name__ == "__main__":
    unittest.main(verbosity=2)
