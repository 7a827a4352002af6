#include <fmt/ranges.h>

#include "cli/inspection.h"
#include "cli/text.h"
#include "model/rope.h"

namespace steno {
namespace {

int64_t parameters(const std::vector<TensorInfo>& tensors) {
  int64_t total = 0;
  for (const TensorInfo& tensor : tensors) {
    int64_t values = 1;
    for (const int64_t size : tensor.shape) values *= size;
    total += values;
  }
  return total;
}

Json config_json(const ModelConfig& c) {
  return {{"family", c.family},         {"name", c.name},
          {"layers", c.layers},         {"d_model", c.d_model},
          {"heads", c.heads},           {"kv_heads", c.kv_heads},
          {"head_width", c.d_h},        {"d_ff", c.d_ff},
          {"vocab", c.vocab},           {"max_positions", c.max_positions},
          {"rope_theta", c.rope.theta}, {"rope_scaling", rope_scaling_name(c.rope.scaling)},
          {"tied_head", c.tied_head}};
}

std::string config_text(const ModelConfig& c) {
  std::string text = fmt::format("model         {}{}{}\n", c.family, c.name.empty() ? "" : ", ", c.name);
  text += fmt::format("sizes         {} layers, width {}, {} heads of {} ({} for keys and values), MLP {}\n", c.layers,
                      c.d_model, c.heads, c.d_h, c.kv_heads, c.d_ff);
  text += fmt::format("vocabulary    {}{}\n", count_text(c.vocab), c.tied_head ? ", head tied to the embedding" : "");
  text += fmt::format("positions     trained on {}, RoPE base {}, scaling {}\n", count_text(c.max_positions),
                      c.rope.theta, rope_scaling_name(c.rope.scaling));
  return text + fmt::format("memory        {} per slot in bf16\n", bytes_text(c.slot_bytes(2)));
}

std::string tensor_text(const std::vector<TensorInfo>& tensors, bool every_tensor) {
  struct Row {
    std::string name, type, shape, bytes;
  };
  std::vector<Row> rows;
  size_t name_width = 0, type_width = 0, shape_width = 0;
  const auto add = [&](const std::string& name, const TensorInfo& tensor, int64_t bytes) {
    rows.push_back({name, tensor.type, fmt::format("[{}]", fmt::join(tensor.shape, ", ")), bytes_text(bytes)});
    name_width = std::max(name_width, name.size());
    type_width = std::max(type_width, tensor.type.size());
    shape_width = std::max(shape_width, rows.back().shape.size());
  };
  if (every_tensor)
    for (const TensorInfo& tensor : tensors) add(tensor.name, tensor, tensor.bytes);
  else
    for (const TensorGroup& group : group_layers(tensors)) add(group.name, *group.first, group.bytes);
  std::string text;
  for (const Row& row : rows)
    text += fmt::format("  {:<{}}  {:<{}}  {:<{}}  {:>10}\n", row.name, name_width, row.type, type_width, row.shape,
                        shape_width, row.bytes);
  return text;
}

}  // namespace

Json inspection_json(const Inspection& in) {
  Json json = {{"path", in.path}, {"kind", in.kind}, {"file_bytes", in.file_bytes}};
  json["parameters"] = parameters(in.tensors);
  json["architecture"] = in.config ? config_json(*in.config) : Json();
  if (in.tokenizer)
    json["tokenizer"] = {{"kind", in.tokenizer->kind},         {"vocab", in.tokenizer->vocab},
                         {"bos", in.tokenizer->bos},           {"eos", in.tokenizer->eos},
                         {"adds_bos", in.tokenizer->adds_bos}, {"end_of_generation", in.tokenizer->end_of_generation}};
  else
    json["tokenizer"] = Json();
  json["chat_format"] = in.chat_format.empty() ? Json() : Json(in.chat_format);
  json["metadata"] = Json::object();
  for (const auto& [key, value] : in.metadata) json["metadata"][key] = value;
  json["tensors"] = Json::array();
  for (const TensorInfo& tensor : in.tensors)
    json["tensors"].push_back(
        {{"name", tensor.name}, {"type", tensor.type}, {"shape", tensor.shape}, {"bytes", tensor.bytes}});
  json["runs"] = in.runs;
  json["can"] = in.can;
  json["cannot"] = in.cannot;
  return json;
}

std::string inspection_text(const Inspection& in, bool every_tensor) {
  std::string text =
      fmt::format("file          {}\nkind          {}, {}\n", in.path, in.kind, bytes_text(in.file_bytes));
  if (in.config) text += config_text(*in.config);
  if (in.tokenizer) {
    const TokenizerInfo& t = *in.tokenizer;
    text += fmt::format("tokenizer     {}, {}, BOS {}{}, EOS {}, ends with {}\n", t.kind, plural(t.vocab, "token"),
                        t.bos.empty() ? "none" : t.bos,
                        t.bos.empty() ? ""
                        : t.adds_bos  ? " (added)"
                                      : " (not added)",
                        t.eos.empty() ? "none" : t.eos, fmt::join(t.end_of_generation, " "));
    text += fmt::format("chat format   {}\n", in.chat_format.empty() ? "none recognised" : in.chat_format);
  }
  for (const std::string& sentence : in.can) text += "can           " + sentence + "\n";
  for (const std::string& sentence : in.cannot) text += "note          " + sentence + "\n";
  if (!in.metadata.empty()) text += "\nmetadata\n";
  for (const auto& [key, value] : in.metadata) text += fmt::format("  {} = {}\n", key, value);
  if (!in.tensors.empty()) {
    text += fmt::format("\n{}, {} parameters\n", plural(static_cast<int64_t>(in.tensors.size()), "tensor"),
                        count_text(parameters(in.tensors)));
    text += tensor_text(in.tensors, every_tensor);
  }
  return text;
}

}  // namespace steno
