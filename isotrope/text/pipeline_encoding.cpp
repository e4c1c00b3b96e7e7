// Encodings with offsets: the slow, aligned way to the ids of pipeline.cpp. `tokenizer check` compares both.
#include <algorithm>

#include "isotrope/base/log.h"
#include "isotrope/text/pipeline.h"
#include "isotrope/text/steps/byte_alphabet.h"
#include "isotrope/text/steps/encoding.h"
#include "isotrope/text/steps/tokenizer_limits.h"
#include "isotrope/text/unicode/utf8.h"

namespace isotrope {

namespace {

/// Where each code point of the text begins, and the text ends, in bytes; what is not UTF-8 counts as the U+FFFD that it becomes.
std::vector<std::uint32_t> byte_positions(std::string_view text) {
  std::vector<std::uint32_t> positions;
  positions.reserve(text.size() + 1);
  for (std::size_t position = 0; position < text.size(); position += utf8_step(text, position).length)
    positions.push_back(static_cast<std::uint32_t>(position));
  positions.push_back(static_cast<std::uint32_t>(text.size()));
  return positions;
}

/// Puts down tokens that follow one another, each with length_of(place among them, id) bytes.
template <class LengthOf>
void put_in_a_row(const std::vector<TokenId>& ids, LengthOf&& length_of, std::vector<WordToken>& tokens) {
  std::uint32_t begin = 0;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const auto end = begin + static_cast<std::uint32_t>(length_of(i, ids[i]));
    tokens.push_back({.id = ids[i], .begin = begin, .end = end});
    begin = end;
  }
}

}  // namespace

/// One text's tokens, as they come.
class PipelineTokenizer::Aligner {
 public:
  Aligner(const PipelineTokenizer& tokenizer, Encoding& encoding) : tokenizer_(tokenizer), encoding_(encoding) {}

  void put_added(const AlignedView& stretch, TokenId id) {
    put(id, std::string(stretch.text), stretch.range(0, stretch.text.size()));
    ++words_;
  }

  template <class Worker>
  void put_word(Worker& worker, const AlignedView& word) {
    tokens_.clear(), ids_.clear();
    if (tokenizer_.has_absent_byte(word.text)) {
      put_spelled(worker, word);
    } else {
      align(worker, word.text);
      put_tokens(word);
    }
    ++words_;
  }

 private:
  void put(TokenId id, std::string name, TextRange range) {
    encoding_.ids.push_back(id);
    encoding_.tokens.push_back(std::move(name));
    encoding_.offsets.push_back(range);
    encoding_.words.push_back(words_);
  }

  void put_tokens(const AlignedView& word) {
    for (const auto& [id, begin, end, as_written] : tokens_)
      put(id, as_written ? std::string(word.text.substr(begin, end - begin)) : name_of(id), word.range(begin, end));
  }

  const std::string& name_of(TokenId id) const { return tokenizer_.definition_.names[static_cast<std::size_t>(id)]; }

  /// HF tokenizers spells the bytes of a word before it drops those without a token, and then counts the spelling's bytes.
  template <class Worker>
  void put_spelled(Worker& worker, const AlignedView& word) {
    std::string spelling, rest;
    std::vector<TextRange> ranges;
    for (std::size_t i = 0; i < word.text.size(); ++i) {
      spelling += spell_bytes(word.text.substr(i, 1));
      ranges.resize(spelling.size(), word.ranges[i]);
      if (!tokenizer_.absent_[static_cast<unsigned char>(word.text[i])]) rest += word.text[i];
    }
    worker.encode_word(rest, ids_);
    put_in_a_row(ids_, [&](std::size_t, TokenId id) { return name_of(id).size(); }, tokens_);
    put_tokens({spelling, ranges.data(), word.base});
  }

  void align(BpeModel::Worker& worker, std::string_view word) {
    worker.encode_word(word, ids_);
    put_in_a_row(ids_, [&](std::size_t, TokenId id) { return tokenizer_.byte_lengths()[static_cast<std::size_t>(id)]; }, tokens_);
  }

  void align(CharacterBpe::Worker&, std::string_view word) {
    std::get<std::unique_ptr<const CharacterBpe>>(tokenizer_.model_)->align_word(word, tokens_);
  }

  void align(Unigram::Worker& worker, std::string_view word) { worker.align_word(word, tokens_); }

  /// One token alone is all of the word, known or not.
  void align(WordPiece::Worker& worker, std::string_view word) {
    worker.encode_word(word, ids_);
    const auto& pieces = std::get<WordPieceDefinition>(tokenizer_.definition_.model);
    put_in_a_row(
        ids_,
        [&](std::size_t i, TokenId id) {
          if (ids_.size() == 1) return word.size();
          if (pieces.byte_level) return std::size_t{tokenizer_.byte_lengths()[static_cast<std::size_t>(id)]};
          return name_of(id).size() - (i > 0 ? pieces.prefix.size() : 0);
        },
        tokens_);
  }

