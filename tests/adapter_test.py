"""The adapter that comes with steno does on its model what its card says: a story is compressed, certified and rebuilt.

Usage: adapter_test.py STENO [unittest arguments]
"""
import json
import re
import unittest

from program_test_util import ROOT, FolderTest, needs_model, steno

ADAPTER = ROOT / "adapters/smollm2-135m-stories-2x"
STORY = ("Once upon a time, there was a little boy named Timmy. Timmy loved to play with his toys and would go to the park. "
         "One day, Timmy's mommy told him to clean up his toys. Lily saw a big red ball under the tree. \"Can I play with "
         "the ball?\" asked Lily.\n")


@needs_model
class AdapterTest(FolderTest):
    def setUp(self):
        super().setUp()
        self.memory = self.folder / "story.memory"
        story = self.folder / "story.txt"
        story.write_text(STORY)
        result = steno("compress", story, "-o", self.memory, "--set", f"adapter={ADAPTER}", "--certify", "--quiet")
        self.assertEqual(result.returncode, 0, result.stderr)

    def test_half_of_what_was_told_comes_back(self):
        show = steno("memory", "show", self.memory, "--json")
        self.assertEqual(show.returncode, 0, show.stderr)
        scores = json.loads(show.stdout)["scores"]
        # Fresh slots come to 0.07; other machines round bf16 otherwise, so the bound is far from both.
        self.assertGreater(scores["bf16"]["token_accuracy"], 0.5, scores)

    def test_names_come_back(self):
        rebuilt = steno("reconstruct", self.memory, "--quiet")
        self.assertEqual(rebuilt.returncode, 0, rebuilt.stderr)
        words = set(re.findall(r"\w+", rebuilt.stdout.split("\n", 1)[1]))
        self.assertGreaterEqual(len({"Timmy", "toys", "park", "Lily", "ball", "tree"} & words), 3, rebuilt.stdout)

    def test_questions_are_asked_without_the_text(self):
        answer = steno("ask", self.memory, "--question", "Who is the story about?", "--max-new-tokens", "16", "--json")
        self.assertEqual(answer.returncode, 0, answer.stderr)
        reading = json.loads(answer.stdout)["answers"][0]["reading"]
        self.assertEqual((reading["slots"], reading["slot_tokens"], reading["unread"]), (32, 63, []))


if __name__ == "__main__":
    unittest.main()
