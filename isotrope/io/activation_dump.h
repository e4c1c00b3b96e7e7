#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "isotrope/io/safetensors.h"

namespace isotrope {

/// What another implementation has computed of a model at every tap, and of what input (docs/formats/activation_dump.md); memory-mapped.
/// Throws InputError that names the file and what is wrong in it: another kind of file or a newer version, an input that is missing,
/// misshapen or counts nothing, a tap that is not floating-point or not of the input's rows and tokens, no tap at all.
class ActivationDump {
 public:
  explicit ActivationDump(const fs::path& path);
  /// A file's bytes in memory that outlives this object; `name` stands for the path in errors.
  ActivationDump(std::span<const std::byte> bytes, const std::string& name);

  std::string name() const { return file_.path().string(); }
  const std::string& model_type() const { return model_type_; }  ///< of the model's config.json
  const std::string& dtype() const { return dtype_; }            ///< "float32", "bfloat16" or "float16": what it was computed in

  std::int64_t rows() const { return rows_; }
  std::int64_t length() const { return length_; }  ///< tokens of a row, padding included
  // [rows, length], C order.
  const std::vector<std::int64_t>& ids() const { return ids_; }
  const std::vector<std::int64_t>& mask() const { return mask_; }  ///< 1: counts, in one stretch of each row; 0: padding
  const std::vector<std::int64_t>& positions() const { return positions_; }
  const std::vector<std::int64_t>& token_types() const { return token_types_; }  ///< empty for a model without segments
  const std::vector<std::int64_t>& targets() const { return targets_; }  ///< the token to be predicted at each place, −100: none; or empty

  /// Shape [rows, length, channels], but for `pair_logits` [rows, 2]. In no particular order.
  const std::vector<TensorView>& taps() const { return taps_; }
  const TensorView* find(std::string_view tap) const;  ///< null when there is none
  std::int64_t layers() const;                         ///< how many `resid_post.N` there are

 private:
  void read();
  void check_inputs() const;
  void check_tap(const TensorView& tap) const;

  SafetensorsFile file_;
  std::string model_type_, dtype_;
  std::int64_t rows_ = 0, length_ = 0;
  std::vector<std::int64_t> ids_, mask_, positions_, token_types_, targets_;
  std::vector<TensorView> taps_;
};

}  // namespace isotrope
