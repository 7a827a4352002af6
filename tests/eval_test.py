"""End-to-end tests of `steno eval`: results, resuming after a kill, bad data, wrong flags.

Usage: eval_test.py STENO [unittest arguments]. Tests that need the default model are skipped aloud without it.
"""
import json
import math
import os
import signal
import subprocess
import time
import unittest

from program_test_util import ROOT, STENO, CliTest, needs_model

TINY = ROOT / "tests/data/tiny_models/llama_tied"
DATA = ROOT / "tests/data/eval"


def environment(env=None):
    base = {k: v for k, v in os.environ.items() if k != "STENO_DATA"}
    return {**base, **(env or {})}


def steno_eval(*arguments, env=None):
    return subprocess.run([STENO, "eval", *map(str, arguments)], capture_output=True, text=True, cwd=ROOT, timeout=600,
                          env=environment(env))


def tiny(*arguments, **options):
    return steno_eval(*arguments, "--model", TINY, "--dtype", "f32", "--threads", "1", **options)


def lines(folder):
    return [json.loads(line) for line in (folder / "items.jsonl").read_text().splitlines()]


def without_times(folder):
    return [{k: v for k, v in line.items() if k != "time"} for line in lines(folder)]


def summary(folder):
    result = json.loads((folder / "summary.json").read_text())
    for arm in result["arms"]:
        del arm["read_tokens_per_s"], arm["decode_tokens_per_s"]
    return result


class EvalTest(CliTest):
    def assertWorks(self, result):
        self.assertEqual(result.returncode, 0, result.stderr)
        return result


class UsageTest(EvalTest):
    def test_tasks(self):
        self.assertFails(steno_eval(), 2, "name a task", "--list")
        self.assertFails(steno_eval("pl"), 2, "'pl'", "ppl", "longqa")
        listed = json.loads(self.assertWorks(steno_eval("--list", "--json")).stdout)["tasks"]
        self.assertLessEqual({"ppl", "qa", "longqa", "efficiency"}, {t["name"] for t in listed})
        self.assertIn("dialect=squad", steno_eval("--list").stdout)

    def test_flags(self):
        data = DATA / "dialogue.jsonl"
        self.assertFails(tiny("ppl", "--data", data, "--budget", "0"), 2, "--budget must be at least 1")
        self.assertFails(tiny("ppl", "--data", data, "--budget", "16,many"), 2, "--budget")
        self.assertFails(tiny("ppl", "--data", data, "--limit", "0"), 2, "--limit must be at least 1")
        self.assertFails(tiny("ppl", "--data", data, "--method", "windows"), 2, "windows", "window")
        self.assertFails(tiny("ppl", "--data", data, "--set", "lenght=5"), 2, "lenght", "length")
        self.assertFails(tiny("ppl", "--data", data, "--set", "length"), 2, "key=value")
        self.assertFails(tiny("ppl", "--data", data, "--depth", "50"), 2, "depth")
        self.assertFails(tiny("ppl", "--data", data, "--set", "eou=dot"), 2, "newline, end-of-turn or none")
        self.assertFails(tiny("ppl", "--data", data, "--params", "sinks=2"), 2, "method:key=value")
        self.assertFails(tiny("ppl", "--data", data, "--method", "streaming-llm", "--budget", "2"), 2, "streaming-llm")
        self.assertFails(tiny("ppl", "--data", data, "--bugdet", "5"), 2, "--bugdet", "--budget")
        self.assertFails(tiny("efficiency", "--data", data), 2, "reads no data")

    def test_without_data_it_says_what_to_do(self):
        self.assertFails(tiny("qa"), 2, "--data FILE", "STENO_DATA", "qa.valid.jsonl.zst")
        self.assertFails(tiny("qa", env={"STENO_DATA": str(self.folder)}), 2, "is not there", "--data FILE")


