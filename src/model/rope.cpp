#include "model/rope.h"

#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>

#include <cmath>
#include <numbers>

#include "model/differentiable.h"
#include "model/kernels.h"

namespace steno {
namespace {

constexpr double kTau = 2 * std::numbers::pi;

// arXiv 2309.00071, equation 23 and section 3.2: dimensions that turn more than beta_fast times over the original
// length keep their frequency, those that turn less than beta_slow times are interpolated, the rest goes over linearly.
void apply_yarn(const RopeConfig& config, int64_t d_h, std::vector<double>& inverse) {
  const double length = static_cast<double>(config.original_max_positions);
  const auto dimension_of = [&](double turns) {
    return static_cast<double>(d_h) * std::log(length / (turns * kTau)) / (2 * std::log(config.theta));
  };
  double low = dimension_of(config.beta_fast), high = dimension_of(config.beta_slow);
  if (config.truncate) low = std::floor(low), high = std::ceil(high);
  low = std::max(low, 0.0);
  high = std::min(high, static_cast<double>(d_h - 1));
  if (low == high) high += 0.001;
  for (size_t i = 0; i < inverse.size(); ++i) {
    const double ramp = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    inverse[i] = inverse[i] / config.factor * ramp + inverse[i] * (1 - ramp);
  }
}

// Llama 3.1: wavelengths beyond original / low_freq_factor are divided by `factor`, those below original /
// high_freq_factor stay, with a linear passage between.
void apply_llama3(const RopeConfig& config, std::vector<double>& inverse) {
  const double length = static_cast<double>(config.original_max_positions);
  for (double& frequency : inverse) {
    const double wavelength = kTau / frequency;
    if (wavelength > length / config.low_freq_factor) {
      frequency /= config.factor;
    } else if (wavelength > length / config.high_freq_factor) {
      const double smooth =
          (length / wavelength - config.low_freq_factor) / (config.high_freq_factor - config.low_freq_factor);
      frequency = (1 - smooth) * frequency / config.factor + smooth * frequency;
    }
  }
}

kernels::Num num(at::ScalarType type) { return type == at::kFloat ? kernels::Num::f32 : kernels::Num::bf16; }
bool has_kernel(at::ScalarType type) { return type == at::kFloat || type == at::kBFloat16; }

}  // namespace

RopeFrequencies rope_frequencies(const RopeConfig& config, int64_t d_h, int64_t length) {
  double theta = config.theta;
  const double factor = config.factor;
  if (config.scaling == RopeScaling::dynamic && length > config.original_max_positions) {
    const double ratio = static_cast<double>(length) / static_cast<double>(config.original_max_positions);
    theta *= std::pow(factor * ratio - (factor - 1), static_cast<double>(d_h) / static_cast<double>(d_h - 2));
  }
  RopeFrequencies result{std::vector<double>(static_cast<size_t>(d_h / 2)), 1.0};
  for (size_t i = 0; i < result.inverse.size(); ++i)
    result.inverse[i] = std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(d_h));
  switch (config.scaling) {
    case RopeScaling::none:
    case RopeScaling::dynamic:
      break;
    case RopeScaling::linear:
      for (double& frequency : result.inverse) frequency /= factor;
      break;
    case RopeScaling::yarn:
      apply_yarn(config, d_h, result.inverse);
      result.attention_factor = config.attention_factor > 0 ? config.attention_factor
                                : factor > 1                ? 0.1 * std::log(factor) + 1
                                                            : 1;
      break;
    case RopeScaling::llama3:
      apply_llama3(config, result.inverse);
      break;
  }
  for (size_t i = 0; i < config.freq_factors.size() && i < result.inverse.size(); ++i)
    result.inverse[i] /= config.freq_factors[i];
  return result;
}

const char* rope_scaling_name(RopeScaling scaling) {
  switch (scaling) {
    case RopeScaling::none:
      return "none";
    case RopeScaling::linear:
      return "linear";
    case RopeScaling::dynamic:
      return "dynamic";
    case RopeScaling::yarn:
      return "yarn";
    case RopeScaling::llama3:
      return "llama3";
  }
  return "";
}

