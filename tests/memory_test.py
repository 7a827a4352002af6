"""Memory files from end to end: compress, append, delete, merge, verify, export, and everything that can go wrong.

Usage: memory_test.py STENO MAKE_ADAPTER [unittest arguments]. The model is tests/data/stories260K with an untrained
adapter: what the slots say does not matter here, that they are kept does.
"""
import fcntl
import json
import os
import pathlib
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent
STENO = pathlib.Path(sys.argv.pop(1) if len(sys.argv) > 1 else ROOT / "build/release/steno").resolve()
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


class MemoryTest(unittest.TestCase):
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
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.one, self.two = self.file("one.txt", ONE), self.file("two.txt", TWO)

    def file(self, name, content):
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def run_json(self, *arguments, **options):
        result = steno(*arguments, "--json", **options)
        self.assertEqual(result.returncode, 0, result.stderr)
        return json.loads(result.stdout)

    def compress(self, out, *arguments, adapter=None, **options):
        return self.run_json("compress", *arguments, "-o", out, "--set", f"adapter={adapter or self.adapter}", *COMMON,
                             **options)

    def assertFails(self, result, code, *parts):
        """One line on standard error that names what is wrong, nothing on standard output, the documented exit code."""
        self.assertEqual(result.returncode, code, result.stderr + result.stdout)
        self.assertEqual(result.stdout, "")
        self.assertEqual(len(result.stderr.strip().splitlines()), 1, result.stderr)
        for part in parts:
            self.assertIn(str(part), result.stderr)

    def assertOnlyFiles(self, *names):
        """No temporary file and no lock is left."""
        self.assertEqual(sorted(p.name for p in self.folder.iterdir()), sorted(names))