class DataTest(EvalTest):
    def test_bad_records_are_named_by_line(self):
        good = (DATA / "dialogue.jsonl").read_text()
        path = self.file("mixed.jsonl", good + '{"id": "x"}\n' + "{oops\n")
        self.assertFails(tiny("ppl", "--data", path), 3, "mixed.jsonl:4", "no record", "--skip-bad")
        self.assertFails(tiny("qa", "--data", DATA / "dialogue.jsonl"), 3, "dialogue.jsonl:1", "questions")
        self.assertFails(tiny("ppl", "--data", self.folder / "none.jsonl"), 3, "no such file")
        self.assertFails(tiny("ppl", "--data", self.file("empty.jsonl", "")), 3, "no records")

    def test_skipped_records_are_counted(self):
        good = (DATA / "dialogue.jsonl").read_text()
        path = self.file("mixed.jsonl", '{"id": "x"}\n' + good + "{oops\n")
        out = self.folder / "run"
        result = self.assertWorks(tiny("ppl", "--data", path, "--skip-bad", "--out", out))
        self.assertIn("2 bad records left out", result.stderr)
        self.assertIn("mixed.jsonl:1", result.stderr)
        data = json.loads((out / "run.json").read_text())["data"]
        self.assertEqual([(d["name"], d["records"], d["skipped"]) for d in data], [("mixed.jsonl", 3, 2)])
        self.assertEqual(len(lines(out)), 3)

    def test_a_plain_text_and_packed_lines(self):
        path = self.file("novel.txt", "It was a dark and stormy night. " * 20)
        for data in (path, DATA / "documents.jsonl.zst"):
            result = json.loads(self.assertWorks(tiny("ppl", "--data", data, "--json")).stdout)
            self.assertGreater(result["arms"][0]["metrics"]["ppl"]["mean"], 1)


