#!/usr/bin/env python3
"""Writes tests/data/metrics: scores that the reference packages give to pairs of texts.

  python tests/golden/make_metrics_golden.py STENO_DATA/essays.jsonl.zst

Needs sacrebleu, rouge_score, rouge and nltk, and the program zstd. The texts are sentences of public-domain essays, changed by
a seeded generator, and cases made up to reach the corners of tokenizers and scores. The official scripts of SQuAD,
TriviaQA and HotpotQA and the matches of RULER are no packages; their rules are written out below.
"""
import collections
import json
import logging
import random
import re
import string
import subprocess
import sys
import warnings
from importlib.metadata import version
from pathlib import Path

import nltk
import sacrebleu
from nltk.metrics.distance import edit_distance
from nltk.stem.porter import PorterStemmer
from nltk.translate.bleu_score import SmoothingFunction, corpus_bleu, sentence_bleu
from rouge import Rouge
from rouge_score import rouge_scorer, tokenize as rouge_tokenize
from sacrebleu.metrics import BLEU

OUT = Path(__file__).resolve().parents[1] / "data" / "metrics"
SEED = 20

# One text each; every one is paired with itself, with nothing and with its neighbours.
CORNERS = [
    "", " ", "\n", "...", "a", "the", "The the THE", "x y", "one two three", "one two three four",
    "the cat sat on the mat", "the cat is on the mat", "the cat", "on the mat the cat sat",
    "U.S.A.", "usa", "twenty-one", "twenty one", "don't won't can't I'd've", "dont wont cant", "O'Neill's dogs' bones",
    "1,000.50 dollars, 3-4 weeks; 50% of $20.", "1000.50 dollars 3 - 4 weeks", "3.14.15,92 6,5", ".5 5. ,7 7,",
    "He said: \"Well-known (and so on) [sic] {x} / y\" -- really?!", "e-mail@example.org #1 *bold* ^_^ ~tilde~ `tick`",
    "&quot;quoted&quot; &amp;amp; &lt;b&gt; &amp;quot; &nbsp;", "a <skipped> b", "line one-\nline two\nline three", "tail-\n",
    "\tTabs\tand  double  spaces\u00a0and\u2003wide\u3000ones \x1c\x1d separators\x85 ", "zero\u200bwidth",
    "Ελληνικά: Ο ΔΟΣΣΟΣ, ΣΟΦΟΣ' Σ ΑΣ.Α", "İstanbul ISPARTA ığdır", "Kelvin 300\u212a \u00c5ngstr\u00f6m \u212bngstrom",
    "naïve café résumé Ærø", "nai\u0308ve cafe\u0301 a\u0301 the\u0301", "日本語の文章です。", "日本の文。", "中文 字符 测试",
    "emoji 😀 😀 ok 👩‍👩‍👧", "Привет, МИР!", "straße STRASSE ẞ", "½ of a² the³ ①", "\u2018single\u2019 \u201cdouble\u201d \u00b4acute\u00b4",
    "snake_case_name the_end a_b", "a an the", "an apple a day the end", "A.N. the.", "yes", "no", "noanswer", "Yes.", "yes it is",
    "No, thank you", "no answer", "word " * 40, "again and again and again and again and again",
    "aaaa", "a a a a a", "I I I", "to be or not to be that is the question", "that is the question to be or not to be",
    "running runs ran runner", "happily happy happier happiness", "geologically theological archaeologist apology",
    "skies dying lying ties died spied flies enjoyed enjoyment", "Paris", "in the city of Paris, France", "PARIS!",
]


def essay_sentences(path, count, rng):
    text = subprocess.run(["zstd", "-dc", path], check=True, capture_output=True).stdout.decode("utf-8")
    records = [json.loads(line) for line in text.splitlines()]
    sentences = []
    for record in records:
        words = " ".join(record["text"].split())
        sentences += [s for s in re.split(r"(?<=[.!?]) ", words) if 15 <= len(s) <= 260]
    return rng.sample(sentences, count)


def changed(sentence, rng):
    """What a model might say instead: words dropped, doubled, swapped or written in another way."""
    words, out = sentence.split(), []
    for word in words:
        what = rng.random()
        if what < 0.08:
            continue
        if what < 0.14:
            word = word.upper() if rng.random() < 0.5 else word.capitalize()
        elif what < 0.2:
            word = word.strip(string.punctuation)
        elif what < 0.24:
            out.append(word)
        elif what < 0.28:
            word = str(rng.randrange(2000)) + rng.choice(["", "%", "th", ".5", ",000"])
        out.append(word)
    if out and rng.random() < 0.3:
        cut = rng.randrange(len(out))
        out = out[cut:] + out[:cut]
    if rng.random() < 0.2:
        out = out[:rng.randrange(len(out) + 1)]
    return " ".join(out)