  void align(WordLevel::Worker& worker, std::string_view word) {
    worker.encode_word(word, ids_);
    put_in_a_row(ids_, [&](std::size_t, TokenId) { return word.size(); }, tokens_);
  }

  const PipelineTokenizer& tokenizer_;
  Encoding& encoding_;
  std::int32_t words_ = 0;
  std::vector<WordToken> tokens_;
  std::vector<TokenId> ids_;
};

const std::vector<std::uint32_t>& PipelineTokenizer::byte_lengths() const {
  std::call_once(byte_lengths_once_, [&] {
    byte_lengths_.resize(definition_.names.size());
    for (std::size_t id = 0; id < definition_.names.size(); ++id)
      if (const auto bytes = unspell_bytes(definition_.names[id])) byte_lengths_[id] = static_cast<std::uint32_t>(bytes->size());
  });
  return byte_lengths_;
}

PostProcessor::Part PipelineTokenizer::align_text(std::string_view text, bool parse_special) const {
  PostProcessor::Part part;
  part.bytes = byte_positions(text);
  std::string repaired;
  if (check_utf8(text)) {
    warn_once("utf8", "the text has bytes that are not UTF-8; they become U+FFFD");
    repaired = replace_invalid_utf8(text);
    text = repaired;
  }
  auto& encoding = part.encoding;
  std::visit(
      [&](const auto& model) {
        typename std::decay_t<decltype(*model)>::Worker worker(*model);
        Aligner aligner(*this, encoding);
        using AnyModel = std::decay_t<decltype(*model)>;
        if constexpr (std::is_same_v<AnyModel, Unigram> || std::is_same_v<AnyModel, CharacterBpe>)
          if (sentencepiece_) return align_as_sentencepiece(worker, text, parse_special, aligner);
        added_.split(AlignedText(text), parse_special, [&](const AlignedView& stretch, const AddedToken* token) {
          if (token) return aligner.put_added(stretch, token->id);
          pre_tokenizer_.for_each_aligned_word(stretch, [&](const AlignedView& word) { aligner.put_word(worker, word); });
        });
      },
      model_);
  encoding.types.resize(encoding.size());
  encoding.byte_offsets.resize(encoding.size());
  encoding.special.resize(encoding.size());
  encoding.attention.resize(encoding.size(), 1);
  return part;
}

template <class Worker>
void PipelineTokenizer::align_as_sentencepiece(Worker& worker, std::string_view text, bool parse_special, Aligner& aligner) const {
  std::string spelled;
  std::vector<TextRange> ranges;
  const AlignedText aligned(text);
  added_.split_verbatim(text, parse_special, [&](std::string_view stretch, const AddedToken* token, bool) {
    const auto begin = static_cast<std::size_t>(stretch.data() - text.data());
    const auto view = aligned.view().slice(aligned.text().substr(begin, stretch.size()));
    if (token) return aligner.put_added(view, token->id);
    worker.begin_text();
    spelled.clear(), ranges.clear();
    sentencepiece_->append(view, spelled, ranges);
    if (spelled.empty()) return;
    const auto& model = *std::get<std::unique_ptr<const typename Worker::Model>>(model_);
    const AlignedView all{spelled, ranges.data(), view.base};
    const auto put = [&](std::string_view part) { aligner.put_word(worker, all.slice(part)); };
    if (model.is_cut_at_marks(0)) model.cuts().for_each_part(spelled, put);
    else put(spelled);
  });
}

bool PipelineTokenizer::keeps_every_byte() const {
  return definition_.joins_bytes() && normalizer_.changes_nothing() && !any_absent_ && pre_tokenizer_.keeps_every_byte() &&
         std::ranges::none_of(definition_.added_tokens, [](const AddedToken& token) { return token.lstrip || token.rstrip; });
}

std::optional<Truncation> PipelineTokenizer::own_truncation() const { return read_truncation(definition_.truncation, definition_.file); }

std::optional<Padding> PipelineTokenizer::own_padding() const { return read_padding(definition_.padding, definition_.file); }

Encoding PipelineTokenizer::encode_full(const TextPair& texts, const EncodingOptions& options) const {
  std::optional<PostProcessor::Part> second;
  if (texts.second) second = align_text(*texts.second, options.parse_special_tokens);
  return post_processor_.assemble(align_text(texts.first, options.parse_special_tokens), std::move(second), options);
}

}  // namespace isotrope