class ResultTest(EvalTest):
    def test_perplexity(self):
        out = self.folder / "run"
        result = self.assertWorks(tiny("ppl", "--data", DATA / "dialogue.jsonl", "--method", "dense,window", "--budget",
                                       "32,4000", "--out", out))
        for arm in ("dense", "window-32", "window-4000"):
            self.assertIn(arm, result.stdout)
        run = json.loads((out / "run.json").read_text())
        self.assertEqual((run["format"], run["format_version"], run["task"]), ("steno.eval", 1, "ppl"))
        self.assertEqual([a["budget"] for a in run["arms"]], [None, 32, 4000])
        self.assertRegex(run["model"]["hash"], r"^[0-9a-f]{32}$")
        self.assertRegex(run["created"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        arms = {a["id"]: a for a in summary(out)["arms"]}
        self.assertEqual(arms["dense"]["metrics"], arms["window-4000"]["metrics"])
        for arm in arms.values():
            for metric in arm["metrics"].values():
                self.assertLessEqual(metric["low"], metric["mean"])
                self.assertGreaterEqual(metric["high"], metric["mean"])
                self.assertFalse(metric["higher_is_better"])
        dense = [line for line in lines(out) if line["arm"] == "dense"]
        micro = math.exp(sum(line["nll"] for line in dense) / sum(line["tokens"] for line in dense))
        self.assertAlmostEqual(arms["dense"]["metrics"]["ppl"]["mean"], micro, places=9)

    def test_questions_with_controls(self):
        out = self.folder / "run"
        self.assertWorks(tiny("qa", "--data", DATA / "qa.jsonl", "--limit", "2", "--method", "window", "--budget", "64",
                              "--set", "max_new_tokens=4", "--out", out))
        self.assertEqual([a["id"] for a in summary(out)["arms"]], ["closed-book", "full-context", "window-64"])
        self.assertEqual(len(lines(out)), 6)
        other = self.folder / "other"
        self.assertWorks(tiny("qa", "--data", DATA / "qa.jsonl", "--limit", "2", "--no-controls", "--out", other))
        self.assertEqual([a["id"] for a in summary(other)["arms"]], ["dense"])

    def test_a_folder_of_other_settings_is_refused(self):
        out = self.folder / "run"
        command = ("ppl", "--data", DATA / "dialogue.jsonl", "--out", out)
        self.assertWorks(tiny(*command, "--limit", "1"))
        self.assertFails(tiny(*command, "--limit", "2"), 2, "data[0].records: 1 there, 2 now", "--out")
        self.assertFails(tiny(*command, "--limit", "1", "--method", "window", "--budget", "16"), 2, "arms[0].id")
        before = (out / "items.jsonl").read_bytes()
        self.assertWorks(tiny(*command, "--limit", "1"))
        self.assertEqual((out / "items.jsonl").read_bytes(), before)

    def test_a_run_cut_at_any_byte_goes_on(self):
        whole = self.folder / "whole"
        command = ("qa", "--data", DATA / "qa.jsonl", "--method", "window", "--budget", "48", "--set", "max_new_tokens=4")
        self.assertWorks(tiny(*command, "--out", whole))
        data = (whole / "items.jsonl").read_bytes()
        for cut in (0, 10, len(data) // 3, len(data) // 2, len(data) - 1):
            out = self.folder / f"cut-{cut}"
            out.mkdir()
            (out / "run.json").write_bytes((whole / "run.json").read_bytes())
            (out / "items.jsonl").write_bytes(data[:cut])
            result = self.assertWorks(tiny(*command, "--out", out))
            self.assertEqual(without_times(out), without_times(whole))
            self.assertEqual(summary(out), summary(whole))
            self.assertEqual("half-written" in result.stderr, cut > 0)


@needs_model
class DefaultModelTest(EvalTest):
    def start(self, *arguments):
        return subprocess.Popen([STENO, "eval", *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                text=True, cwd=ROOT, env=environment())

    def wait_for_lines(self, process, out, count):
        """Until `count` whole lines are there. The run must not have ended before."""
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline:
            if (out / "items.jsonl").exists() and (out / "items.jsonl").read_bytes().count(b"\n") >= count:
                return
            self.assertIsNone(process.poll(), "the run ended early")
            time.sleep(0.01)
        self.fail("no line was written")

    def killed(self, command, how, lines_before):
        out = self.folder / f"run-{how}"
        process = self.start(*command, "--out", out)
        self.wait_for_lines(process, out, lines_before)
        process.send_signal(how)
        _, errors = process.communicate(timeout=60)
        return out, process.returncode, errors

    def test_kill_and_interrupt_lose_nothing(self):
        command = ("qa", "--data", DATA / "qa.jsonl", "--limit", "2", "--method", "window", "--budget", "128",
                   "--set", "max_new_tokens=8")
        whole = self.folder / "whole"
        self.assertWorks(steno_eval(*command, "--out", whole))
        for how in (signal.SIGKILL, signal.SIGINT):
            out, code, errors = self.killed(command, how, 2)
            done = (out / "items.jsonl").read_bytes()
            self.assertFalse((out / "summary.json").exists())
            if how == signal.SIGINT:
                self.assertEqual(code, 130, errors)
                self.assertRegex(errors, r"interrupted: \d of 6 items done and kept in .*run-")
            self.assertWorks(steno_eval(*command, "--out", out))
            self.assertTrue((out / "items.jsonl").read_bytes().startswith(done[:done.rfind(b"\n") + 1]))
            self.assertEqual(without_times(out), without_times(whole))
            self.assertEqual(summary(out), summary(whole))

    def test_figures_make_sense(self):
        out = self.folder / "run"
        self.assertWorks(steno_eval("ppl", "--data", DATA / "documents.jsonl", "--limit", "2", "--method",
                                    "dense,window,streaming-llm", "--budget", "64", "--out", out))
        ppl = {a["id"]: a["metrics"]["ppl"]["mean"] for a in summary(out)["arms"]}
        self.assertLess(ppl["dense"], 40)
        # A window without its first token collapses; with sinks it does not.
        self.assertLess(ppl["dense"], ppl["streaming-llm-64"])
        self.assertLess(ppl["streaming-llm-64"], ppl["window-64"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
