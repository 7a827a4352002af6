"""Memory files from end to end: compress, append, delete, merge, verify, export.

Usage: memory_test.py STENO MAKE_ADAPTER [unittest arguments]. memory_refusals_test.py has what can go wrong.
"""
import json
import struct
import unittest

from memory_test_util import COMMON, ONE, TWO, MemoryTest, header_of, steno


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


if __name__ == "__main__":
    unittest.main(verbosity=2)
