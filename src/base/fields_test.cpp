#include "base/fields.h"

#include <gtest/gtest.h>

namespace steno {
namespace {

struct Params {
  int64_t sinks = 4;
  double decay = 0.5;
  bool packed = true;
  std::string order = "attend-first";
  template <class F>
  void visit(F&& f) {
    f("sinks", sinks, "start slots");
    f("decay", decay, "per step");
    f("packed", packed, "position mode");
    f("order", order, "who reads what");
  }
};

TEST(Fields, OneListServesDefaultsParsingAndStorage) {
  Params params;
  set_fields("toy", params, {{"sinks", "7"}, {"packed", "off"}, {"order", "x"}});
  EXPECT_EQ(params.sinks, 7);
  EXPECT_EQ(params.decay, 0.5);
  EXPECT_FALSE(params.packed);
  Params copy;
  set_fields("toy", copy, field_values(params));
  EXPECT_EQ(field_values(copy), field_values(params));
  EXPECT_EQ(list_fields(Params{})[1].type, "float");
}

TEST(Fields, UnknownNamesAndWrongTypesAreUsageErrors) {
  Params params;
  EXPECT_THROW(set_fields("toy", params, {{"sink", "7"}}), UsageError);
  EXPECT_THROW(set_fields("toy", params, {{"sinks", "7x"}}), UsageError);
  EXPECT_THROW(set_fields("toy", params, {{"decay", ""}}), UsageError);
  EXPECT_THROW(set_fields("toy", params, {{"packed", "maybe"}}), UsageError);
  try {
    set_fields("toy", params, {{"nope", "1"}});
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "[toy] unknown parameter 'nope'; known: sinks, decay, packed, order");
    EXPECT_EQ(error.code(), ExitCode::usage);
  }
}

}  // namespace
}  // namespace steno
