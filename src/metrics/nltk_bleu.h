// BLEU as nltk.translate.bleu_score computes it (3.8 and later): tokens in, scores from 0 to 1. Dialogue papers report
// these; for comparisons across papers prefer bleu.h. Words: split_spaces(); characters: tokenise_characters().
#pragma once
#include <span>
#include <vector>

#include "metrics/python_text.h"

namespace steno {

// Chen and Cherry 2014. method0: a count of 0 becomes the smallest float, so the score is about 0. method1: 0.1 matches
// instead of 0. method2: +1 to matches and total above order 1. method3: 1/2, 1/4, ... matches.
enum class NltkSmoothing { method0, method1, method2, method3 };

// BLEU-k: {1/k, ..., 1/k}, or with individual_weights {0, ..., 0, 1}. k >= 1.
std::vector<double> cumulative_weights(int k);
std::vector<double> individual_weights(int k);

double nltk_sentence_bleu(std::span<const Tokens> references, const Tokens& hypothesis, std::span<const double> weights,
                          NltkSmoothing smoothing = NltkSmoothing::method1);

// Counts are summed before the division; `references[i]` are those of `hypotheses[i]`. An empty corpus scores 0.
// Both throw InputError for a segment without references, this one also when the lists differ in length.
double nltk_corpus_bleu(std::span<const std::vector<Tokens>> references, std::span<const Tokens> hypotheses,
                        std::span<const double> weights, NltkSmoothing smoothing = NltkSmoothing::method1);

}  // namespace steno
