"""Memory files when something goes wrong: damage, other models, full disks, several writers, kills.

Usage: memory_refusals_test.py STENO MAKE_ADAPTER [unittest arguments]
"""
import fcntl
import json
import resource
import shutil
import signal
import struct
import subprocess
import time
import unittest

from memory_test_util import COMMON, ENVIRONMENT, MODEL, ONE, STENO, TEXT, TWO, MemoryTest, steno


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