class LifeOfAMemory(MemoryTest):
    def test_compress_says_what_it_did_and_the_file_holds_it(self):
        book = self.folder / "book.memory"
        done = self.compress(book, self.one, self.two, "--keep-text")
        self.assertEqual(done["spans"], sum(d["spans"] for d in done["documents"]))
        self.assertEqual(done["source_tokens"], sum(d["tokens"] for d in done["documents"]))
        self.assertEqual(done["slots"], 4 * done["spans"])
        self.assertEqual(done["compressed_spans"], done["spans"])
        self.assertEqual(done["file_bytes"], book.stat().st_size)
        self.assertAlmostEqual(done["ratio"], done["source_tokens"] / done["slots"])
        spans = self.run_json("memory", "list", book)["spans"]
        for name, text in (("one.txt", ONE), ("two.txt", TWO)):
            own = [s for s in spans if s["source"].endswith(name)]
            # The ranges cover the document without gap, in bytes and in tokens.
            for kind, end in (("bytes", len(text.encode())), ("tokens", None)):
                borders = [s[kind] for s in own]
                self.assertEqual(borders[0][0], 0)
                self.assertTrue(all(a[1] == b[0] for a, b in zip(borders, borders[1:])))
                if end is not None:
                    self.assertEqual(borders[-1][1], end)
            self.assertEqual([s["opens_document"] for s in own], [True] + [False] * (len(own) - 1))
        exported = [json.loads(line) for line in steno("memory", "export", book).stdout.splitlines()]
        self.assertEqual("".join(s["text"] for s in exported), ONE + TWO)
        shown = steno("memory", "show", book).stdout
        for part in ("icae", str(self.adapter), "one.txt", "bf16", "rope", "theta"):
            self.assertIn(part, shown)
        self.assertIn("whole", steno("memory", "verify", book).stdout)
        self.assertIn("of this model", steno("memory", "verify", book, *COMMON).stdout)
        self.assertIn("one.txt", steno("memory", "list", book).stdout)

    def test_append_delete_and_merge_equal_a_fresh_memory(self):
        fresh, a, b, c = (self.folder / n for n in ("fresh", "a", "b", "c"))
        for dtype in ("f32", "int4"):
            with self.subTest(dtype=dtype):
                flags = ("--slot-dtype", dtype, "--keep-text", "--force")
                whole = self.compress(fresh, self.one, self.two, *flags)
                first = self.compress(a, self.one, *flags)
                second = self.compress(b, self.two, *flags)
                merged = self.run_json("memory", "merge", a, b, "-o", c, "--force")
                self.assertEqual(c.read_bytes(), fresh.read_bytes())
                self.assertEqual(merged["new_bytes"], 0)
                # The memory's own type and habit are taken where no flag says otherwise.
                added = self.run_json("memory", "append", a, self.two, *COMMON)
                self.assertEqual(a.read_bytes(), fresh.read_bytes())
                self.assertEqual(added["compressed_spans"], second["spans"])
                self.assertEqual(added["new_bytes"], second["new_bytes"])
                self.assertEqual(added["kept_bytes"], first["new_bytes"])
                gone = self.run_json("memory", "delete", a, self.one)
                self.assertEqual(gone["deleted_spans"], first["spans"])
                self.assertEqual(a.read_bytes(), b.read_bytes())
                last = whole["spans"] - 1
                self.run_json("memory", "delete", fresh, f"{first['spans']}..{last}")
                self.compress(b, self.one, *flags)
                self.assertEqual(fresh.read_bytes(), b.read_bytes())

    def test_compress_append_makes_or_extends(self):
        book, fresh = self.folder / "book", self.folder / "fresh"
        self.compress(book, self.one, "--append")
        self.compress(book, self.two, "--append")
        self.compress(fresh, self.one, self.two)
        self.assertEqual(book.read_bytes(), fresh.read_bytes())
        # The first part of a text, then all of it: fixed spans keep their borders.
        self.assertEqual(self.run_json("memory", "list", book)["spans"][3]["id"],
                         self.run_json("memory", "list", fresh)["spans"][3]["id"])

    def test_jobs_do_not_change_a_bit(self):
        one, three = self.folder / "one.memory", self.folder / "three.memory"
        self.compress(one, self.one)
        self.compress(three, self.one, "--jobs", "3")
        self.assertEqual(one.read_bytes(), three.read_bytes())

    def test_balanced_spans_are_equally_long(self):
        book = self.folder / "book"
        self.compress(book, self.one, "--spans", "balanced")
        sizes = [s["tokens"][1] - s["tokens"][0] for s in self.run_json("memory", "list", book)["spans"]]
        self.assertEqual(set(sizes[:-1]), {sizes[0]})
        self.assertLessEqual(sizes[-1], sizes[0])

    def test_slot_types_differ_in_size_only(self):
        sizes = {}
        for dtype in ("f32", "bf16", "int8", "int4"):
            book = self.folder / dtype
            sizes[dtype] = self.compress(book, self.one, "--slot-dtype", dtype)["new_bytes"]
            self.assertEqual(self.run_json("memory", "show", book)["slot_dtypes"].keys(), {dtype})
        self.assertEqual(sizes["f32"], 2 * sizes["bf16"])
        self.assertLess(sizes["int8"], sizes["bf16"])
        self.assertLess(sizes["int4"], sizes["int8"])

    def test_certificates_are_stored_and_shown(self):
        book = self.folder / "book"
        short = self.file("short.txt", ONE[:120])
        done = self.compress(book, short, "--certify", "--compare-dtypes")
        self.assertEqual(done["certificate"]["spans"], done["spans"])
        scores = self.run_json("memory", "show", book)["scores"]
        self.assertEqual(set(scores), {"f32", "bf16", "int8", "int4"})
        # An untrained adapter brings nothing back: all text is kept as text, which says so.
        done = self.compress(book, short, "--min-fidelity", "0.99", "--force")
        self.assertGreater(done["raw_spans"], 0)
        self.assertEqual(done["raw_spans"], done["certificate"]["raw_spans"])
        exported = [json.loads(line) for line in steno("memory", "export", book).stdout.splitlines()]
        self.assertEqual({s["kind"] for s in exported}, {"raw"})
        self.assertEqual("".join(s["text"] for s in exported), ONE[:120])

    def test_exports_are_plain_numbers(self):
        book = self.folder / "book"
        done = self.compress(book, self.one, "--slot-dtype", "f32")
        npy, tensors = self.folder / "slots.npy", self.folder / "slots.safetensors"
        self.run_json("memory", "export", book, "-o", npy)
        self.run_json("memory", "export", book, "-o", tensors)
        numbers = npy.read_bytes()
        self.assertTrue(numbers.startswith(b"\x93NUMPY\x01\x00"))
        length = struct.unpack("<H", numbers[8:10])[0]
        self.assertEqual((10 + length) % 64, 0)
        description = eval(numbers[10:10 + length], {})
        self.assertEqual(description["shape"][0], done["slots"])
        # f32 slots, one span after the other, are all that the file's data is.
        length = struct.unpack("<Q", book.read_bytes()[:8])[0]
        self.assertEqual(numbers[-done["new_bytes"]:], book.read_bytes()[8 + length:])
        self.assertEqual(header_of(tensors)["span.000000.slots"]["dtype"], "F32")
        self.assertFails(steno("memory", "export", book, "-o", self.folder / "slots.csv"), 2, ".npy")

    def test_text_of_any_bytes_and_names(self):
        text = "Ein größerer Straßenzug – naïve façade 中文字 😀\n\n  two spaces <s> </s> <unk>\ttab" * 5
        odd = self.file("odd ‘name’ 1..2.txt", text)
        book = self.folder / "book"
        self.compress(book, odd, "--keep-text")
        spans = self.run_json("memory", "list", book)["spans"]
        self.assertEqual(spans[-1]["bytes"][1], len(text.encode()))
        self.assertIn("whole", steno("memory", "verify", book).stdout)
        self.run_json("memory", "delete", book, odd)
        self.assertEqual(self.run_json("memory", "list", book)["spans"], [])


