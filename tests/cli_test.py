"""End-to-end tests of the program: what it prints and how it exits, with right and wrong input.

Usage: cli_test.py STENO [unittest arguments]. Tests that need the default model are skipped aloud without it.
"""
import contextlib
import json
import os
import pathlib
import pty
import re
import resource
import select
import signal
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent
STENO = (pathlib.Path(sys.argv.pop(1)) if len(sys.argv) > 1 else ROOT / "build/release/steno").resolve()
MODEL = pathlib.Path(os.environ.get("STENO_MODEL", ROOT / "models/SmolLM2-135M-Instruct.Q4_1.gguf")).resolve()
TINY = ROOT / "tests/data/tiny_models"
LICENCE = ROOT / "LICENSE"
ACCOUNTING = {"source_tokens", "slots", "dropped_tokens", "memory_bytes", "ratio", "read_s", "read_tokens_per_s",
              "first_token_s", "decode_tokens_per_s", "peak_rss_bytes"}
needs_model = unittest.skipUnless(MODEL.is_file(), f"the default model is absent ({MODEL}); run 'make model'")


def steno(*arguments, stdin="", env=None, cwd=ROOT, **options):
    return subprocess.run([STENO, *map(str, arguments)], input=stdin, capture_output=True, text=True, cwd=cwd,
                          timeout=600, env={**os.environ, **(env or {})}, **options)


def steno_bytes(*arguments, stdin=b""):
    return subprocess.run([STENO, *map(str, arguments)], input=stdin, capture_output=True, cwd=ROOT, timeout=600)


class CliTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def file(self, name, content):
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def assertFails(self, result, code, *parts):
        """One line on standard error that names what is wrong, nothing on standard output, the documented exit code."""
        self.assertEqual(result.returncode, code, result.stderr)
        self.assertEqual(result.stdout, "")
        self.assertEqual(len(result.stderr.strip().splitlines()), 1, result.stderr)
        for part in parts:
            self.assertIn(part, result.stderr)


class UsageTest(CliTest):
    """Wrong usage is found before any model is loaded."""

    def test_no_verb(self):
        self.assertFails(steno(), 2, "name a verb")

    def test_help_and_version(self):
        self.assertIn("generate", steno("--help").stdout)
        self.assertIn("--budget", steno("ask", "--help").stdout)
        self.assertRegex(steno("--version").stdout, r"^steno \d+\.\d+\.\d+\n$")

    def test_unknown_verb_and_flag_name_the_nearest(self):
        self.assertFails(steno("aks", "x"), 2, "unknown verb 'aks'", "did you mean ask?")
        self.assertFails(steno("ask", LICENCE, "--question", "Q", "--bugdet", "5"), 2,
                         "unknown flag --bugdet", "did you mean --budget?")
        self.assertFails(steno("inspect", "a", "b"), 2, "unexpected argument 'b'")

    def test_what_follows_a_verb_is_no_verb(self):
        self.assertFails(steno("eval", "reconstruct", "--bugdet", "5"), 2, "steno eval", "did you mean --budget?")
        self.assertFails(steno("inspect", "a", "train"), 2, "unexpected argument 'train'")

    def test_budget_must_be_positive(self):
        for budget in ("0", "-5"):
            self.assertFails(steno("ask", LICENCE, "--question", "Q", "--method", "window", "--budget", budget), 2,
                             "--budget must be at least 1", budget)
        self.assertFails(steno("ask", LICENCE, "--question", "Q", "--budget", "many"), 2, "--budget")

    def test_unknown_method_lists_the_names(self):
        result = steno("ask", LICENCE, "--question", "Q", "--method", "windows", "--budget", "64")
        self.assertFails(result, 2, "windows", "dense", "window", "streaming-llm")

    def test_missing_parts(self):
        self.assertFails(steno("ask", LICENCE), 2, "--question is missing")
        self.assertFails(steno("ask", "--question", "Q"), 2, "at least one document")
        self.assertFails(steno("ask", LICENCE, "--question", " "), 2, "--question must not be empty")
        self.assertFails(steno("generate"), 2, "--prompt")
        self.assertFails(steno("generate", "--prompt", "a", "--prompt-file", "b"), 2, "either")
        self.assertFails(steno("tokenize"), 2, "name a file")

    def test_flags_that_do_not_fit(self):
        self.assertFails(steno("generate", "--prompt", "a", "--logprobs", "3"), 2, "--json")
        self.assertFails(steno("generate", "--prompt", "a", "--system", "b"), 2, "--chat")
        self.assertFails(steno("generate", "--prompt", "a", "--temperature", "-1"), 2, "temperature")
        self.assertFails(steno("generate", "--prompt", "a", "--max-new-tokens", "-1"), 2, "--max-new-tokens")
        self.assertFails(steno("generate", "--prompt", "a", "--dtype", "f16"), 2, "bf16 or f32")
        self.assertFails(steno("generate", "--prompt", "a", "--device", "tpu"), 2, "cpu, cuda")
        self.assertFails(steno("generate", "--prompt", "a", "--threads", "0"), 2, "--threads")
        self.assertFails(steno("ask", LICENCE, "--question", "Q", "--param", "sinks"), 2, "key=value")

    def test_absent_device_is_a_resource(self):
        self.assertFails(steno("generate", "--prompt", "a", "--device", "cuda:99"), 4, "cuda:99")

    def test_config_file(self):
        config = self.file("steno.toml", "budget = 64\nbugdet = 3\n")
        self.assertFails(steno("ask", LICENCE, "--question", "Q", "--config", config), 2, "steno.toml:2", "'bugdet'")
        config = self.file("steno.toml", "budget = \n")
        self.assertFails(steno("ask", LICENCE, "--question", "Q", "--config", config), 3, "steno.toml:1")
        self.assertFails(steno("ask", LICENCE, "--question", "Q", "--config", "none.toml"), 3, "none.toml: no such file")
        config = self.file("steno.toml", "method = 'windows'\n")
        self.assertFails(steno("ask", LICENCE, "--question", "Q", "--config", config), 2, "windows")

    def test_errors_as_json(self):
        result = steno("ask", "nowhere.txt", "--question", "Q", "--json")
        self.assertEqual(result.returncode, 3)
        self.assertEqual(json.loads(result.stdout)["exit_code"], 3)
        self.assertIn("nowhere.txt", json.loads(result.stdout)["error"])


