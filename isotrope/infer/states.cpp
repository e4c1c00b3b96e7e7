#include "isotrope/infer/states.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <numeric>

#include "isotrope/base/error.h"

namespace isotrope {

namespace {

/// Texts that are computed together, side by side in one row.
struct Row {
  std::vector<std::size_t> texts;
  std::int64_t tokens = 0;
};

void check(const Model& model, std::span<const TokenSequence> texts) {
  const auto& shape = model.shape();
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const auto length = static_cast<std::int64_t>(texts[i].ids.size());
    if (length == 0) throw InputError("states", "sequence {} has no tokens", i + 1);
    if (length > shape.max_positions)
      throw InputError("states", "sequence {} has {} tokens, the model {} positions", i + 1, length, shape.max_positions);
    for (const auto id : texts[i].ids)
      if (id < 0 || id >= shape.vocab_size)
        throw InputError("states", "sequence {}: token id {} is out of range for a vocabulary of {}", i + 1, id, shape.vocab_size);
  }
}

/// Rows of at most `batch_tokens`, texts of one length side by side: attention then runs over whole groups of them.
std::vector<Row> rows_of(std::span<const TokenSequence> texts, std::int64_t batch_tokens) {
  std::vector<std::size_t> order(texts.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, [&](auto a, auto b) { return texts[a].ids.size() > texts[b].ids.size(); });
  std::vector<Row> rows;
  for (const auto text : order) {
    const auto length = static_cast<std::int64_t>(texts[text].ids.size());
    if (rows.empty() || rows.back().tokens + length > batch_tokens) rows.emplace_back();
    rows.back().texts.push_back(text);
    rows.back().tokens += length;
  }
  return rows;
}

struct RowInput {
  at::Tensor ids, types, documents;  // [1, tokens]
  std::vector<std::int64_t> starts;  // of each text, and the end of the last
};

RowInput input_of(const Row& row, std::span<const TokenSequence> texts) {
  RowInput input;
  std::vector<std::int64_t> ids, types, documents;
  for (const auto text : row.texts) {
    const auto& [text_ids, text_types] = texts[text];
    input.starts.push_back(static_cast<std::int64_t>(ids.size()));
    ids.insert(ids.end(), text_ids.begin(), text_ids.end());
    types.insert(types.end(), text_types.begin(), text_types.end());
    types.resize(ids.size());
    documents.resize(ids.size(), static_cast<std::int64_t>(input.starts.size()) - 1);
  }
  input.starts.push_back(static_cast<std::int64_t>(ids.size()));
  const auto tensor = [](const std::vector<std::int64_t>& values) { return at::tensor(values).unsqueeze(0); };
  input.ids = tensor(ids), input.types = tensor(types), input.documents = tensor(documents);
  return input;
}

}  // namespace

void collect_states(Model& model, std::span<const TokenSequence> sequences, const StateOptions& options,
                    const std::function<void(const StateBlock&)>& consume) {
  check(model, sequences);
  const auto device = model.parameters().options().device();
  std::size_t done = 0;
  for (const auto& row : rows_of(sequences, options.batch_tokens)) {
    if (options.stop_requested && options.stop_requested()) throw Interrupted("states", "after {} of {} sequences", done, sequences.size());
    const auto input = input_of(row, sequences);
    const auto give = [&](std::string_view point, std::int64_t layer, const at::Tensor& states) {
      if (options.wanted(point, layer)) consume({point, layer, states.squeeze(0), row.texts, input.starts});
    };
    const Tap tap([&](std::string_view point, std::int64_t layer, const at::Tensor& value) {
      const auto kept = options.tap(point, layer, value);
      give(point, layer, kept);
      return kept.is_same(value) ? at::Tensor() : kept;
    });
    give("hidden", -1,
         model.forward_ids(input.ids.to(device),
                           {.documents = input.documents.to(device), .token_types = input.types.to(device), .tap = tap}));
    done += row.texts.size();
  }
}

}  // namespace isotrope