RotaryTable rotary_table(const RopeConfig& config, int64_t d_h, const at::Tensor& positions, int64_t length) {
  const at::Tensor host = positions.to(at::kCPU).contiguous();
  const int64_t* position = host.const_data_ptr<int64_t>();
  const int64_t count = host.numel(), half = d_h / 2;
  if (length == 0)
    for (int64_t i = 0; i < count; ++i) length = std::max(length, position[i] + 1);
  const RopeFrequencies frequencies = rope_frequencies(config, d_h, length);
  const at::Tensor cos = at::empty({host.size(0), host.size(1), half}, at::kFloat), sin = at::empty_like(cos);
  float* c = cos.mutable_data_ptr<float>();
  float* s = sin.mutable_data_ptr<float>();
  at::parallel_for(0, count, 64, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      for (int64_t j = 0; j < half; ++j) {
        const double angle = static_cast<double>(position[i]) * frequencies.inverse[static_cast<size_t>(j)];
        c[i * half + j] = static_cast<float>(std::cos(angle) * frequencies.attention_factor);
        s[i * half + j] = static_cast<float>(std::sin(angle) * frequencies.attention_factor);
      }
    }
  });
  return {cos.to(positions.device()), sin.to(positions.device()), config.layout};
}

at::Tensor rotate(const at::Tensor& x, const RotaryTable& table, std::optional<at::ScalarType> out_dtype) {
  const at::ScalarType type = out_dtype.value_or(x.scalar_type());
  const bool records = c10::GradMode::is_enabled() && x.requires_grad();
  if (records && type == x.scalar_type()) return differentiable_rotate(x, table);
  if (!records && x.is_cpu() && has_kernel(x.scalar_type()) && has_kernel(type)) {
    const at::Tensor out = at::empty(x.sizes(), x.options().dtype(type));
    rotate_into(x, table, out);
    return out;
  }
  const at::Tensor cos = table.cos.unsqueeze(1), sin = table.sin.unsqueeze(1);  // [B, 1, T, d_h/2]
  const at::Tensor xf = x.to(at::kFloat);
  if (table.layout == RopeLayout::interleaved) {
    const at::Tensor pairs = xf.unflatten(-1, {-1, 2});
    const at::Tensor a = pairs.select(-1, 0), b = pairs.select(-1, 1);
    return at::stack({a * cos - b * sin, b * cos + a * sin}, -1).flatten(-2).to(type);
  }
  const auto halves = xf.chunk(2, -1);
  return at::cat({halves[0] * cos - halves[1] * sin, halves[1] * cos + halves[0] * sin}, -1).to(type);
}

void rotate_into(const at::Tensor& x, const RotaryTable& table, const at::Tensor& out) {
  if (!x.is_cpu() || !has_kernel(x.scalar_type()) || !has_kernel(out.scalar_type()) || x.stride(-1) != 1) {
    const at::NoGradGuard no_grad;
    const_cast<at::Tensor&>(out).copy_(rotate(x.is_cpu() ? x.contiguous() : x, table, out.scalar_type()));
    return;
  }
  const int64_t heads = x.size(1), steps = x.size(2), half = x.size(3) / 2;
  const auto from = num(x.scalar_type()), to = num(out.scalar_type());
  const auto* source = static_cast<const std::byte*>(x.const_data_ptr());
  auto* target = static_cast<std::byte*>(out.mutable_data_ptr());
  const int64_t source_bytes = static_cast<int64_t>(x.element_size()),
                target_bytes = static_cast<int64_t>(out.element_size());
  const float* cos = table.cos.const_data_ptr<float>();
  const float* sin = table.sin.const_data_ptr<float>();
  const bool interleaved = table.layout == RopeLayout::interleaved;
  at::parallel_for(0, x.size(0) * steps, 16, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t b = i / steps, t = i % steps;
      for (int64_t h = 0; h < heads; ++h)
        kernels::rotate_row(source + (b * x.stride(0) + h * x.stride(1) + t * x.stride(2)) * source_bytes, from,
                            cos + i * half, sin + i * half, half, interleaved,
                            target + (b * out.stride(0) + h * out.stride(1) + t * out.stride(2)) * target_bytes, to);
    }
  });
}

}  // namespace steno
