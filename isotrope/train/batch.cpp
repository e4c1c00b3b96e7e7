#include "isotrope/train/batch.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "isotrope/data/text_pairs.h"
#include "isotrope/kernels/head_loss.h"

namespace isotrope {

std::string_view objective_name(Objective objective) {
  switch (objective) {
    case Objective::clm: return "clm";
    case Objective::mlm: return "mlm";
    case Objective::mlm_nsp: return "mlm_nsp";
    case Objective::bilm: return "bilm";
  }
  return "";
}

namespace {

at::Tensor filled(std::int64_t rows, std::int64_t columns, std::int64_t value) { return at::full({rows, columns}, value, at::kLong); }

std::int64_t* row_of(const at::Tensor& x, std::int64_t row) { return x.mutable_data_ptr<std::int64_t>() + row * x.size(1); }

/// The next token, and for biLM the one before too.
Batch shifted(const WindowSampler& sampler, const TokenFile& file, std::uint64_t position, std::int64_t count,
              const CollatorOptions& options) {
  const auto context = options.context;
  const bool backwards = options.objective == Objective::bilm;
  Batch batch{.ids = filled(count, context, 0), .targets = filled(count, context, 0)};
  if (backwards) batch.backward_targets = filled(count, context, ignored_target);
  if (options.document_mask) batch.documents = filled(count, context, 0);
  std::vector<std::int64_t> window(static_cast<std::size_t>(context + 1));
  for (std::int64_t row = 0; row < count; ++row) {
    const auto place = position + static_cast<std::uint64_t>(row);
    sampler.copy(place, window.data());
    std::copy_n(window.begin(), context, row_of(batch.ids, row));
    std::copy_n(window.begin() + 1, context, row_of(batch.targets, row));
    if (backwards) std::copy_n(window.begin(), context - 1, row_of(batch.backward_targets, row) + 1);
    if (!options.document_mask) continue;
    const auto documents = file.document_ids(sampler.at(place).begin, static_cast<std::uint64_t>(context + 1));
    for (std::int64_t i = 0; i < context; ++i) {
      row_of(batch.documents, row)[i] = documents[i];
      if (documents[i + 1] == documents[i]) continue;
      row_of(batch.targets, row)[i] = ignored_target;
      if (backwards && i + 1 < context) row_of(batch.backward_targets, row)[i + 1] = ignored_target;
    }
  }
  batch.counted = batch.tokens = (batch.targets != ignored_target).sum().item<std::int64_t>();
  if (backwards) batch.backward_counted = (batch.backward_targets != ignored_target).sum().item<std::int64_t>();
  return batch;
}

/// One row of an encoder while it is put together.
struct EncoderRow {
  std::int64_t *ids, *types, *documents;
  std::int64_t length = 0;
  void add(std::int64_t id, std::int64_t type, std::int64_t document) {
    ids[length] = id, types[length] = type, documents[length] = document, ++length;
  }
};

void fill_text(EncoderRow& row, const WindowSampler& sampler, const TokenFile& file, std::uint64_t place, const CollatorOptions& options) {
  const auto count = static_cast<std::uint64_t>(text_tokens(options));
  std::vector<std::int64_t> text(count);
  const auto begin = sampler.at(place).begin;
  file.copy(begin, count, text.data());
  const auto documents = options.document_mask ? file.document_ids(begin, count) : std::vector<std::int32_t>(count, 0);
  if (options.cls) row.add(*options.cls, 0, 0);
  for (std::size_t i = 0; i < count; ++i) row.add(text[i], 0, documents[i]);
  if (options.sep) row.add(*options.sep, 0, documents.back());
}

/// Returns 1 where the second segment is a random one.
std::int64_t fill_pair(EncoderRow& row, const WindowSampler& sampler, const TokenFile& file, std::uint64_t place,
                       const CollatorOptions& options) {
  RandomStream random(sampler.seed(), "pairs", place);
  const auto pair = draw_pair(file, sampler.at(place).begin, static_cast<std::uint64_t>(text_tokens(options)), random);
  row.add(*options.cls, 0, 0);
  for (const auto id : pair.first) row.add(id, 0, 0);
  row.add(*options.sep, 0, 0);
  for (const auto id : pair.second) row.add(id, 1, 0);
  row.add(*options.sep, 1, 0);
  return pair.random ? 1 : 0;
}

Batch masked(const WindowSampler& sampler, const TokenFile& file, std::uint64_t position, std::int64_t count,
             const CollatorOptions& options) {
  const auto context = options.context;
  const bool pairs = options.objective == Objective::mlm_nsp;
  constexpr std::int64_t padding = -1;  // a document of its own
  Batch batch{.ids = filled(count, context, options.pad.value_or(0)),
              .documents = filled(count, context, padding),
              .token_types = filled(count, context, 0)};
  if (pairs) batch.pair_targets = at::empty({count}, at::kLong);
  auto targets = filled(count, context, ignored_target);
  for (std::int64_t i = 0; i < count; ++i) {
    const auto place = position + static_cast<std::uint64_t>(i);
    EncoderRow row{row_of(batch.ids, i), row_of(batch.token_types, i), row_of(batch.documents, i)};
    if (pairs) batch.pair_targets.mutable_data_ptr<std::int64_t>()[i] = fill_pair(row, sampler, file, place, options);
    else fill_text(row, sampler, file, place, options);
    RandomStream random(sampler.seed(), "mask", place);
    const auto length = static_cast<std::size_t>(row.length);
    mask_tokens({row.ids, length}, {row_of(targets, i), length}, options.masking, random);
    batch.tokens += row.length;
  }
  if (!pairs) batch.token_types = at::Tensor();
  if (!options.document_mask && batch.tokens == count * context) batch.documents = at::Tensor();  // nothing is padded
  batch.predicted = (targets.flatten() != ignored_target).nonzero().squeeze(1);
  batch.targets = targets.flatten().index_select(0, batch.predicted);
  batch.counted = batch.targets.numel();
  return batch;
}

}  // namespace

std::int64_t text_tokens(const CollatorOptions& options) {
  switch (options.objective) {
    case Objective::mlm: return options.context - (options.cls ? 1 : 0) - (options.sep ? 1 : 0);
    case Objective::mlm_nsp: return options.context - 3;
    default: return options.context;
  }
}

Batch collate(const WindowSampler& sampler, const TokenFile& file, std::uint64_t position, std::int64_t count,
              const CollatorOptions& options) {
  const bool encoder = options.objective == Objective::mlm || options.objective == Objective::mlm_nsp;
  auto batch = encoder ? masked(sampler, file, position, count, options) : shifted(sampler, file, position, count, options);
  for (auto* tensor :
       {&batch.ids, &batch.targets, &batch.predicted, &batch.backward_targets, &batch.pair_targets, &batch.documents, &batch.token_types})
    if (tensor->defined()) *tensor = tensor->to(options.device);
  return batch;
}

}  // namespace isotrope
