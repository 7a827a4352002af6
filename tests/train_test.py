"""End-to-end tests of `steno train`: what it leaves, and that a run which was killed, stopped or ran out of disk ends, once
resumed, as one that nothing disturbed.

Usage: train_test.py STENO [unittest arguments]
"""
import fcntl
import json
import os
import pathlib
import random
import resource
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

from program_test_util import ROOT, STENO, FolderTest

MODEL = ROOT / "tests/data/stories260K"
TEXT = ROOT / "tests/data/stories260K/README.md"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
STEPS = 24
SETTINGS = ("--method", "icae", "--objective", "mix", "--model", MODEL, "--dtype", "f32", "--threads", "1",
            "--set", "k=4", "--set", "rank=2", "--set", "dropout=0.1", "--set", "min_tokens_for_lm=4",
            "--set", "multi_span_share=0.5", "--piece", "40",
            "--steps", STEPS, "--batch", "4", "--micro-batch", "2", "--lr", "1e-3", "--warmup", "4", "--log-every", "1",
            "--eval-every", "5", "--eval-examples", "4", "--save-every", "3", "--seed", "3")
# What depends on the clock and the machine.
VOLATILE = ("tokens_per_s", "rss_bytes", "left_s")


def command(out, *arguments):
    """The settings above; what `arguments` name replaces them, save --set, which adds."""
    defaults = [*map(str, SETTINGS), "--out", str(out)]
    if "--data" not in arguments:
        defaults += ["--data", str(TEXT), "--valid", str(ROOT / "LICENSE")]
    pairs = zip(defaults[::2], defaults[1::2])
    kept = [text for pair in pairs if pair[0] == "--set" or pair[0] not in arguments for text in pair]
    return [str(STENO), "train", *kept, *map(str, arguments)]


def train(out, *arguments, **options):
    return subprocess.run(command(out, *arguments), capture_output=True, text=True, cwd=ROOT, timeout=300,
                          env=ENVIRONMENT, **options)


def metrics(out):
    path = out / "metrics.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
    return [{k: v for k, v in line.items() if k not in VOLATILE} for line in lines]


def lines_so_far(out):
    path = out / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.is_file() else 0


