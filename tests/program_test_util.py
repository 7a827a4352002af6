"""What the end-to-end tests of the program share: where it is, how it is run, and what a refusal looks like.

The first argument of a test script is the program; the rest is unittest's.
"""
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent
STENO = (pathlib.Path(sys.argv.pop(1)) if len(sys.argv) > 1 else ROOT / "build/release/steno").resolve()
MODEL = pathlib.Path(os.environ.get("STENO_MODEL", ROOT / "models/SmolLM2-135M-Instruct.Q4_1.gguf")).resolve()
TINY = ROOT / "tests/data/tiny_models"
LICENCE = ROOT / "LICENSE"
needs_model = unittest.skipUnless(MODEL.is_file(), f"the default model is absent ({MODEL}); run 'make model'")


def steno(*arguments, stdin="", env=None, cwd=ROOT, **options):
    return subprocess.run([STENO, *map(str, arguments)], input=stdin, capture_output=True, text=True, cwd=cwd,
                          timeout=600, env={**os.environ, **(env or {})}, **options)


class FolderTest(unittest.TestCase):
    """With an empty folder, which is gone afterwards."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)


class CliTest(FolderTest):
    def file(self, name, content):
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def assertFails(self, result, code, *parts):
        """One line on standard error that names what is wrong, nothing on standard output, the documented exit code."""
        self.assertEqual(result.returncode, code, result.stderr + result.stdout)
        self.assertEqual(result.stdout, "")
        self.assertEqual(len(result.stderr.strip().splitlines()), 1, result.stderr)
        for part in parts:
            self.assertIn(str(part), result.stderr)
