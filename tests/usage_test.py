"""End-to-end tests of the program: wrong usage and bad input, token ids, and what is listed.

Usage: usage_test.py STENO [unittest arguments]. Tests that need the default model are skipped aloud without it.
"""
import json
import os
import pathlib
import subprocess
import unittest

from program_test_util import LICENCE, MODEL, ROOT, STENO, TINY, CliTest, needs_model, steno


def steno_bytes(*arguments, stdin=b""):
    return subprocess.run([STENO, *map(str, arguments)], input=stdin, capture_output=True, cwd=ROOT, timeout=600)


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


if __name__ == "__main__":
    unittest.main(verbosity=2)
