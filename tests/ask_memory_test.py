"""Answers from memory files: ask, chat and reconstruct, spans that do not fit, spans kept as text, and refusals.

Usage: ask_memory_test.py STENO MAKE_ADAPTER [unittest arguments]. The model is tests/data/stories260K (512 positions) with
an untrained adapter: the answers say nothing, but what was read for them is exact. That answers from slots are right
is the business of memory_book_test.cpp, where slots are the text itself.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent
STENO = pathlib.Path(sys.argv.pop(1) if len(sys.argv) > 1 else ROOT / "build/release/steno").resolve()
MAKE_ADAPTER = pathlib.Path(sys.argv.pop(1) if len(sys.argv) > 1 else ROOT / "build/release/tests/make_adapter").resolve()
MODEL = ROOT / "tests/data/stories260K"
WINDOW, K, SPAN = 512, 4, 16
LONG = (ROOT / "LICENSE").read_text()[:6500] + "\n\nThe zebra quietly jumped over a xylophone.\n"
ONE, TWO = LONG[:600], LONG[3000:3500]
COMMON = ("--model", MODEL, "--dtype", "f32", "--threads", "1")
GREEDY = ("--temperature", 0)


def steno(*arguments, **options):
    return subprocess.run([STENO, *map(str, arguments)], capture_output=True, text=True, timeout=300,
                          env={**os.environ, "OMP_NUM_THREADS": "1"}, **options)


def indices(ranges):
    return [i for first, last in ranges for i in range(first, last + 1)]


class AskMemoryTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.shared = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.shared.name)
        cls.adapter, cls.other_adapter = cls.folder / "adapter", cls.folder / "other"
        for folder, seed in ((cls.adapter, 1), (cls.other_adapter, 2)):
            subprocess.run([MAKE_ADAPTER, MODEL, folder, str(K), str(SPAN // K), str(seed)], check=True)
        for name, text in (("one", ONE), ("two", TWO), ("long", LONG)):
            (cls.folder / f"{name}.txt").write_text(text)
        cls.one, cls.two = cls.compress("one.memory", "one.txt"), cls.compress("two.memory", "two.txt")
        cls.long = cls.compress("long.memory", "long.txt", "--keep-text")
        cls.long_blind = cls.compress("blind.memory", "long.txt")

    @classmethod
    def tearDownClass(cls):
        cls.shared.cleanup()

    @classmethod
    def compress(cls, out, *arguments, dtype="f32"):
        result = steno("compress", *arguments, "-o", out, "--set", f"adapter={cls.adapter}", "--slot-dtype", dtype, *COMMON,
                       "--quiet", cwd=cls.folder)
        assert result.returncode == 0, result.stderr
        return cls.folder / out

    def json(self, *arguments, **options):
        result = steno(*arguments, "--json", *COMMON, "--quiet", **options)
        self.assertEqual(result.returncode, 0, result.stderr)
        return json.loads(result.stdout)

    def ask(self, *files, questions=("What is licensed?",), tokens=8, more=()):
        flags = [part for question in questions for part in ("--question", question)]
        return self.json("ask", *files, *flags, *GREEDY, "--max-new-tokens", tokens, *more)

    def spans(self, memory):
        return self.json("memory", "list", memory)["spans"]

    def assertRefused(self, result, code, *parts):
        self.assertEqual(result.returncode, code, result.stderr + result.stdout)
        self.assertEqual(result.stdout, "")
        self.assertEqual(len(result.stderr.strip().splitlines()), 1, result.stderr)
        for part in parts:
            self.assertIn(str(part), result.stderr)


class AskTest(AskMemoryTest):
    def test_a_memory_that_fits_is_read_whole(self):
        spans = self.spans(self.one)
        done = self.ask(self.one, questions=("What is licensed?", "Who may use it?"))
        self.assertEqual(done["method"], "icae")
        self.assertEqual([a["question"] for a in done["answers"]], ["What is licensed?", "Who may use it?"])
        for answer in done["answers"]:
            reading = answer["reading"]
            self.assertEqual(reading["chosen_by"], "all")
            self.assertEqual(reading["read"], [[0, len(spans) - 1]])
            self.assertEqual(reading["unread"], [])
            self.assertEqual(reading["slots"], K * len(spans))
            self.assertEqual(reading["slot_tokens"], spans[-1]["tokens"][1])
            self.assertEqual(reading["window"], WINDOW)
        # Keys and values: one row for every slot and token, against one for every token of the text.
        accounting, reading = done["accounting"], done["answers"][-1]["reading"]
        row = accounting["memory_bytes"] // accounting["slots"]
        self.assertEqual(reading["resident_bytes"], row * accounting["slots"])
        self.assertEqual(reading["dense_bytes"], row * accounting["source_tokens"])
        self.assertEqual(accounting["source_tokens"] - accounting["slots"],
                         reading["slot_tokens"] - reading["slots"] - 1)  # the token of the task

    def test_the_same_answer_every_time_and_from_any_name(self):
        renamed = self.folder / "no-ending"
        renamed.write_bytes(self.one.read_bytes())
        first = self.ask(self.one)["answers"][0]["tokens"]
        self.assertEqual(len(first), 8)
        self.assertEqual(self.ask(renamed)["answers"][0]["tokens"], first)

    def test_two_memories_are_one_merged_memory(self):
        merged = self.folder / "merged.memory"
        result = steno("memory", "merge", self.one, self.two, "-o", merged)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(self.ask(self.one, self.two)["answers"][0]["tokens"], self.ask(merged)["answers"][0]["tokens"])

    def test_texts_and_memories_mix_in_their_order(self):
        note = self.folder / "note.txt"
        note.write_text("Lily has a red ball and a blue ball. " * 2)
        done = self.ask(self.one, note, self.two)
        reading = done["answers"][0]["reading"]
        slot_spans = len(self.spans(self.one)) + len(self.spans(self.two))
        self.assertEqual(reading["slots"], K * slot_spans)
        self.assertGreater(reading["text_tokens"], SPAN)
        self.assertEqual(reading["text_spans"], -(-reading["text_tokens"] // SPAN))
        self.assertEqual(reading["spans"], slot_spans + reading["text_spans"])
        self.assertNotEqual(self.ask(note, self.one, self.two)["answers"][0]["tokens"], done["answers"][0]["tokens"])

    def test_a_memory_named_twice_is_told(self):
        flags = ("--question", "What?", "--max-new-tokens", 1, *COMMON)
        result = steno("ask", self.one, self.two, self.one, *flags)
        self.assertEqual(result.returncode, 0, result.stderr)
        warnings = [line for line in result.stderr.splitlines() if "warning" in line]
        self.assertEqual(len(warnings), 1, result.stderr)
        self.assertIn(f"{self.one}: is named twice", warnings[0])
        self.assertNotIn("warning", steno("ask", self.one, self.two, *flags).stderr)

    def test_plain_output_is_the_answers_and_the_account_is_beside_it(self):
        result = steno("ask", self.one, "--question", "What?", *GREEDY, "--max-new-tokens", 6, *COMMON)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(result.stdout, self.ask(self.one, questions=("What?",), tokens=6)["answers"][0]["text"] + "\n")
        self.assertRegex(result.stderr, r"memory  all \d+ spans read: \d+ slots for \d+ tokens \(ratio [34]\.\d\)")
        self.assertRegex(result.stderr, r"bytes   .* of keys and values while answering; the text itself would take")


class TemplateTest(AskMemoryTest):
    """An adapter that was trained in a template is asked in it."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        trained = steno("train", "--objective", "ae", "--data", cls.folder / "long.txt", "--out", cls.folder / "run",
                        "--steps", 1, "--batch", 1, "--piece", 20, "--set", f"k={K}", "--set", f"ratio={SPAN // K}",
                        "--set", "rank=2", "--set", "frame=chatml", "--quiet", *COMMON)
        assert trained.returncode == 0, trained.stderr
        plain, cls.adapter = cls.adapter, cls.folder / "run/adapter"
        cls.framed = cls.compress("framed.memory", "one.txt")
        cls.adapter = plain

    def test_the_adapters_template_is_used_and_shown(self):
        own, without = self.ask(self.framed, tokens=2), self.ask(self.one, tokens=2)
        self.assertEqual((own["template"], without["template"]), ("adapter", "plain"))
        # The same as asking in that format by name.
        named = self.ask(self.framed, tokens=2, more=("--chat-format", "chatml"))
        self.assertEqual(named["template"], "chatml")
        self.assertEqual(own["answers"][0]["tokens"], named["answers"][0]["tokens"])
        self.assertEqual(own["accounting"]["slots"], named["accounting"]["slots"])
        plain = self.ask(self.framed, tokens=2, more=("--chat-format", "plain"))
        self.assertEqual(plain["template"], "plain")
        self.assertGreater(own["accounting"]["slots"], plain["accounting"]["slots"])
        self.assertEqual(self.ask(self.framed, more=("--system", "Be short.", "--chat-format", "chatml"))["template"],
                         "chatml")

    def test_chat_uses_it_too(self):
        result = steno("chat", "--memory", self.framed, *GREEDY, "--max-new-tokens", 2, "--json", *COMMON,
                       input="What is licensed?\n")
        turn = json.loads(result.stdout.splitlines()[0])
        self.assertEqual(turn["template"], "adapter")
        self.assertEqual(turn["tokens"], self.ask(self.framed, tokens=2)["answers"][0]["tokens"])

    def test_verbose_says_it(self):
        for memory, part in ((self.framed, "the adapter's own template"), (self.one, "the chat format plain")):
            result = steno("ask", memory, "--question", "What?", "--max-new-tokens", 1, "--verbose", *COMMON)
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertIn(part, result.stderr)


