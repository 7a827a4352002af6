#include "memory/query_window.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace steno {
namespace {

// Two layers of one head; the number of a token stands in its query, negative in the second layer.
std::vector<at::Tensor> queries(int64_t first, int64_t count) {
  const at::Tensor q = at::arange(first, first + count, at::kFloat).view({1, 1, count, 1});
  return {q, -q};
}

TEST(QueryWindow, HoldsTheNewest) {
  for (const int64_t size : {1, 4, 7}) {
    QueryWindow window(size);
    int64_t seen = 0;
    for (const int64_t count : {1, 1, 9, 2, 1, 3, 1, 1, 1, 4, 20, 1}) {
      window.push(queries(seen, count));
      seen += count;
      const int64_t held = std::min(seen, size);
      ASSERT_EQ(window.size(), held);
      const auto expected = queries(seen - held, held);
      EXPECT_TRUE(at::equal(window.layer(0), expected[0])) << size << " after " << seen;
      EXPECT_TRUE(at::equal(window.layer(1), expected[1])) << size << " after " << seen;
      EXPECT_LT(window.bytes(), 2 * 4 * 2 * size);  // less than two windows, two layers, f32
    }
  }
}

TEST(QueryWindow, CopiesGoTheirOwnWays) {
  QueryWindow a(3);
  a.push(queries(0, 3));
  QueryWindow b = a;
  b.push(queries(3, 1));
  EXPECT_TRUE(at::equal(a.layer(0), queries(0, 3)[0]));
  EXPECT_TRUE(at::equal(b.layer(0), queries(1, 3)[0]));
}

TEST(QueryWindow, IsOfFloats) {
  QueryWindow window(2);
  window.push({at::ones({1, 1, 2, 1}, at::kBFloat16)});
  EXPECT_EQ(window.layer(0).scalar_type(), at::kFloat);
}

}  // namespace
}  // namespace steno