class Refusals(MemoryTest):
    def setUp(self):
        super().setUp()
        self.book = self.folder / "book"
        self.compress(self.book, self.one)
        self.good = self.book.read_bytes()

    def test_damage_is_found(self):
        length = struct.unpack("<Q", self.good[:8])[0]
        places = {"length": 2, "header": 100, "metadata": length // 3, "padding": 8 + length - 1, "slots": len(self.good) - 5}
        for name, place in places.items():
            with self.subTest(flipped=name):
                bad = bytearray(self.good)
                bad[place] ^= 0x20
                path = self.file("bad", bytes(bad))
                for action in ("verify", "list", "show"):
                    self.assertFails(steno("memory", action, path), 3, path)
        for cut in (0, 4, 500, len(self.good) // 2, len(self.good) - 1):
            with self.subTest(cut=cut):
                self.assertFails(steno("memory", "verify", self.file("bad", self.good[:cut])), 3, "bad")
        self.assertFails(steno("memory", "verify", self.file("bad", self.good + b"\0")), 3, "bad")
        # Of several files the others are told about too.
        several = steno("memory", "verify", self.book, self.file("bad", self.good[:-1]), self.book)
        self.assertEqual(several.returncode, 3)
        self.assertEqual(several.stdout.count("whole"), 2)
        self.assertIn("1 of 3 files cannot be used", several.stderr)
        listed = json.loads(steno("memory", "verify", self.book, self.folder / "bad", "--json").stdout)["files"]
        self.assertEqual([file["ok"] for file in listed], [True, False])
        # A damaged memory is not appended to either, and stays as it is.
        bad = self.file("bad", self.good[:-1])
        self.assertFails(steno("memory", "append", bad, self.two, *COMMON), 3, "bad")
        self.assertEqual(bad.read_bytes(), self.good[:-1])

    def test_other_files_are_named(self):
        self.assertFails(steno("memory", "show", MODEL / "model.safetensors"), 3, "no memory file")
        self.assertFails(steno("memory", "show", self.one), 3, "one.txt")
        self.assertFails(steno("memory", "show", self.folder / "absent"), 3, "absent")
        result = steno("compress", self.two, "-o", self.one, "--set", f"adapter={self.adapter}", *COMMON)
        self.assertFails(result, 3, "is no memory file")
        self.assertEqual(self.one.read_text(), ONE)

    def test_a_memory_is_not_lost_by_writing_another(self):
        flags = ("--set", f"adapter={self.adapter}", *COMMON)
        command = ("compress", self.two, "-o", self.book, *flags)
        self.assertFails(steno(*command), 2, self.book, "--append", "--force")
        self.assertFails(steno(*command, "--append", "--force"), 2, "--append", "--force")
        other = self.folder / "other_book"
        self.compress(other, self.two)
        wanted = other.read_bytes()
        self.book = self.book.rename(self.folder / "book.safetensors")
        self.assertFails(steno("memory", "merge", other, other, "-o", self.book), 2, self.book, "--force")
        self.assertFails(steno("memory", "export", other, "-o", self.book), 2, self.book, "--force")
        self.assertEqual(self.book.read_bytes(), self.good)
        self.compress(self.book, self.two, "--force")
        self.assertEqual(self.book.read_bytes(), wanted)
        # Into one of its parts, which is not lost.
        self.run_json("memory", "merge", other, self.book, "-o", self.book)
        self.assertEqual(len(self.run_json("memory", "list", self.book)["spans"]),
                         2 * len(self.run_json("memory", "list", other)["spans"]))

    def test_a_text_that_comes_again_is_told(self):
        flags = [flag for flag in COMMON if flag != "--quiet"]
        spans = len(self.run_json("memory", "list", self.book)["spans"])

        def warnings(*command):
            result = steno(*command, *flags)
            self.assertEqual(result.returncode, 0, result.stderr)
            return [line for line in result.stderr.splitlines() if "warning" in line]
        self.assertEqual(warnings("memory", "append", self.book, self.two), [])
        again = warnings("memory", "append", self.book, self.one)
        self.assertEqual(len(again), 1)
        for part in (self.one, f"{spans} spans of {self.book}", "once more"):
            self.assertIn(str(part), again[0])
        self.assertEqual(sum(s["source"] == str(self.one) for s in self.run_json("memory", "list", self.book)["spans"]),
                         2 * spans)
        self.one.write_text(TWO)  # the name alone says nothing
        self.assertEqual(warnings("memory", "append", self.book, self.one), [])
        twice = warnings("compress", self.two, self.two, "-o", self.folder / "twice", "--set", f"adapter={self.adapter}")
        self.assertEqual(len(twice), 1)
        self.assertIn("named twice", twice[0])

    def test_another_model_or_adapter_is_refused_by_name(self):
        model = self.folder / "model"
        shutil.copytree(MODEL, model)
        weights = bytearray((model / "model.safetensors").read_bytes())
        weights[-2] ^= 1
        (model / "model.safetensors").write_bytes(weights)
        flags = ("--model", model, *COMMON[2:])
        for command in (("memory", "append", self.book, self.two), ("memory", "verify", self.book)):
            self.assertFails(steno(*command, *flags), 3, "model")
        other = f"adapter={self.other_adapter}"
        for command in (("memory", "append", self.book, self.two), ("memory", "verify", self.book),
                        ("compress", self.two, "--append", "-o", self.book)):
            self.assertFails(steno(*command, "--set", other, *COMMON), 3, "adapter", self.adapter, self.other_adapter)
        other_book = self.folder / "other_book"
        self.compress(other_book, self.two, adapter=self.other_adapter)
        self.assertFails(steno("memory", "merge", self.book, other_book, "-o", self.folder / "c"), 3, "adapter",
                         "other_book")
        self.assertFalse((self.folder / "c").exists())
        self.assertEqual(self.book.read_bytes(), self.good)
        # The same adapter in another place is the same adapter.
        moved = self.folder / "moved"
        shutil.copytree(self.adapter, moved)
        self.run_json("memory", "append", self.book, self.two, "--set", f"adapter={moved}", *COMMON)

    def test_usage(self):
        for arguments, part in ((("memory",), "name an action"), (("memory", "lst", self.book), "did you mean list"),
                                (("memory", "delete", self.book), "SPAN"), (("memory", "merge", self.book, self.book), "-o"),
                                (("memory", "delete", self.book, "999"), "999"),
                                (("memory", "show", self.book, self.book), "one file"),
                                (("compress", self.one), "-o"), (("compress", "-o", self.book), "document"),
                                (("compress", self.one, "-o", "-"), "not standard output"),
                                (("compress", self.one, "-o", "x", "--slot-dtype", "f16"), "f16"),
                                (("compress", self.one, "-o", "x", "--spans", "even"), "even"),
                                (("compress", self.one, "-o", "x", "--jobs", "0"), "--jobs"),
                                (("compress", self.one, "-o", "x", "--halvings", "1"), "--min-fidelity"),
                                (("compress", self.one, "-o", "x", "--method", "icea"), "icae")):
            with self.subTest(arguments=arguments):
                self.assertFails(steno(*arguments, cwd=self.folder), 2, part)
        result = steno("compress", self.one, "-o", self.folder / "x", "--method", "dense", *COMMON)
        self.assertFails(result, 2, "dense", "icae")
        self.assertFails(steno("compress", self.one, "-o", self.folder / "x", *COMMON), 2, "--set adapter=DIR")
        self.assertFails(steno("memory", "append", self.folder / "absent", self.one, *COMMON), 3, "absent")
        self.assertFails(steno("memory", "append", self.book, self.book, *COMMON), 3, "memory merge")
        exported = steno("memory", "export", self.book, "--json")
        self.assertEqual(exported.returncode, 2)
        self.assertIn("-o FILE", json.loads(exported.stdout)["error"])
        self.assertOnlyFiles("book", "one.txt", "two.txt")

    def test_full_disk_leaves_the_old_file(self):
        limit = len(self.good) + 1000

        def small_disk():
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        result = steno("memory", "append", self.book, self.two, *COMMON, preexec_fn=small_disk)
        self.assertFails(result, 4, "book")
        self.assertEqual(self.book.read_bytes(), self.good)
        limit = 1000
        result = steno("compress", self.two, "-o", self.book, "--force", "--set", f"adapter={self.adapter}", *COMMON,
                       preexec_fn=small_disk)
        self.assertFails(result, 4, "book")
        self.assertEqual(self.book.read_bytes(), self.good)
        self.assertOnlyFiles("book", "one.txt", "two.txt")

    def test_small_file_system(self):
        mount = self.folder / "small"
        mount.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", mount], capture_output=True).returncode:
            self.skipTest("a small file system cannot be mounted here")
        try:
            result = steno("compress", self.one, "-o", mount / "book", "--set", f"adapter={self.adapter}", "--slot-dtype",
                           "f32", *COMMON)
            self.assertFails(result, 4, "book")
            self.assertEqual(list(mount.iterdir()), [])
        finally:
            subprocess.run(["umount", mount], check=True)


class SeveralProcesses(MemoryTest):
    def test_two_writers_cannot_interleave(self):
        book = self.folder / "book"
        self.compress(book, self.one)
        good = book.read_bytes()
        lock = self.folder / ".book.lock"
        with open(lock, "w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            for command in (("memory", "append", book, self.two, *COMMON), ("memory", "delete", book, "0"),
                            ("memory", "merge", book, book, "-o", book)):
                self.assertFails(steno(*command), 4, "another process", "--wait")
            self.assertEqual(book.read_bytes(), good)
            # Reading needs no lock.
            self.assertEqual(steno("memory", "verify", book).returncode, 0)
            waiting = subprocess.Popen([STENO, "memory", "delete", book, "0", "--wait"], env=ENVIRONMENT,
                                       stdout=subprocess.DEVNULL)
            time.sleep(0.5)
            self.assertIsNone(waiting.poll())
            self.assertEqual(book.read_bytes(), good)
        self.assertEqual(waiting.wait(60), 0)
        self.assertNotEqual(book.read_bytes(), good)

    def test_writers_at_once_all_count(self):
        book = self.folder / "book"
        self.compress(book, self.one)
        before = len(self.run_json("memory", "list", book)["spans"])
        texts = [self.file(f"text{i}.txt", TEXT[i * 300:i * 300 + 300]) for i in range(3)]
        writers = [subprocess.Popen([STENO, "memory", "append", book, text, "--wait", *map(str, COMMON)], env=ENVIRONMENT,
                                    stdout=subprocess.DEVNULL) for text in texts]
        self.assertEqual([w.wait(120) for w in writers], [0, 0, 0])
        spans = self.run_json("memory", "list", book)["spans"]
        self.assertEqual({s["source"] for s in spans}, {str(self.one), *map(str, texts)})
        self.assertGreater(len(spans), before)
        self.assertOnlyFiles("book", "one.txt", "two.txt", *(t.name for t in texts))

    def test_killed_at_any_moment_leaves_the_old_or_the_new_file(self):
        book, fresh = self.folder / "book", self.folder / "fresh"
        self.compress(book, self.one)
        self.compress(fresh, self.one, self.two)
        old, new = book.read_bytes(), fresh.read_bytes()
        command = [STENO, "memory", "append", book, self.two, *map(str, COMMON)]
        begin = time.monotonic()
        subprocess.run(command, check=True, env=ENVIRONMENT, stdout=subprocess.DEVNULL)
        whole = time.monotonic() - begin
        self.assertEqual(book.read_bytes(), new)
        killed = 0
        for share in (0.1, 0.3, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95):
            book.write_bytes(old)
            process = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL)
            time.sleep(whole * share)
            process.kill()
            killed += process.wait() == -signal.SIGKILL
            self.assertIn(book.read_bytes(), (old, new))
            self.assertIn("whole", steno("memory", "verify", book).stdout)
        self.assertGreater(killed, 0)
        # What was left behind is swept up by the next writer.
        (self.folder / ".book.4242-0.tmp").write_bytes(b"half")
        self.run_json("memory", "delete", book, "0")
        self.assertEqual([p.name for p in self.folder.iterdir() if p.name.startswith(".")], [])

    def test_ctrl_c_leaves_no_half_file(self):
        book = self.folder / "book"
        long = self.file("long.txt", TEXT * 20)
        process = subprocess.Popen([STENO, "compress", long, "-o", book, "--set", f"adapter={self.adapter}",
                                    *map(str, COMMON)], env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)
        # Its lock is there from the beginning; then some spans are given time.
        while not (self.folder / ".book.lock").exists():
            time.sleep(0.02)
        time.sleep(1.5)
        process.send_signal(signal.SIGINT)
        error = process.communicate(timeout=60)[1]
        self.assertEqual(process.returncode, 130, error)
        self.assertRegex(error, r"interrupted: [\d,]+ of [\d,]+ spans .* nothing was written")
        self.assertOnlyFiles("long.txt", "one.txt", "two.txt")


if __name__ == "__main__":
    unittest.main(verbosity=2)