class ChoiceTest(AskMemoryTest):
    """250 spans of 4 slots do not fit into 512 positions."""

    def check_lists(self, answer, spans, tokens):
        reading = answer["reading"]
        read, unread = indices(reading["read"]), indices(reading["unread"])
        self.assertEqual(sorted(read + unread), list(range(len(spans))))
        self.assertEqual(len(reading["unread_spans"]), len(unread))
        self.assertEqual(reading["unread_tokens"], sum(spans[i]["tokens"][1] - spans[i]["tokens"][0] for i in unread))
        self.assertEqual(reading["slots"], K * len(read))
        # As many as fit: no room for one more.
        self.assertLessEqual(reading["slots"] + tokens, WINDOW)
        return read

    def test_bm25_where_the_text_was_kept(self):
        spans = self.spans(self.long)
        self.assertGreater(K * len(spans), WINDOW)
        done = self.ask(self.long, questions=("What did the zebra jump over?", "What is a patent claim?"), tokens=200)
        for answer in done["answers"]:
            self.assertEqual(answer["reading"]["chosen_by"], "bm25")
        zebra = self.check_lists(done["answers"][0], spans, 200)
        patent = self.check_lists(done["answers"][1], spans, 200)
        self.assertNotEqual(zebra, patent)
        # The last three spans are "...The zeb", "ra quietly jumped o" and "ver a xylophone.".
        self.assertTrue({len(spans) - 3, len(spans) - 2, len(spans) - 1} <= set(zebra))

    def test_attention_where_it_was_not(self):
        spans = self.spans(self.long_blind)
        first = self.ask(self.long_blind, questions=("What did the zebra jump over?",), tokens=200)["answers"][0]
        self.assertEqual(first["reading"]["chosen_by"], "attention")
        read = self.check_lists(first, spans, 200)
        again = self.ask(self.long, questions=("What did the zebra jump over?",), tokens=200,
                         more=("--choose", "attention"))["answers"][0]
        self.assertEqual(indices(again["reading"]["read"]), read)
        self.assertEqual(again["tokens"], first["tokens"])

    def test_order(self):
        answer = self.ask(self.long, tokens=200, more=("--choose", "order"))["answers"][0]
        self.assertEqual(answer["reading"]["chosen_by"], "order")
        self.assertEqual(len(answer["reading"]["read"]), 1)
        self.assertEqual(answer["reading"]["read"][0][0], 0)

    def test_room(self):
        reading = self.ask(self.long, more=("--room", 10 * K + 3))["answers"][0]["reading"]
        self.assertEqual(reading["slots"], 10 * K)
        self.assertEqual(reading["room"], 10 * K + 3)

    def test_never_silently(self):
        result = steno("ask", self.long, "--question", "What?", *GREEDY, "--max-new-tokens", 200, *COMMON)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertRegex(result.stderr, r"memory  \d+ of \d+ spans read, chosen by bm25: ")
        self.assertRegex(result.stderr, r"not read: .* tokens\), for they do not fit into \d+ of 512 positions")

    def test_refusals(self):
        ask = lambda *more: steno("ask", self.long_blind, "--question", "What?", *COMMON, *more)
        self.assertRefused(ask("--choose", "bm25"), 2, "stored without it")
        self.assertRefused(ask("--choose", "best"), 2, "'best'")
        self.assertRefused(ask("--max-new-tokens", 600), 3, "not one of", "--max-new-tokens")


