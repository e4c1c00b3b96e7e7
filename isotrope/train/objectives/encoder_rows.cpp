#include "isotrope/train/objectives/encoder_rows.h"

#include <ATen/ATen.h>

#include "isotrope/base/error.h"

namespace isotrope {

at::Tensor filled(std::int64_t rows, std::int64_t columns, std::int64_t value) { return at::full({rows, columns}, value, at::kLong); }

std::int64_t* row_of(const at::Tensor& x, std::int64_t row) { return x.mutable_data_ptr<std::int64_t>() + row * x.size(1); }

void expect_same_padding(const Model& model, const Tokenizer& tokenizer) {
  const auto found = model.config().find("pad_token_id");
  if (found == model.config().end() || !found->is_number_integer() || !tokenizer.pad() || *found == *tokenizer.pad()) return;
  throw InputError("train", "config.json: pad_token_id = {}, but the tokenizer's padding is {}", found->dump(), *tokenizer.pad());
}

}  // namespace isotrope
