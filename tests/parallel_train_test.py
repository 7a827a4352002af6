"""End-to-end tests of `steno train` over MPI: two ranks with half of each batch learn what one rank learns, a rank that is
killed or fails ends the run, and the run goes on from its newest checkpoint.

Usage: parallel_train_test.py STENO [unittest arguments]
"""
import array
import json
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent
STENO = (pathlib.Path(sys.argv.pop(1)) if len(sys.argv) > 1 else ROOT / "build/release/steno").resolve()
MODEL = ROOT / "tests/data/stories260K"
STEPS = 20
SETTINGS = ("--method", "icae", "--objective", "mix", "--model", MODEL, "--dtype", "f32", "--threads", "1",
            "--set", "k=4", "--set", "rank=2", "--set", "dropout=0.1", "--set", "min_tokens_for_lm=4",
            "--data", MODEL / "README.md", "--valid", ROOT / "LICENSE", "--piece", "40", "--eval-examples", "4",
            "--batch", "4", "--micro-batch", "2", "--lr", "1e-3", "--warmup", "4", "--log-every", "1",
            "--save-every", "5", "--seed", "3")
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "OMPI_ALLOW_RUN_AS_ROOT": "1",
               "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMPI_MCA_btl_vader_single_copy_mechanism": "none"}
MPIRUN = ("mpirun", "--oversubscribe", "--bind-to", "none", "-n")


def command(ranks, out, *arguments):
    launcher = (*MPIRUN, ranks) if ranks > 1 else ()
    return [str(a) for a in (*launcher, STENO, "train", *SETTINGS, "--out", out, *arguments)]


def train(ranks, out, *arguments):
    return subprocess.run(command(ranks, out, *arguments), capture_output=True, text=True, cwd=ROOT, timeout=300,
                          env=ENVIRONMENT)


def floats(path):
    """The f32 tensors of a safetensors file by name."""
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + size])
    tensors = {}
    for name, entry in header.items():
        if name != "__metadata__" and entry["dtype"] == "F32":
            begin, end = entry["data_offsets"]
            tensors[name] = array.array("f", data[8 + size + begin:8 + size + end])
    return tensors


def trained(out):
    tensors = {}
    for path in sorted((out / "adapter").rglob("*.safetensors")):
        for name, values in floats(path).items():
            tensors[f"{path.name}:{name}"] = values
    return tensors


class ParallelTrainTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def assertSameWeights(self, a, b, limit):
        a, b = trained(a), trained(b)
        self.assertTrue(a)
        self.assertEqual(a.keys(), b.keys())
        largest = max(abs(x - y) for name in a for x, y in zip(a[name], b[name]))
        self.assertLess(largest, limit)

    def test_two_ranks_learn_what_one_learns(self):
        for ranks in (1, 2):
            result = train(ranks, self.folder / str(ranks), "--steps", STEPS)
            self.assertEqual(result.returncode, 0, result.stderr)
        self.assertSameWeights(self.folder / "1", self.folder / "2", 1e-5)
        lines = [[json.loads(line) for line in (self.folder / str(n) / "metrics.jsonl").read_text().splitlines()]
                 for n in (1, 2)]
        self.assertEqual([line["step"] for line in lines[0]], [line["step"] for line in lines[1]])
        losses = [[line["train/loss"] for line in run if "train/loss" in line] for run in lines]
        self.assertTrue(losses[0])
        for one, two in zip(*losses, strict=True):
            self.assertAlmostEqual(one, two, delta=1e-4)
        # Ranks write one run, not two.
        self.assertEqual(len(list((self.folder / "2" / "tensorboard").iterdir())), 1)

    def test_a_killed_rank_ends_the_run_and_it_goes_on(self):
        steps = ("--steps", 120, "--schedule", "constant")
        out, whole = self.folder / "killed", self.folder / "whole"
        run = subprocess.Popen(command(2, out, *steps), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               cwd=ROOT, env=ENVIRONMENT)
        deadline = time.monotonic() + 120
        while not list(out.glob("checkpoints/*.safetensors")):
            self.assertIsNone(run.poll(), "ended before a checkpoint was written")
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.02)
        children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(run.pid)], capture_output=True, text=True)
        ranks = [int(pid) for pid in children.stdout.split() if pathlib.Path(f"/proc/{pid}/exe").resolve() == STENO]
        self.assertEqual(len(ranks), 2)
        os.kill(ranks[1], signal.SIGKILL)
        _, stderr = run.communicate(timeout=120)
        self.assertNotEqual(run.returncode, 0)
        self.assertIn("signal 9", stderr)

        resumed, undisturbed = train(2, out, *steps, "--resume"), train(2, whole, *steps)
        self.assertEqual(resumed.returncode, 0, resumed.stderr)
        self.assertEqual(undisturbed.returncode, 0, undisturbed.stderr)
        self.assertEqual(trained(out), trained(whole))

    def test_a_rank_that_fails_ends_the_run_with_its_reason(self):
        result = train(2, self.folder / "bad", "--steps", STEPS, "--data", self.folder / "nowhere.jsonl")
        self.assertEqual(result.returncode, 3, result.stderr)
        self.assertIn("nowhere.jsonl: no such file", result.stderr)
        # Only rank 0 opens the folder of the run, and this one is taken; the other rank would wait for ever.
        taken = self.folder / "taken"
        taken.write_text("a file")
        result = train(2, taken, "--steps", STEPS)
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("taken", result.stderr)
        self.assertIn("rank 0 of 2 failed", result.stderr)

    def test_a_batch_that_ranks_cannot_share_is_refused(self):
        result = train(3, self.folder / "odd", "--steps", STEPS)
        self.assertEqual(result.returncode, 2, result.stderr)
        self.assertIn("batch", result.stderr)


def can_run():
    if not shutil.which("mpirun"):
        return False
    probe = subprocess.run([*MPIRUN, "2", str(STENO), "train"], capture_output=True, text=True, env=ENVIRONMENT)
    return "built without MPI" not in probe.stderr


if __name__ == "__main__":
    if not can_run():
        print("skipped: needs mpirun and a steno that is built with MPI (STENO_MPI)")
        sys.exit(0)
    unittest.main()