class RefusalTest(AskMemoryTest):
    def ask_plainly(self, *arguments):
        return steno("ask", *arguments, "--question", "What?", *COMMON)

    def test_another_adapter_model_or_none(self):
        self.assertRefused(self.ask_plainly(self.one, "--set", f"adapter={self.other_adapter}"), 3, "one.memory", "adapter")
        self.assertRefused(self.ask_plainly(self.one, "--set", "adapter=/nowhere"), 3, "/nowhere", "is not there")
        other = steno("ask", self.one, "--question", "What?", "--model", ROOT / "tests/data/tiny_models/llama_tied")
        self.assertRefused(other, 3)
        moved = self.folder / "moved"
        self.adapter.rename(moved)
        try:
            self.assertRefused(self.ask_plainly(self.one), 3, "is not there", "--set adapter=DIR")
            self.assertEqual(self.ask(self.one, more=("--set", f"adapter={moved}"))["method"], "icae")
        finally:
            moved.rename(self.adapter)

    def test_damage(self):
        data = bytearray(self.one.read_bytes())
        data[-3] ^= 1
        bad = self.folder / "bad.memory"
        bad.write_bytes(data)
        for verb in (("ask", bad, "--question", "What?"), ("reconstruct", bad), ("inspect", bad)):
            self.assertRefused(steno(*verb, *COMMON), 3, "bad.memory")
        bad.write_bytes(bytes(data[:len(data) // 2]))
        self.assertRefused(self.ask_plainly(bad), 3, "bad.memory")
        bad.write_text("Just a text.")
        self.assertRefused(self.ask_plainly(bad), 3, "is no memory file, though it is called so")

    def test_flags_that_mean_nothing(self):
        self.assertRefused(self.ask_plainly(self.one, "--budget", 64), 2, "--budget")
        self.assertRefused(self.ask_plainly(self.folder / "one.txt", "--choose", "order"), 2, "--choose")
        chat = steno("chat", "--memory", self.folder / "one.txt", *COMMON, input="")
        self.assertRefused(chat, 2, "no memory file is among them")
        self.assertRefused(steno("chat", "--memory", self.folder / "absent", *COMMON, input=""), 3, "no such file")


class ReconstructTest(AskMemoryTest):
    def test_with_the_source_it_is_scored_without_it_only_written(self):
        spans = self.json("reconstruct", self.long, "--span", "0..2")["spans"]
        self.assertEqual([s["span"] for s in spans], [0, 1, 2])
        self.assertEqual("".join(s["reference"] for s in spans), LONG[:len("".join(s["reference"] for s in spans))])
        for span in spans:
            self.assertTrue(0 <= span["edit_distance"] <= 1 and 0 <= span["bleu4"] <= 1 and 0 <= span["token_accuracy"] <= 1)
            # An untrained adapter writes something else, and the differences say both.
            self.assertIn("[-", span["differences"])
        blind = self.json("reconstruct", self.long_blind, "--span", "0..2")["spans"]
        self.assertEqual([s["text"] for s in blind], [s["text"] for s in spans])
        for span in blind:
            self.assertNotIn("edit_distance", span)
        shown = steno("reconstruct", self.long, "--span", 1, *COMMON)
        self.assertEqual(shown.returncode, 0, shown.stderr)
        self.assertRegex(shown.stdout, r"span 1  long\.txt, tokens 16\.\.31, 4 slots as f32")
        self.assertIn("token accuracy", shown.stdout)
        self.assertRefused(steno("reconstruct", self.long, "--span", "nothing", *COMMON), 2, "nothing")

    def test_the_certificate_is_what_reconstruct_finds(self):
        for dtype in ("f32", "int4"):
            book = self.compress(f"certified.{dtype}.memory", "two.txt", "--certify", "--compare-dtypes", "--keep-text",
                                 dtype=dtype)
            found = {s["id"]: s for s in self.json("reconstruct", book)["spans"]}
            for span in self.spans(book):
                self.assertEqual(set(span["scores"]), {"f32", "bf16", "int8", "int4"})
                for score, value in span["scores"][dtype].items():
                    self.assertAlmostEqual(value, found[span["id"]][score], places=6)

    def test_half_a_character_is_shown_as_such(self):
        # Three tokens a character, and spans of at most 16: some are cut within one.
        text = "\u6f22\u5b57\u5929\u5730\u7384\u9ec4\u5b87\u5b99\u6d2a\u8352" * 3
        (self.folder / "wide.txt").write_text(text)
        for name, flags in (("wide.raw.memory", ("--min-fidelity", "1")), ("wide.memory", ("--keep-text",))):
            book = self.compress(name, "wide.txt", *flags)
            shown = subprocess.run([STENO, "reconstruct", book, *map(str, COMMON), "--quiet"], capture_output=True,
                                   env={**os.environ, "OMP_NUM_THREADS": "1"})
            self.assertEqual(shown.returncode, 0, shown.stderr)
            self.assertIn("\ufffd", shown.stdout.decode())  # strict: bytes that are no text would be an error

    def test_spans_that_do_not_come_back_are_kept_as_text(self):
        (self.folder / "short.txt").write_text(ONE[:250])
        book = self.compress("raw.memory", "short.txt", "--min-fidelity", "1")
        spans = self.spans(book)
        raw = [s for s in spans if s["kind"] == "raw"]
        self.assertEqual(raw, spans)  # an untrained adapter brings nothing back
        # Each span was cut in halves as long as halves are longer than their slots.
        self.assertLessEqual(max(s["tokens"][1] - s["tokens"][0] for s in spans), SPAN // 2)
        self.assertEqual("".join(s["text"] for s in self.json("reconstruct", book)["spans"]), ONE[:250])
        reading = self.ask(book)["answers"][0]["reading"]
        self.assertEqual(reading["slots"], 0)
        self.assertEqual(reading["text_spans"], len(spans))
        # Mixed with slots.
        mixed = self.ask(book, self.two)["answers"][0]["reading"]
        self.assertEqual(mixed["text_tokens"], reading["text_tokens"])
        self.assertEqual(mixed["slots"], K * len(self.spans(self.two)))


class ChatTest(AskMemoryTest):
    def chat(self, *arguments, lines, tokens=8):
        result = steno("chat", *arguments, *GREEDY, "--max-new-tokens", tokens, "--json", "--quiet", *COMMON,
                       input="".join(line + "\n" for line in lines))
        self.assertEqual(result.returncode, 0, result.stderr)
        return [json.loads(line) for line in result.stdout.splitlines()]

    def test_a_conversation_begins_with_the_memories(self):
        lines = self.chat("--memory", self.one, self.two, lines=["What?", "Why?", "/stats", "/undo", "Why?"])
        turns = [line for line in lines if "turn" in line]
        reading = turns[0]["reading"]
        self.assertEqual(reading["slots"], K * (len(self.spans(self.one)) + len(self.spans(self.two))))
        self.assertEqual(reading["unread"], [])
        self.assertNotIn("reading", turns[1])
        self.assertEqual(turns[1]["tokens"], turns[2]["tokens"])
        self.assertEqual(turns[0]["tokens"], self.ask(self.one, self.two, questions=("What?",))["answers"][0]["tokens"])
        stats = next(line for line in lines if line.get("command") == "stats")["stats"]
        self.assertEqual(stats["memories"]["slots"], reading["slots"])

    def test_half_of_the_window_is_left_to_the_conversation(self):
        reading = self.chat("--memory", self.long, lines=["What did the zebra jump over?"])[0]["reading"]
        self.assertEqual(reading["chosen_by"], "bm25")
        self.assertLessEqual(reading["slots"], WINDOW // 2)
        self.assertGreater(reading["slots"], WINDOW // 2 - 3 * K)

    def test_what_was_said_over_memories_names_them(self):
        saved, plain = self.folder / "over.st", self.folder / "plain.st"
        self.chat("--memory", self.one, self.two, lines=["What?", f"/save {saved}"])
        self.chat(lines=["What?", f"/save {plain}"])
        for more in ((), ("--method", "window", "--budget", 64)):
            refused = steno("chat", "--load", saved, *more, *COMMON, input="")
            self.assertRefused(refused, 3, saved, f"--memory {self.one} {self.two}")
        refused = steno("chat", "--load", plain, "--memory", self.one, *COMMON, input="")
        self.assertRefused(refused, 3, plain, "leave --memory out")
        # What is loaded keeps its names, whatever else it is read with.
        again = self.folder / "again.st"
        self.chat("--load", saved, "--memory", self.two, lines=["Why?", f"/save {again}"])
        self.assertRefused(steno("chat", "--load", again, *COMMON, input=""), 3, f"--memory {self.one} {self.two}")

    def test_save_and_load(self):
        saved = self.folder / "conversation.st"
        one = self.chat("--memory", self.one, lines=["What?", f"/save {saved}", "Why?"])
        two = self.chat("--memory", self.one, lines=[f"/load {saved}", "Why?"])
        self.assertEqual(one[-1]["tokens"], two[-1]["tokens"])


class InspectTest(AskMemoryTest):
    def test_it_says_what_a_memory_is(self):
        seen = self.json("inspect", self.long)
        self.assertEqual(seen["kind"], "memory file, format 1")
        self.assertEqual(seen["metadata"]["method"].split()[0], "icae")
        spans = self.spans(self.long)
        self.assertEqual(seen["metadata"]["slots"], f"{K * len(spans)} for {spans[-1]['tokens'][1]} tokens")
        self.assertTrue(any("steno ask" in sentence for sentence in seen["can"]))


if __name__ == "__main__":
    unittest.main(argv=sys.argv, verbosity=1)