def make_pairs(path):
    """[hypothesis, references] each."""
    rng = random.Random(SEED)
    sentences = essay_sentences(path, 110, rng)
    pairs = []
    for i, text in enumerate(CORNERS):
        pairs += [[text, [text]], [text, [CORNERS[i - 1]]], [CORNERS[i - 1], [text]]]
        if i % 4 == 0:
            pairs += [["", [text]], [text, [""]]]
    for i, sentence in enumerate(sentences):
        pairs.append([changed(sentence, rng), [sentence]])
        if i % 4 == 0:
            pairs.append([changed(sentence, rng), [sentence, changed(sentence, rng), sentences[i - 1]]])
        if i % 10 == 0:
            pairs.append([sentence, [sentences[i - 1]]])
    return pairs, sentences


def slices(pairs):
    """Corpora: ranges of pairs, as [begin, end)."""
    return [[0, len(pairs)], [0, 40], [len(pairs) - 100, len(pairs)], [10, 13]]


BLEU_SETTINGS = [
    {}, {"lowercase": True}, {"tokenize": "none"}, {"tokenize": "char"}, {"smooth_method": "none"}, {"smooth_method": "floor"},
    {"smooth_method": "floor", "smooth_value": 0.01}, {"smooth_method": "add-k"}, {"smooth_method": "add-k", "smooth_value": 2.5},
    {"effective_order": True}, {"effective_order": True, "lowercase": True, "tokenize": "char", "smooth_method": "floor"},
    {"max_ngram_order": 2}, {"max_ngram_order": 6, "effective_order": True},
]


def corpus_references(refs):
    """sacreBLEU wants one list per reference number, None where a segment has fewer."""
    return [[r[i] if i < len(r) else None for r in refs] for i in range(max(map(len, refs)))]


def bleu(pairs):
    rows = []
    for settings in BLEU_SETTINGS:
        scorer = BLEU(**settings)
        row = {"settings": settings, "sentences": [scorer.sentence_score(h, r).score for h, r in pairs], "corpora": []}
        for begin, end in slices(pairs):
            part = pairs[begin:end]
            score = scorer.corpus_score([h for h, _ in part], corpus_references([r for _, r in part]))
            row["corpora"].append({"range": [begin, end], "score": score.score, "precisions": score.precisions, "bp": score.bp,
                                   "signature": str(scorer.get_signature())})
        rows.append(row)
    return rows


def nltk_bleu(pairs):
    smooth, rows = SmoothingFunction(), []
    for unit in ("words", "characters"):
        cut = str.split if unit == "words" else list
        # A long text has very many characters; the corners say enough.
        used = [i for i, (h, r) in enumerate(pairs) if unit == "words" or max(len(h), *map(len, r)) < 120]
        for method in ("method0", "method1", "method2", "method3"):
            for weights in ([1.0], [0.5, 0.5], [0.25] * 4, [0.0, 1.0], [0.0, 0.0, 0.0, 1.0]):
                row = {"unit": unit, "smoothing": method, "weights": weights, "pairs": used, "sentences": [], "corpora": []}
                function = getattr(smooth, method)
                for h, r in (pairs[i] for i in used):
                    row["sentences"].append(sentence_bleu([cut(x) for x in r], cut(h), weights, function))
                for begin, end in slices(pairs) if unit == "words" else []:
                    part = pairs[begin:end]
                    score = corpus_bleu([[cut(x) for x in r] for _, r in part], [cut(h) for h, _ in part], weights, function)
                    row["corpora"].append({"range": [begin, end], "score": score})
                rows.append(row)
    return rows


def rouge(pairs):
    rows = []
    for stem in (False, True):
        scorer = rouge_scorer.RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=stem)
        scores = []
        for h, refs in pairs:
            score = scorer.score_multi(refs, h)
            scores.append([list(score[k]) for k in ("rouge1", "rouge2", "rougeL")])
        rows.append({"stem": stem, "scores": scores})
    return rows


def pltrdy_rouge(pairs):
    """Of the first reference; None where the package raises because a text holds no sentence."""
    rows = []
    for h, refs in pairs:
        try:
            score = Rouge().get_scores(h, refs[0])[0]
            rows.append([[score[k][s] for s in "prf"] for k in ("rouge-1", "rouge-2", "rouge-l")])
        except ValueError:
            rows.append(None)
    return rows


SUFFIXES = ("ational tional enci anci izer bli abli alli entli eli ousli ization ation ator alism iveness fulness ousness aliti iviti "
            "biliti fulli logi icate ative alize iciti ical ful ness al ance ence er ic able ible ant ement ment ent sion tion ou ism "
            "ate iti ous ive ize e ll sses ies ss s eed ed ing ied y ly ally edly ings").split()


