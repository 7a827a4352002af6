"""Two texts, two adapters and the programs for the tests of memory files.

The model is tests/data/stories260K with an untrained adapter: what the slots say does not matter there, that they are kept
does. The first two arguments of the command line, STENO and MAKE_ADAPTER, are taken away here.
"""
import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile

from program_test_util import ROOT, STENO, CliTest

MAKE_ADAPTER = pathlib.Path(sys.argv.pop(1) if len(sys.argv) > 1 else ROOT / "build/release/tests/make_adapter").resolve()
MODEL = ROOT / "tests/data/stories260K"
TEXT = (ROOT / "LICENSE").read_text()
ONE, TWO = TEXT[:1500], TEXT[3000:4200]
COMMON = ("--model", MODEL, "--dtype", "f32", "--threads", "1", "--quiet")
# The same time in every file: then equal memories are equal files.
ENVIRONMENT = {**os.environ, "SOURCE_DATE_EPOCH": "1750000000", "OMP_NUM_THREADS": "1"}


def steno(*arguments, **options):
    return subprocess.run([STENO, *map(str, arguments)], capture_output=True, text=True, timeout=300,
                          env=ENVIRONMENT, **options)


def header_of(path):
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8:8 + length])


class MemoryTest(CliTest):
    @classmethod
    def setUpClass(cls):
        cls.shared = tempfile.TemporaryDirectory()
        cls.adapter = pathlib.Path(cls.shared.name) / "adapter"
        cls.other_adapter = pathlib.Path(cls.shared.name) / "other"
        for folder, seed in ((cls.adapter, 1), (cls.other_adapter, 2)):
            subprocess.run([MAKE_ADAPTER, MODEL, folder, "4", "4", str(seed)], check=True, env=ENVIRONMENT)

    @classmethod
    def tearDownClass(cls):
        cls.shared.cleanup()

    def setUp(self):
        super().setUp()
        self.one, self.two = self.file("one.txt", ONE), self.file("two.txt", TWO)

    def run_json(self, *arguments, **options):
        result = steno(*arguments, "--json", **options)
        self.assertEqual(result.returncode, 0, result.stderr)
        return json.loads(result.stdout)

    def compress(self, out, *arguments, adapter=None, **options):
        return self.run_json("compress", *arguments, "-o", out, "--set", f"adapter={adapter or self.adapter}", *COMMON,
                             **options)

    def assertOnlyFiles(self, *names):
        """No temporary file and no lock is left."""
        self.assertEqual(sorted(p.name for p in self.folder.iterdir()), sorted(names))
