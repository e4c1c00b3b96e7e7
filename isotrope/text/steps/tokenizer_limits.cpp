#include "isotrope/text/steps/tokenizer_limits.h"

#include <nlohmann/json.hpp>

#include "isotrope/base/error.h"
#include "isotrope/text/steps/json_field.h"

namespace isotrope {

using nlohmann::json;
namespace field = json_field;

namespace {

/// A count that the file may leave out.
std::size_t limit_of(const json& description, const char* key, std::size_t fallback, std::string_view file) {
  const auto& value = field::find(description, key);
  if (value.is_null()) return fallback;
  const auto count = field::integer(value, key, file);
  if (count < 0 || count > INT32_MAX) throw InputError("tokenizer", "{}: {} is {}, out of range", file, key, count);
  return static_cast<std::size_t>(count);
}

template <class Side>
Side side_of(const json& description, std::string_view what, std::string_view file) {
  const auto& value = field::find(description, "direction");
  if (value.is_null()) return Side::right;
  const auto side = field::text(value, "direction", file);
  if (side != "Left" && side != "Right") throw InputError("tokenizer", "{}: {} with direction {} is not supported", file, what, side);
  return side == "Left" ? Side::left : Side::right;
}

}  // namespace

std::optional<Truncation> read_truncation(const json& description, std::string_view file) {
  if (description.is_null()) return std::nullopt;
  field::object(description, "truncation", file);
  field::at(description, "max_length", file);
  Truncation truncation{.side = side_of<Truncation::Side>(description, "truncation", file),
                        .max_length = limit_of(description, "max_length", 0, file),
                        .stride = limit_of(description, "stride", 0, file)};
  const auto& strategy = field::find(description, "strategy");
  if (strategy.is_null() || strategy == "LongestFirst") return truncation;
  const auto name = field::text(strategy, "strategy", file);
  if (name != "OnlyFirst" && name != "OnlySecond")
    throw InputError("tokenizer", "{}: truncation with strategy {} is not supported", file, name);
  truncation.strategy = name == "OnlyFirst" ? Truncation::Strategy::only_first : Truncation::Strategy::only_second;
  return truncation;
}

std::optional<Padding> read_padding(const json& description, std::string_view file) {
  if (description.is_null()) return std::nullopt;
  field::object(description, "padding", file);
  Padding padding{.side = side_of<Padding::Side>(description, "padding", file),
                  .multiple_of = limit_of(description, "pad_to_multiple_of", 0, file),
                  .id = static_cast<TokenId>(limit_of(description, "pad_id", 0, file)),
                  .type = static_cast<std::int32_t>(limit_of(description, "pad_type_id", 0, file))};
  if (const auto& token = field::find(description, "pad_token"); !token.is_null()) padding.token = field::text(token, "pad_token", file);
  const auto& strategy = field::find(description, "strategy");
  if (strategy.is_object()) {
    field::at(strategy, "Fixed", file);
    padding.length = limit_of(strategy, "Fixed", 0, file);
  } else if (!strategy.is_null() && strategy != "BatchLongest") {
    throw InputError("tokenizer", "{}: padding with strategy {} is not supported", file, strategy.dump().substr(0, 60));
  }
  return padding;
}

}  // namespace isotrope