def stems(sentences):
    rng = random.Random(SEED + 1)
    words = set("skies sky die dying lying tying news innings outing howe proceed exceed succeed ties died spied by yyyy yyyyy syzygy "
                "toy say hopping hoping falling fizzed filing agreed feed bled sing singing sized troubled conflated controll roll "
                "apology geology theologi oxen wax boxing bowing playing aing eing ooing eeds llll lll zzz 1999s 4th 20ing b2b2ed".split())
    for sentence in sentences:
        words.update(w for w in rouge_tokenize.tokenize(sentence, None))
    letters = "bcdfghjklmnpqrstvwxyzaeiouyaeiouy1"
    for suffix in SUFFIXES:
        for length in (0, 1, 2, 2, 3, 3, 4, 5, 6):
            words.add("".join(rng.choice(letters) for _ in range(length)) + suffix)
    stemmer = PorterStemmer()
    return {word: stemmer.stem(word) for word in sorted(words) if word}


def normalise(text, dialect):
    text = text.lower()
    if dialect == "trivia":
        gone = set(string.punctuation) | set("\u2018\u2019\u00b4`")
        text = "".join(" " if c in gone else c for c in text.replace("_", " "))
    else:
        text = "".join(c for c in text if c not in set(string.punctuation))
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def token_f1(given, gold, dialect):
    verdicts = ("yes", "no", "noanswer")
    if dialect == "hotpot" and given != gold and (given in verdicts or gold in verdicts):
        return 0.0
    a, b = given.split(), gold.split()
    if dialect == "squad" and (not a or not b):
        return float(a == b)
    common = sum((collections.Counter(a) & collections.Counter(b)).values())
    if not common:
        return 0.0
    precision, recall = common / len(a), common / len(b)
    return 2 * precision * recall / (precision + recall)


def qa(pairs):
    rows = []
    for dialect in ("squad", "trivia", "hotpot"):
        scores = []
        for h, refs in pairs:
            given, golds = normalise(h, dialect), [normalise(r, dialect) for r in refs]
            if dialect == "squad":
                golds = [g for g in golds if g] or [""]
            scores.append([given, max(float(given == g) for g in golds), max(token_f1(given, g, dialect) for g in golds),
                           max(float(g in given if g else given == g) for g in golds)])
        rows.append({"dialect": dialect, "scores": scores})
    return rows


def ruler(pairs):
    def clean(text):
        return re.sub(r"[\x00-\x1f]", "\n", text.strip()).strip()
    rows = []
    for i, (h, refs) in enumerate(pairs):
        wanted = refs + pairs[i - 1][1] + h.split()[1:2]
        wanted = [w for w in wanted if w]
        hits = [w.lower() in clean(h).lower() for w in wanted]
        rows.append({"wanted": wanted, "all": sum(hits) / len(hits) if hits else 0.0, "part": float(any(hits))})
    return rows


def distances(pairs):
    """Levenshtein distances [words, characters]; long texts would take minutes in Python."""
    return [[edit_distance(h.split(), r[0].split()), edit_distance(h, r[0])] if len(h) * len(r[0]) < 20000 else None
            for h, r in pairs]


def characters():
    every = [chr(c) for c in range(1, 0x110000) if not 0xD800 <= c < 0xE000]
    upper = "".join(c + "\n" for c in every if c.lower() != c)
    return {"upper": upper, "lower": upper.lower(), "spaces": "".join(c for c in every if c.isspace())}


def write(name, value):
    value = {"versions": {"sacrebleu": sacrebleu.__version__, "rouge_score": version("rouge_score"), "rouge": version("rouge"), "nltk": nltk.__version__,
                          "python": sys.version.split()[0]}, **value}
    (OUT / name).write_text(json.dumps(value, ensure_ascii=True, separators=(",", ":")) + "\n")
    print(name, (OUT / name).stat().st_size)


def main():
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    OUT.mkdir(parents=True, exist_ok=True)
    pairs, sentences = make_pairs(sys.argv[1])
    texts = sorted({t for h, r in pairs for t in [h, *r]})
    tokens = BLEU().tokenizer
    write("pairs.json", {"pairs": pairs})
    write("text.json", {"characters": characters(),
                        "texts": [[t, t.lower(), t.split(), t.strip(), tokens(t).split()] for t in texts]})
    write("bleu.json", {"rows": bleu(pairs)})
    write("nltk_bleu.json", {"rows": nltk_bleu(pairs)})
    write("rouge.json", {"rows": rouge(pairs), "pltrdy": pltrdy_rouge(pairs), "stems": stems(sentences)})
    write("match.json", {"qa": qa(pairs), "ruler": ruler(pairs), "distances": distances(pairs)})
    print(len(pairs), "pairs,", len(texts), "texts")


if __name__ == "__main__":
    main()