def files(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def checkpoints(out):
    return sorted((out / "checkpoints").glob("step-*.safetensors"))


class TrainTest(FolderTest):
    @classmethod
    def setUpClass(cls):
        cls.shared = tempfile.TemporaryDirectory()
        cls.whole = pathlib.Path(cls.shared.name) / "whole"
        result = train(cls.whole)
        assert result.returncode == 0, result.stderr
        cls.whole_stderr = result.stderr

    @classmethod
    def tearDownClass(cls):
        cls.shared.cleanup()

    def setUp(self):
        super().setUp()
        self.out = self.folder / "run"

    def assertFails(self, result, code, *parts):
        self.assertEqual(result.returncode, code, result.stderr)
        self.assertEqual(result.stdout, "")
        last = result.stderr.strip().splitlines()[-1]
        for part in parts:
            self.assertIn(part, last)

    def assertWorks(self, result):
        self.assertEqual(result.returncode, 0, result.stderr)
        return result

    def assertAsUndisturbed(self, out):
        self.assertEqual(metrics(out), metrics(self.whole))
        for folder in ("adapter", "best"):
            self.assertEqual(files(out / folder).keys(), files(self.whole / folder).keys())
            for name, content in files(self.whole / folder).items():
                self.assertEqual(files(out / folder)[name], content, f"{folder}/{name}")
        self.assertEqual(checkpoints(out)[-1].read_bytes(), checkpoints(self.whole)[-1].read_bytes())


class ResultTest(TrainTest):
    def test_what_a_run_leaves(self):
        lines = metrics(self.whole)
        trained = [line for line in lines if "lr" in line]
        evaluated = [line["step"] for line in lines if "valid/loss" in line]
        self.assertEqual([line["step"] for line in trained], list(range(1, STEPS + 1)))
        self.assertEqual(evaluated, [0, 5, 10, 15, 20, STEPS])
        self.assertEqual(trained[-1]["skipped"], 0)
        names = {name for line in trained for name in line}
        self.assertLessEqual({"train/loss", "train/ae", "train/lm", "grad_norm", "tokens"}, names)
        losses = [line["valid/loss"] for line in lines if "valid/loss" in line]
        self.assertLess(losses[-1], losses[0])
        self.assertTrue(list((self.whole / "tensorboard").iterdir()))
        self.assertTrue((self.whole / "adapter/adapter_model.safetensors").is_file())
        self.assertIn(f"step {STEPS} of {STEPS}", self.whole_stderr)
        self.assertIn("are trained", self.whole_stderr)

    def test_an_adapter_can_be_used_and_trained_on(self):
        out = self.assertWorks(train(self.out, "--init", self.whole / "adapter", "--steps", "2", "--json", "--quiet"))
        self.assertEqual(out.stderr, "")
        self.assertEqual(json.loads(out.stdout)["steps"], 2)
        first = next(line for line in metrics(self.out) if "valid/loss" in line)
        last = [line for line in metrics(self.whole) if "valid/loss" in line][-1]
        self.assertAlmostEqual(first["valid/loss"], last["valid/loss"], places=5)

    def test_a_configuration_file(self):
        config = self.folder / "run.toml"
        config.write_text('threads = 1\n[train]\nsteps = 2\nsample-every = 1\nsamples = 1\nset = { k = 4 }\n')
        arguments = ["--config", config, "--method", "icae", "--objective", "ae", "--model", MODEL, "--dtype", "f32",
                     "--data", TEXT, "--piece", "20", "--batch", "2", "--out", self.out]
        result = subprocess.run([STENO, "train", *map(str, arguments)], capture_output=True, text=True, cwd=ROOT,
                                timeout=300, env=ENVIRONMENT)
        self.assertWorks(result)
        samples = [json.loads(line) for line in (self.out / "samples.jsonl").read_text().splitlines()]
        self.assertEqual([(s["step"], s["sample"]) for s in samples], [(1, 0), (2, 0)])
        self.assertTrue(samples[0]["source"])
        config.write_text("[train]\nstep = 2\n")
        self.assertFails(train(self.out, "--config", config), 2, "step", "did you mean 'steps'?")


class UsageTest(TrainTest):
    def test_what_is_wrong_is_named(self):
        plain = [STENO, "train", "--model", MODEL]

        def fails(arguments, *parts):
            result = subprocess.run([*map(str, plain), *map(str, arguments)], capture_output=True, text=True,
                                    cwd=ROOT, timeout=60, env=ENVIRONMENT)
            self.assertFails(result, 2, *parts)
            self.assertEqual(len(result.stderr.strip().splitlines()), 1, result.stderr)

        fails([], "no --objective is named; icae has: ae, lm, ft, mix")
        fails(["--objective", "af"], "'af' is no --objective")
        fails(["--objective", "ae", "--method", "window"], "window has nothing to learn")
        fails(["--objective", "ae"], "--data FILE")
        fails(["--objective", "ae", "--data", TEXT], "--out DIR")
        fails(["--objective", "ae", "--data", TEXT, "--out", self.out, "--batch", "0"], "batch must be at least 1")
        fails(["--objective", "ae", "--data", TEXT, "--out", self.out, "--stesp", "5"], "--stesp", "--steps")
        self.assertFalse(self.out.exists())

    def test_settings_of_the_method(self):
        self.assertFails(train(self.out, "--set", "kk=5"), 2, "icae has no setting 'kk'", "ratio")
        self.assertFails(train(self.out, "--set", "k=5"), 2, "k is given twice")
        self.assertFails(train(self.out, "--data", self.folder / "none.jsonl"), 3, "none.jsonl")

    def test_what_an_objective_cannot_learn_is_refused_before_anything_is_made(self):
        questions = self.folder / "qa.jsonl"
        questions.write_text('{"context":"A cat.","question":"Who?","answers":["A cat"]}\n')
        mixed = self.folder / "mixed.jsonl"
        mixed.write_text(questions.read_text() + '{"text":"A dog."}\n')
        for objective, data, valid, *parts in (
                ("ft", TEXT, questions, "--data has 1 text", "context, question and answers"),
                ("ft", questions, TEXT, "--valid has 1 text"),
                ("ft", mixed, questions, "--data has 1 text"),
                ("ae", questions, TEXT, "--data has 1 question", "--objective ft"),
                ("mix", TEXT, mixed, "--valid has 1 question")):
            with self.subTest(objective=objective, data=data.name):
                result = train(self.out, "--objective", objective, "--data", data, "--valid", valid, "--quiet")
                self.assertFails(result, 3, f"--objective {objective}", *parts)
                self.assertEqual(len(result.stderr.strip().splitlines()), 1, result.stderr)
                self.assertFalse(self.out.exists())
        self.assertFails(train(self.out, "--data", self.folder / "none.jsonl"), 3, "none.jsonl")
        self.assertFalse(self.out.exists())
        self.assertWorks(train(self.out, "--objective", "ft", "--data", questions, "--valid", questions, "--steps", 1))

    def test_a_folder_is_not_overwritten(self):
        before = files(self.whole)
        self.assertFails(train(self.whole), 2, "is not empty", "--resume")
        self.assertFails(train(self.whole / "metrics.jsonl"), 3, "cannot be made a folder")
        self.assertEqual(files(self.whole), before)


class ResumeTest(TrainTest):
    def start(self, *arguments):
        return subprocess.Popen(command(self.out, *arguments), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                text=True, cwd=ROOT, env=ENVIRONMENT)

    def wait_for_lines(self, process, count):
        deadline = time.monotonic() + 120
        while process.poll() is None and lines_so_far(self.out) < count:
            self.assertLess(time.monotonic(), deadline, "the run makes no progress")
            time.sleep(0.002)

    def test_killed_at_random_moments(self):
        chance = random.Random(17)
        total = lines_so_far(self.whole)
        kills = 0
        # One run, killed again and again while it is resumed; the moments lie anywhere between and within lines.
        process = self.start()
        for line in sorted(chance.sample(range(total), 5)):
            self.wait_for_lines(process, line)
            time.sleep(chance.random() * 0.05)
            process.kill()
            process.communicate()
            kills += process.returncode == -signal.SIGKILL
            process = self.start("--resume")
        _, stderr = process.communicate(timeout=300)
        self.assertEqual(process.returncode, 0, stderr)
        self.assertGreaterEqual(kills, 3)
        self.assertAsUndisturbed(self.out)

    def test_ctrl_c(self):
        process = self.start()
        self.wait_for_lines(process, 8)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=300)
        self.assertEqual(process.returncode, 130, stderr)
        self.assertIn("--resume goes on from", stderr)
        done = metrics(self.out)[-1]["step"]
        self.assertIn(f"interrupted after step {done} of {STEPS}", stderr)
        self.assertEqual(checkpoints(self.out)[-1].name, f"step-{done:08}.safetensors")
        self.assertFalse((self.out / "adapter").exists())
        self.assertWorks(train(self.out, "--resume"))
        self.assertAsUndisturbed(self.out)

    def test_a_damaged_checkpoint_is_named_and_passed_over(self):
        shutil.copytree(self.whole, self.out)
        newest = checkpoints(self.out)[-1]
        data = bytearray(newest.read_bytes())
        data[-9] ^= 16
        newest.write_bytes(data)
        result = self.assertWorks(train(self.out, "--resume"))
        warnings = [line for line in result.stderr.splitlines() if "warning" in line]
        self.assertEqual(len(warnings), 1, result.stderr)
        self.assertIn(newest.name, warnings[0])
        self.assertIn("damaged", warnings[0])
        self.assertAsUndisturbed(self.out)

    def test_one_process_at_a_time(self):
        lock = os.open(self.whole, os.O_RDONLY)
        self.addCleanup(os.close, lock)
        fcntl.flock(lock, fcntl.LOCK_EX)
        self.assertFails(train(self.whole, "--resume"), 4, "another process trains in this folder")

    def test_another_run_is_refused(self):
        for arguments, part in ((("--lr", "2e-3"), "lr is 0.001 there and 0.002 now"),
                                (("--set", "ratio=8"), "settings/ratio"),
                                (("--data", str(ROOT / "CHANGELOG.md"), "--valid", str(ROOT / "LICENSE")), "data is"),
                                (("--seed", "4"), "seed is 3 there and 4 now")):
            self.assertFails(train(self.whole, "--resume", *arguments), 2, part)

    def test_a_full_disk(self):
        newest = checkpoints(self.whole)[-1]
        largest = max(p.stat().st_size for p in (self.whole / "adapter").iterdir())
        limit = (newest.stat().st_size + largest) // 2
        self.assertLess(largest, limit)

        def full():
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        self.assertFails(train(self.out, preexec_fn=full), 4, "the checkpoint of step 0 could not be written")
        self.assertWorks(train(self.out, "--resume"))
        self.assertAsUndisturbed(self.out)
        other = self.folder / "other"
        result = self.assertWorks(train(other, "--on-full-disk", "continue", preexec_fn=full))
        self.assertIn("the run goes on without it", result.stderr)
        self.assertEqual(checkpoints(other), [])
        self.assertEqual(files(other / "adapter").keys(), files(self.whole / "adapter").keys())
        self.assertEqual(metrics(other), metrics(self.whole))


if __name__ == "__main__":
    unittest.main(verbosity=2)
