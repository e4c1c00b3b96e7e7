#pragma once

#include <ATen/core/Tensor.h>

#include "isotrope/models/model.h"
#include "isotrope/text/tokenizer.h"

namespace isotrope {

/// One row of a batch while it is put together.
struct EncoderRow {
  std::int64_t *ids, *types, *documents;
  std::int64_t length = 0;
  void add(std::int64_t id, std::int64_t type, std::int64_t document) {
    ids[length] = id, types[length] = type, documents[length] = document, ++length;
  }
};

/// The document of padding: one of its own, which the text does not see.
constexpr std::int64_t padding_document = -1;

/// [rows, columns] int64, and a row of it.
at::Tensor filled(std::int64_t rows, std::int64_t columns, std::int64_t value);
std::int64_t* row_of(const at::Tensor& x, std::int64_t row);

/// transformers finds RoBERTa's positions and a decoder's last token by pad_token_id: InputError where config.json and tokenizer differ.
void expect_same_padding(const Model& model, const Tokenizer& tokenizer);

}  // namespace isotrope
