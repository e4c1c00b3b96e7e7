#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "isotrope/text/steps/aligned_text.h"
#include "isotrope/text/steps/token_ids.h"

namespace isotrope {

/// How texts that are too long are cut, as HF tokenizers does it. max_length counts what the post-processor adds; of what is cut off, pieces
/// of the same length, which share `stride` tokens with the one before, become Encoding::overflowing.
struct Truncation {
  enum class Strategy { longest_first, only_first, only_second } strategy = Strategy::longest_first;
  enum class Side { right, left } side = Side::right;  ///< where tokens are taken away
  std::size_t max_length = 512, stride = 0;
};

/// How encodings are made equally long.
struct Padding {
  enum class Side { right, left } side = Side::right;  ///< where tokens are added
  std::optional<std::size_t> length;                   ///< nothing: that of the longest of the batch
  std::size_t multiple_of = 0;                         ///< the length is raised to a multiple of it; 0: it is not
  TokenId id = 0;
  std::int32_t type = 0;
  std::string token = "[PAD]";
};

struct EncodingOptions {
  bool add_special_tokens = true;    ///< what the post-processor adds around the text
  bool parse_special_tokens = true;  ///< "<|endoftext|>" in the text becomes its id
  std::optional<Truncation> truncation = std::nullopt;
  std::optional<Padding> padding = std::nullopt;
};

/// All that HF tokenizers' Encoding says of a text or two, one entry a token each.
///
/// offsets       code points of the token's text, as Python's HF gives them; byte_offsets: the same places in bytes of the text as it was given.
///               A token that is part of a character has all of it; what the post-processor and padding add has (0, 0).
/// words         the number of the piece that the pre-tokenizer or the added tokens cut; −1: none
/// sequences()   the number of the text; −1: none. As in HF, it is 0 for all where no post-processor said which is which.
/// overflowing   what truncation took away, each with what the post-processor adds; HF repeats some of these inside of others, here are none.
struct Encoding {
  std::vector<TokenId> ids;
  std::vector<std::int32_t> types;
  std::vector<std::string> tokens;  ///< names in the vocabulary; of an added token, what stands in the text
  std::vector<TextRange> offsets, byte_offsets;
  std::vector<std::int32_t> words;
  std::vector<std::uint8_t> special, attention;  ///< the masks: 1 for what was added around the text; 0 for padding
  std::map<int, TextRange> sequence_ranges;      ///< where each text stands
  std::vector<Encoding> overflowing;

  std::size_t size() const { return ids.size(); }
  std::vector<std::int32_t> sequences() const;
  /// The tokens begin … end − 1, without overflow.
  Encoding slice(std::size_t begin, std::size_t end) const;
  /// Puts other tokens behind these, and all overflowing parts together with all of the other's.
  void append(const Encoding& other);
};

/// A text, or two that are read as one.
struct TextPair {
  std::string_view first;
  std::optional<std::string_view> second = std::nullopt;
};

/// Cuts an encoding to `length` tokens. Throws UsageError unless stride < length.
void truncate(Encoding& encoding, std::size_t length, std::size_t stride, Truncation::Side side);
/// Cuts both to truncation.max_length − added together. Throws UsageError where HF refuses it.
void truncate(Encoding& first, Encoding* second, const Truncation& truncation, std::size_t added);
/// Pads to padding.length, or to the longest of them all.
void pad(std::span<Encoding> encodings, const Padding& padding);

}  // namespace isotrope