class BadInputTest(CliTest):
    def ask(self, *documents, **options):
        return steno("ask", *documents, "--question", "Q", **options)

    def test_documents(self):
        self.assertFails(self.ask("nowhere.txt"), 3, "nowhere.txt: no such file")
        self.assertFails(self.ask(self.file("empty.txt", "")), 3, "empty.txt: is empty")
        self.assertFails(self.ask(self.file("a.png", b"\x89PNG\r\n\x1a\n\0\0")), 3, "a.png", "byte 0x89 at offset 0")
        self.assertFails(self.ask(self.file("cut.txt", "na\u00efve".encode()[:3])), 3, "byte 0xc3 at offset 2")
        self.assertFails(self.ask(self.folder), 3, "is a folder")
        self.assertFails(self.ask(self.folder / "*.md"), 3, "no file matches")
        self.assertFails(self.ask("-", "-"), 2, "'-' is given twice")
        self.assertFails(self.ask("-", stdin=""), 3, "standard input: is empty")

    def test_models(self):
        prompt = ("--prompt", "a")
        self.assertFails(steno("generate", *prompt, "--model", "none.gguf"), 3, "none.gguf")
        self.assertFails(steno("generate", *prompt, env={"STENO_MODEL": "/nowhere/m.gguf"}), 3, "STENO_MODEL")
        self.assertFails(steno("generate", *prompt, "--model", self.file("text.gguf", "no model at all")), 3, "text.gguf")
        self.assertFails(steno("generate", *prompt, "--model", self.folder), 3, "config.json")

    def test_no_model_says_how_to_get_one(self):
        # A copy of the program outside the source tree, in a folder without models.
        program = self.folder / "bin" / "steno"
        program.parent.mkdir()
        os.link(STENO, program) if os.stat(STENO).st_dev == os.stat(self.folder).st_dev else program.write_bytes(
            STENO.read_bytes())
        program.chmod(0o755)
        env = {k: v for k, v in os.environ.items() if k not in ("STENO_MODEL", "XDG_CACHE_HOME")}
        result = subprocess.run([program, "generate", "--prompt", "a"], capture_output=True, text=True, cwd=self.folder,
                                env={**env, "HOME": str(self.folder)})
        self.assertFails(result, 3, "make model", "--model")

    @needs_model
    def test_model_cut_in_half(self):
        half = self.folder / "half.gguf"
        with open(MODEL, "rb") as whole:
            half.write_bytes(whole.read(MODEL.stat().st_size // 2))
        self.assertFails(steno("ask", LICENCE, "--question", "Q", "--model", half), 3, "half.gguf")
        self.assertFails(steno("inspect", half), 3, "half.gguf")


class TokenizeTest(CliTest):
    TEXT = "Na\u00efve caf\u00e9 \U0001f600\n\n  two  spaces\tand <|im_end|> a tab\r\n"
    SIMPLE = "two  spaces and <|im_end|> the rest."  # the tiny models know few characters

    def models(self):
        yield TINY / "llama_tied" / "model.gguf"
        yield TINY / "llama_tied"
        yield TINY / "llama_tied" / "tokenizer.json"
        yield ROOT / "tests/data/tokenizers/ggml-vocab-phi-3.gguf"
        yield ROOT / "tests/data/tokenizers/ggml-vocab-gpt-2.gguf"
        if MODEL.is_file():
            yield MODEL

    def test_round_trip(self):
        for model in self.models():
            text = self.SIMPLE if TINY in model.parents else self.TEXT
            path = self.file("text.txt", text)
            with self.subTest(model=model):
                ids = steno("tokenize", path, "--model", model, "--no-special")
                self.assertEqual(ids.returncode, 0, ids.stderr)
                again = steno_bytes("tokenize", "--decode", "-", "--model", model, stdin=ids.stdout.encode())
                self.assertEqual(again.stdout, text.encode(), again.stderr)
                array = json.loads(steno("tokenize", path, "--model", model, "--no-special", "--json").stdout)
                self.assertEqual(array, [int(i) for i in ids.stdout.split()])
                again = steno("tokenize", "--decode", "-", "--model", model, "--json", stdin=json.dumps(array))
                self.assertEqual(json.loads(again.stdout), {"text": text})

    def test_wrong_ids(self):
        model = ("--model", TINY / "llama_tied" / "model.gguf")
        self.assertFails(steno("tokenize", "--decode", "-", *model, stdin="1 2 x3"), 3, "'x3' at byte 4")
        self.assertFails(steno("tokenize", "--decode", "-", *model, stdin="1 99999999"), 3, "99999999")
        self.assertFails(steno("tokenize", "nowhere.txt", *model), 3, "nowhere.txt")

    def test_shards(self):
        model = ("--model", ROOT / "tests/data/stories260K")
        files = [ROOT / "tests/data/eval" / name for name in ("documents.jsonl.zst", "qa.jsonl")]
        out = self.folder / "all.shard"
        result = steno("tokenize", "--shards", out, *files, *model)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("documents.jsonl.zst: 2 texts, 0 questions", result.stdout)
        self.assertTrue(out.is_file())
        some = json.loads(steno("tokenize", "--shards", self.folder / "some.shard", *files, *model, "--piece", "50",
                                "--total-bytes", "3K", "--split-bytes", "2K", "--json").stdout)
        self.assertLessEqual(some["bytes"], 3072)
        self.assertGreater(some["left_out"], 0)
        self.assertEqual([pathlib.Path(name).is_file() for name in some["files"]], [True] * len(some["files"]))
        self.assertFails(steno("tokenize", "--shards", self.folder / "all.bin", *files, *model), 2, "all.bin", ".shard")
        self.assertFails(steno("tokenize", "--shards", out, "--decode", *files, *model), 2, "--decode")
        self.assertFails(steno("tokenize", "--piece", "5", *files[:1], *model), 2, "--piece goes with --shards")
        self.assertFails(steno("tokenize", *files, *model), 2, "one file at a time")
        bad = self.file("bad.jsonl", '{"text": "good"}\n{}\n')
        self.assertFails(steno("tokenize", "--shards", out, bad, *model), 3, "bad.jsonl:2", "--skip-bad")
        self.assertIn("1 skipped left out", steno("tokenize", "--shards", out, bad, "--skip-bad", *model).stdout)

    @needs_model
    def test_special_tokens(self):
        ids = json.loads(steno("tokenize", "-", "--json", "--model", MODEL, stdin="<|im_end|>").stdout)
        self.assertEqual(len(ids), 1)
        plain = json.loads(steno("tokenize", "-", "--json", "--no-special", "--model", MODEL, stdin="<|im_end|>").stdout)
        self.assertGreater(len(plain), 1)
        text = steno("tokenize", "--decode", "--no-special", "-", "--model", MODEL, stdin=str(ids[0])).stdout
        self.assertEqual(text, "")


class ListingTest(CliTest):
    def test_methods(self):
        listed = json.loads(steno("methods", "--json").stdout)["methods"]
        self.assertLessEqual({"dense", "window", "streaming-llm"}, {m["name"] for m in listed})
        text = steno("methods").stdout
        for method in listed:
            self.assertIn(method["summary"], text)
            for parameter in method["parameters"]:
                self.assertIn(f"--param {parameter['name']}={parameter['default']}", text)
        self.assertEqual(steno("methods", "--names").stdout.split(), [m["name"] for m in listed])

    def test_inspect(self):
        for path in ("llama_tied/model.gguf", "llama_untied", "llama_tied/model.safetensors", "qwen3/tokenizer.json"):
            with self.subTest(path=path):
                result = steno("inspect", TINY / path, "--json")
                self.assertEqual(result.returncode, 0, result.stderr)
                found = json.loads(result.stdout)
                self.assertEqual(found["runs"], path in ("llama_tied/model.gguf", "llama_untied"), found["cannot"])
                self.assertEqual(steno("inspect", TINY / path).returncode, 0)
        self.assertFails(steno("inspect", self.file("a.txt", "text")), 3, "a.txt")

    @needs_model
    def test_inspect_default_model(self):
        found = json.loads(steno("inspect", MODEL, "--json").stdout)
        self.assertTrue(found["runs"], found["cannot"])
        self.assertEqual((found["architecture"]["layers"], found["architecture"]["d_model"]), (30, 576))
        self.assertEqual(found["parameters"], 134515008)
        self.assertIsNotNone(found["chat_format"])


@needs_model
class GenerateTest(CliTest):
    def generate(self, *arguments, **options):
        return steno("generate", "--model", MODEL, *arguments, **options)

    def test_prompt_file_and_standard_input_are_the_same(self):
        prompt = "The capital of France is"
        arguments = ("--max-new-tokens", "8", "--json")
        wanted = json.loads(self.generate("--prompt", prompt, *arguments).stdout)
        self.assertEqual(wanted["prompt_tokens"], 5)
        self.assertEqual(len(wanted["tokens"]), 8)
        self.assertLessEqual(ACCOUNTING, wanted["accounting"].keys())
        self.assertEqual(wanted["accounting"]["dropped_tokens"], 0)
        path = self.file("prompt.txt", prompt)
        for way in (("--prompt-file", path), (path,), ("-",), ("--prompt-file", "-")):
            with self.subTest(way=way):
                found = json.loads(self.generate(*way, *arguments, stdin=prompt).stdout)
                self.assertEqual(found["tokens"], wanted["tokens"])

    def test_text_streams_what_the_json_has(self):
        prompt = ("--prompt", "Once upon a time", "--max-new-tokens", "12")
        text = json.loads(self.generate(*prompt, "--json").stdout)["text"]
        self.assertEqual(self.generate(*prompt, "--quiet").stdout, text + "\n")
        self.assertEqual(self.generate(*prompt, "--quiet").stderr, "")
        self.assertEqual(self.generate(*prompt, "--quiet", "--echo").stdout, "Once upon a time" + text + "\n")
        self.assertIn("tokens/s", self.generate(*prompt).stderr)

    def test_seed_decides(self):
        draw = lambda seed: json.loads(self.generate("--prompt", "My", "--temperature", "1.5", "--seed", seed,
                                                     "--max-new-tokens", "12", "--json").stdout)["tokens"]
        self.assertEqual(draw(1), draw(1))
        self.assertNotEqual(draw(1), draw(2))

    def test_stop_text(self):
        arguments = ("--prompt", "1, 2, 3, 4,", "--max-new-tokens", "24", "--json")
        free = json.loads(self.generate(*arguments).stdout)
        self.assertIn("9", free["text"])
        stopped = json.loads(self.generate(*arguments, "--stop", "9").stdout)
        self.assertEqual(stopped["stop_reason"], "stop_text")
        self.assertEqual(stopped["text"], free["text"].split("9")[0])

    def test_chat_and_system(self):
        arguments = ("--prompt", "What is two plus two?", "--max-new-tokens", "20", "--json")
        plain = json.loads(self.generate(*arguments).stdout)
        chat = json.loads(self.generate(*arguments, "--chat").stdout)
        system = json.loads(self.generate(*arguments, "--chat", "--system", "You speak only French.").stdout)
        self.assertGreater(chat["prompt_tokens"], plain["prompt_tokens"])
        self.assertNotEqual(chat["prompt_tokens"], system["prompt_tokens"])
        self.assertNotIn("<|im_end|>", chat["text"])
        same = json.loads(self.generate(*arguments, "--chat", "--chat-format", "smollm").stdout)
        self.assertEqual(same["tokens"], chat["tokens"])
        self.assertFails(self.generate("--prompt", "a", "--chat", "--chat-format", "klingon"), 2, "chatml")

    def test_logprobs(self):
        found = json.loads(self.generate("--prompt", "The capital of France is", "--max-new-tokens", "4", "--json",
                                         "--echo", "--logprobs", "3").stdout)
        probs = found["logprobs"]
        length = found["prompt_tokens"] + 4
        for key in ("tokens", "token_ids", "token_logprobs", "top_logprobs", "text_offset"):
            self.assertEqual(len(probs[key]), length, key)
        self.assertEqual("".join(probs["tokens"]), found["text"])
        self.assertEqual(probs["token_ids"][-4:], found["tokens"])
        self.assertIsNone(probs["token_logprobs"][0])
        for at in range(1, length):
            best = probs["top_logprobs"][at]
            self.assertEqual(len(best), 3)
            self.assertEqual(best, sorted(best, key=lambda one: -one["logprob"]))
            self.assertLessEqual(probs["token_logprobs"][at], best[0]["logprob"] + 1e-6)
            self.assertEqual(found["text"][probs["text_offset"][at]:][:len(probs["tokens"][at])], probs["tokens"][at])
        for at in range(length - 4, length):  # greedy
            self.assertEqual(probs["top_logprobs"][at][0]["id"], probs["token_ids"][at])

    def test_scoring_a_prompt_without_continuing_it(self):
        found = json.loads(self.generate("--prompt", "a b c", "--max-new-tokens", "0", "--json", "--echo", "--logprobs",
                                         "0").stdout)
        self.assertEqual(found["tokens"], [])
        self.assertEqual(len(found["logprobs"]["tokens"]), found["prompt_tokens"])
        self.assertEqual(found["logprobs"]["top_logprobs"][1], [])

    def test_config_file_and_command_line(self):
        config = self.file("steno.toml", "seed = 3\n[generate]\nmax-new-tokens = 3\njson = true\n")
        found = json.loads(self.generate("--prompt", "a", "--config", config).stdout)
        self.assertEqual(len(found["tokens"]), 3)
        found = json.loads(self.generate("--prompt", "a", "--config", config, "--max-new-tokens", "2").stdout)
        self.assertEqual(len(found["tokens"]), 2)

    def test_memory_of_generate_is_bounded(self):
        found = json.loads(self.generate("--prompt-file", LICENCE, "--method", "window", "--budget", "64",
                                         "--max-new-tokens", "4", "--json").stdout)
        self.assertEqual(found["accounting"]["slots"], 64)
        self.assertGreater(found["prompt_tokens"], 2000)


@needs_model
class AskTest(CliTest):
    QUESTION = ("--question", "What is this text about?")

    def ask(self, *arguments, **options):
        return steno("ask", "--model", MODEL, *arguments, **options)

    def ask_json(self, *arguments, **options):
        result = self.ask(*arguments, "--json", **options)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(len(result.stdout.splitlines()), 1)
        return json.loads(result.stdout)

    def test_json(self):
        found = self.ask_json(LICENCE, *self.QUESTION, "--question", "Who wrote it?", "--method", "streaming-llm",
                              "--budget", "128", "--max-new-tokens", "8")
        self.assertEqual(list(found), ["model", "method", "budget", "answers", "accounting"])
        self.assertEqual((found["method"], found["budget"]), ("streaming-llm", 128))
        self.assertEqual([a["question"] for a in found["answers"]], ["What is this text about?", "Who wrote it?"])
        for answer in found["answers"]:
            self.assertLessEqual({"question", "text", "tokens"}, answer.keys())
        accounting = found["accounting"]
        self.assertLessEqual(ACCOUNTING, accounting.keys())
        self.assertEqual(accounting["slots"], 128)
        self.assertEqual(accounting["dropped_tokens"], accounting["source_tokens"] - 128)
        self.assertEqual(sum(last - first + 1 for first, last in accounting["dropped_ranges"]),
                         accounting["dropped_tokens"])
        self.assertGreater(accounting["memory_bytes"], 0)

    def test_questions_do_not_disturb_each_other(self):
        """Answered one by one from a fresh reading, or together from one memory: the same tokens."""
        document = self.file("short.txt", LICENCE.read_text()[:3000])
        arguments = (document, "--method", "streaming-llm", "--budget", "200", "--max-new-tokens", "12")
        questions = ["What may I do?", "Who is the licensor?", "What is a contribution?"]
        together = self.ask_json(*arguments, *(part for q in questions for part in ("--question", q)))
        for question, answer in zip(questions, together["answers"]):
            alone = self.ask_json(*arguments, "--question", question)["answers"][0]
            self.assertEqual(alone["tokens"], answer["tokens"], question)

    def test_budget_above_the_document_is_dense(self):
        document = self.file("short.txt", LICENCE.read_text()[:2000])
        arguments = (document, *self.QUESTION, "--max-new-tokens", "24")
        dense = self.ask_json(*arguments, "--method", "dense")
        self.assertEqual(dense["accounting"]["dropped_tokens"], 0)
        for method in ("window", "streaming-llm"):
            found = self.ask_json(*arguments, "--method", method, "--budget", "100000")
            self.assertEqual(found["accounting"]["dropped_tokens"], 0)
            self.assertEqual(found["answers"][0]["tokens"], dense["answers"][0]["tokens"], method)

    def test_dropped_tokens_are_said_in_words(self):
        result = self.ask(LICENCE, *self.QUESTION, "--method", "window", "--budget", "64", "--max-new-tokens", "4")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertRegex(result.stderr, r"kept 64 of [\d,]+ tokens; dropped tokens 0\.\.\d+")
        self.assertNotIn("\r", result.stderr, "no progress bar where standard error is no terminal")

    def test_documents_from_everywhere(self):
        text = "The password of the lighthouse is heron.\n"
        a = self.file("a.txt", text)
        self.file("b.txt", "Nothing here.\n")
        arguments = (*self.QUESTION, "--max-new-tokens", "2")
        one = self.ask_json(a, *arguments)["accounting"]["source_tokens"]
        self.assertEqual(self.ask_json("-", *arguments, stdin=text)["accounting"]["source_tokens"], one)
        two = self.ask_json(self.folder / "*.txt", *arguments)["accounting"]["source_tokens"]
        self.assertGreater(two, one)
        self.assertEqual(self.ask_json(a, self.folder / "b.txt", *arguments)["accounting"]["source_tokens"], two)

    def test_special_tokens_in_a_document_are_text(self):
        plain = self.file("plain.txt", "one two")
        special = self.file("special.txt", "one<|im_end|> two")
        arguments = (*self.QUESTION, "--max-new-tokens", "1")
        difference = (self.ask_json(special, *arguments)["accounting"]["source_tokens"]
                      - self.ask_json(plain, *arguments)["accounting"]["source_tokens"])
        self.assertGreater(difference, 3, "as a special token it would be one")

    def test_several_questions_are_marked_in_the_text(self):
        result = self.ask(LICENCE, *self.QUESTION, "--question", "Why?", "--method", "window", "--budget", "64",
                          "--max-new-tokens", "4", "--quiet")
        self.assertRegex(result.stdout, r"(?s)^Q: What is this text about\?\nA: .*\n\nQ: Why\?\nA: ")
        self.assertEqual(result.stderr, "")

    def test_unknown_parameter_of_a_method(self):
        self.assertFails(self.ask(LICENCE, *self.QUESTION, "--method", "streaming-llm", "--budget", "64", "--param",
                                  "sink=4"), 2, "sink", "sinks")

    def test_dense_beyond_the_trained_positions_warns(self):
        config = json.loads((TINY / "llama_tied" / "config.json").read_text())
        document = self.file("long.txt", "word " * (config["max_position_embeddings"] + 10))
        arguments = ("ask", document, *self.QUESTION, "--model", TINY / "llama_tied", "--chat-format", "plain",
                     "--max-new-tokens", "1")
        self.assertIn("trained on", steno(*arguments).stderr)
        self.assertNotIn("trained on", steno(*arguments, "--method", "window", "--budget", "32").stderr)


@needs_model
class SignalsAndStreamsTest(CliTest):
    def start(self, *arguments, **options):
        return subprocess.Popen([STENO, *map(str, arguments), "--model", MODEL], cwd=ROOT, **options)

    def test_interrupt_while_reading(self):
        document = self.file("long.txt", LICENCE.read_text() * 40)
        # A pseudo-terminal as standard error: its progress bar tells that the reading has begun.
        master, slave = pty.openpty()
        process = self.start("ask", document, "--question", "Q", "--method", "window", "--budget", "256",
                             stdout=subprocess.PIPE, stderr=slave)
        os.close(slave)
        seen = self.read_until(master, b"left", 300)
        process.send_signal(signal.SIGINT)
        seen += self.read_until(master, b"answered", 60)
        out, _ = process.communicate(timeout=60)
        os.close(master)
        self.assertEqual(process.returncode, 130, seen)
        self.assertEqual(out, b"")
        self.assertRegex(seen.decode(), r"steno: interrupted: [\d,]+ of [\d,]+ tokens read \(\d+%\), nothing answered")
        self.assertRegex(seen.decode(), r"reading \[#*\.*\] \d+% [\d,]+/[\d,]+, [\d,]+ tokens/s, .* left")

    def read_until(self, fd, wanted, seconds):
        seen, end = b"", time.monotonic() + seconds
        while wanted not in seen and time.monotonic() < end:
            if select.select([fd], [], [], 0.2)[0]:
                with contextlib.suppress(OSError):  # the other end is closed
                    data = os.read(fd, 4096)
                    seen += data
                    if data:
                        continue
                break
        return seen

    def test_interrupt_while_answering(self):
        process = self.start("generate", "--prompt", "Once upon a time", "--max-new-tokens", "100000", "--method",
                             "window", "--budget", "256", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        begun = process.stdout.read(20)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130, err)
        self.assertEqual(len(begun), 20)
        self.assertRegex(err.decode(), r"interrupted: \d+ tokens read, \d+ tokens written")

    def test_reader_that_goes_away(self):
        process = self.start("generate", "--prompt", "Once upon a time", "--max-new-tokens", "100000", "--method",
                             "window", "--budget", "256", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stdout.read(10)
        process.stdout.close()
        # It stops, instead of writing 100,000 tokens to nobody.
        self.assertEqual(process.wait(timeout=120), 0)
        self.assertEqual(process.stderr.read(), b"")
        process.stderr.close()

    def test_full_disk(self):
        for arguments in (("generate", "--prompt", "a", "--max-new-tokens", "4"),
                          ("ask", LICENCE, "--question", "Q", "--method", "window", "--budget", "64", "--json"),
                          ("tokenize", LICENCE), ("inspect", MODEL), ("methods",)):
            with self.subTest(verb=arguments[0]), open("/dev/full", "wb") as full:
                process = self.start(*arguments, stdout=full, stderr=subprocess.PIPE)
                _, err = process.communicate(timeout=120)
                self.assertEqual(process.returncode, 4, err)
                self.assertIn(b"No space left", err)

    def test_closed_standard_output(self):
        process = self.start("tokenize", LICENCE, stderr=subprocess.PIPE, preexec_fn=lambda: os.close(1))
        _, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 4, err)
        self.assertIn(b"standard output", err)

    def test_out_of_memory_is_one_line(self):
        text = LICENCE.read_bytes() * 20
        process = self.start("ask", "-", "--question", "Q", "--chunk", "1000000", "--quiet", stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        # A pipe holds 64 KiB: after this write the libraries are loaded and standard input is being read.
        process.stdin.write(text[:150000])
        process.stdin.flush()
        size = int(re.search(r"VmSize:\s*(\d+) kB", pathlib.Path(f"/proc/{process.pid}/status").read_text())[1]) * 1024
        limit = size + (500 << 20)  # enough for the model, too little for 44,000 tokens in one chunk
        resource.prlimit(process.pid, resource.RLIMIT_AS, (limit, limit))
        out, err = process.communicate(text[150000:], timeout=300)
        self.assertEqual(process.returncode, 4, err)
        self.assertEqual(out, b"")
        self.assertEqual(len(err.splitlines()), 1, err)
        self.assertIn(b"out of memory", err)


if __name__ == "__main__":
    unittest.main(verbosity=2)
