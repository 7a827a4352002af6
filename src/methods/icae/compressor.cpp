#include "methods/icae/compressor.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "base/error.h"
#include "base/interrupt.h"
#include "methods/icae/encoder.h"
#include "methods/icae/reader.h"

namespace steno::icae {

// One by one: the bits of a product depend on its number of rows, and slots must not depend on their neighbours.
std::vector<SpanSlots> IcaeCompressor::compress(std::span<const std::vector<TokenId>> spans) const {
  const at::NoGradGuard no_grad;
  std::vector<SpanSlots> written;
  for (const auto& span : spans) {
    if (interrupted()) throw Interrupted("interrupted after {} of {} spans", written.size(), spans.size());
    const auto tokens = static_cast<int64_t>(span.size());
    if (tokens < 1 || tokens > span_tokens())
      throw InputError("[icae] a span of {} tokens; this adapter takes 1 to {}", tokens, span_tokens());
    const at::Tensor slots = encode_spans(*decoder_, *adapter_, std::span(&span, 1))[0];
    written.push_back({{{"slots", slots.to(at::kCPU, at::kFloat).contiguous()}}, tokens});
  }
  return written;
}

std::unique_ptr<MemoryReader> IcaeCompressor::open_reader() const {
  return std::make_unique<Reader>(decoder_, adapter_, reader_kind("icae.reader", *adapter_), 2048);
}

}  // namespace steno::icae
