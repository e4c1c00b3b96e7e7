#include "isotrope/text/pipeline.h"

#include <algorithm>
#include <bit>
#include <exception>
#include <thread>
#include <type_traits>

#include "isotrope/base/error.h"
#include "isotrope/base/file.h"
#include "isotrope/base/log.h"
#include "isotrope/base/sha256.h"
#include "isotrope/text/files/sentencepiece_rules.h"
#include "isotrope/text/models/id_room.h"
#include "isotrope/text/steps/byte_alphabet.h"
#include "isotrope/text/steps/sentencepiece_decoder.h"
#include "isotrope/text/unicode/utf8.h"

namespace isotrope {

namespace {

/// The added tokens that are looked for in text. A SentencePiece model finds its user-defined pieces by itself.
std::vector<AddedToken> tokens_to_find(const TokenizerDefinition& definition) {
  auto tokens = definition.added_tokens;
  if (definition.sentencepiece)
    std::erase_if(tokens, [&](const AddedToken& token) {
      const auto type = definition.sentencepiece->type_of(static_cast<std::size_t>(token.id));
      return type == static_cast<std::uint8_t>(PieceType::user_defined);
    });
  return tokens;
}

/// The names of all tokens as decode() takes them: an added token as it is looked for.
std::vector<std::string> decoded_names(const TokenizerDefinition& definition, const AddedTokenMatcher& added) {
  auto names = definition.names;
  const auto tokens = tokens_to_find(definition);
  for (std::size_t i = 0; i < tokens.size(); ++i) names[static_cast<std::size_t>(tokens[i].id)] = added.patterns()[i];
  return names;
}

/// What each id stands for inside running text: an added token for its written form, a model token for its bytes.
std::vector<std::string> written_forms(const TokenizerDefinition& definition, std::vector<std::string> names, const Decoder& decoder) {
  std::vector<bool> is_added(names.size());
  for (const auto& token : definition.added_tokens) is_added[static_cast<std::size_t>(token.id)] = true;
  for (std::size_t id = 0; id < names.size(); ++id) {
    if (is_added[id] || !definition.in_model[id]) continue;
    names[id] = definition.joins_bytes() ? unspell_bytes(names[id]).value_or(names[id]) : decoder.bytes_of(names[id], false);
  }
  return names;
}

/// SHA-256 of numbers and texts, each text with its length so that no two sequences of them look alike.
class Digest {
 public:
  void number(std::int64_t value) { hash_.add({reinterpret_cast<const char*>(&value), sizeof value}); }
  void text(std::string_view bytes) {
    number(static_cast<std::int64_t>(bytes.size()));
    hash_.add(bytes);
  }
  std::string hex() { return hash_.hex(); }

 private:
  Sha256 hash_;
};

void add_model(Digest& digest, const TokenizerDefinition& definition) {
  if (const auto* words = std::get_if<WordLevelDefinition>(&definition.model)) {
    digest.text("WordLevel");
    digest.number(words->unknown);
    return;
  }
  if (const auto* pieces = std::get_if<WordPieceDefinition>(&definition.model)) {
    digest.text("WordPiece");
    digest.number(pieces->unknown);
    digest.text(pieces->prefix);
    digest.number(static_cast<std::int64_t>(pieces->longest_word));
    return;
  }
  if (const auto* unigram = std::get_if<UnigramDefinition>(&definition.model)) {
    digest.text("Unigram");
    for (const auto score : unigram->scores) digest.number(std::bit_cast<std::int64_t>(score));
    digest.number(unigram->unknown.value_or(-1));
    digest.number(unigram->byte_fallback);
    return;
  }
  const auto& bpe = std::get<BpeDefinition>(definition.model);
  digest.number(static_cast<std::int64_t>(bpe.merges.size()));
  for (const auto& merge : bpe.merges) digest.number(merge.left), digest.number(merge.right);
  digest.number(bpe.ignore_merges);
  if (bpe.byte_level) return;
  digest.text("characters");
  digest.number(bpe.byte_fallback);
  digest.number(bpe.fuse_unknown);
  digest.number(bpe.unknown.value_or(-1));
  if (bpe.prefix.empty() && bpe.suffix.empty()) return;
  digest.text(bpe.prefix);
  digest.text(bpe.suffix);
}

/// The bytes of valid UTF-8 that no token of a byte-level model stands for.
std::array<bool, 256> absent_bytes(const TokenizerDefinition& definition) {
  std::array<bool, 256> absent{};
  if (!definition.is_byte_level()) return absent;
  for (int byte = 0; byte < 256; ++byte) absent[static_cast<std::size_t>(byte)] = byte != 0xC0 && byte != 0xC1 && byte < 0xF5;
  for (std::size_t id = 0; id < definition.names.size(); ++id) {
    if (!definition.in_model[id]) continue;
    if (const auto bytes = unspell_bytes(definition.names[id]); bytes && bytes->size() == 1)
      absent[static_cast<unsigned char>(bytes->front())] = false;
  }
  return absent;
}

}  // namespace

BpeModel::Parts bpe_parts(const TokenizerDefinition& definition) {
  const auto& bpe = std::get<BpeDefinition>(definition.model);
  BpeModel::Parts parts;
  for (std::size_t id = 0; id < definition.names.size(); ++id) {
    if (!definition.in_model[id]) continue;
    const auto model_bytes = unspell_bytes(definition.names[id]);
    if (!model_bytes) continue;  // a name outside the byte alphabet: no text reaches it through the model
    if (model_bytes->size() == 1) parts.byte_ids[static_cast<unsigned char>(model_bytes->front())] = static_cast<TokenId>(id);
    parts.words.emplace_back(*model_bytes, static_cast<TokenId>(id));
  }
  parts.merges = bpe.merges;
  parts.ignore_merges = bpe.ignore_merges;
  return parts;
}

PipelineTokenizer::Model PipelineTokenizer::make_model(const TokenizerDefinition& definition) {
  if (std::holds_alternative<WordLevelDefinition>(definition.model)) return std::make_unique<const WordLevel>(definition);
  if (std::holds_alternative<WordPieceDefinition>(definition.model)) return std::make_unique<const WordPiece>(definition);
  if (definition.is_byte_level()) return std::make_unique<const BpeModel>(bpe_parts(definition));
  if (std::holds_alternative<UnigramDefinition>(definition.model)) return std::make_unique<const Unigram>(definition);
  return std::make_unique<const CharacterBpe>(definition);
}

std::unique_ptr<const BertEncoder> PipelineTokenizer::make_bert_encoder() const {
  const auto* pieces = std::get_if<std::unique_ptr<const WordPiece>>(&model_);
  return pieces && pre_tokenizer_.is_bert_alone() && added_.is_verbatim() ? BertEncoder::make(normalizer_, **pieces) : nullptr;
}

PipelineTokenizer::PipelineTokenizer(TokenizerDefinition definition)
    : definition_(std::move(definition)),
      normalizer_(definition_.sentencepiece ? nlohmann::json() : definition_.normalizer, definition_.file),
      pre_tokenizer_(definition_.sentencepiece ? nlohmann::json() : definition_.pre_tokenizer, definition_.is_byte_level(),
                     definition_.file),
      added_(tokens_to_find(definition_), normalizer_),
      model_(make_model(definition_)),
      bert_(make_bert_encoder()),
      post_processor_(definition_.post_processor, definition_.names.size(), definition_.file),
      decoder_(definition_.joins_bytes() ? Decoder() : Decoder(definition_.decoder, definition_.file)),
      decoded_names_(decoded_names(definition_, added_)),
      bytes_(written_forms(definition_, decoded_names_, decoder_)),
      special_(definition_.names.size()),
      present_(definition_.in_model),
      absent_(absent_bytes(definition_)),
      any_absent_(std::ranges::count(absent_, true) > 0) {
  if (definition_.sentencepiece && definition_.special.unk) {  // it is decoded to a text of its own
    bytes_[static_cast<std::size_t>(*definition_.special.unk)] = definition_.sentencepiece->unknown_surface;
  }
  for (const auto& token : definition_.added_tokens) {
    const bool is_unknown = definition_.sentencepiece && definition_.special.unk == token.id;
    special_[static_cast<std::size_t>(token.id)] = token.special && !is_unknown;
    present_[static_cast<std::size_t>(token.id)] = true;
  }
  ids_.reserve(definition_.names.size());
  for (std::size_t id = 0; id < definition_.names.size(); ++id)
    if (present_[id]) ids_[definition_.names[id]] = static_cast<TokenId>(id);  // of equal pieces of a Unigram model the last counts
  cuttable_ = may_be_cut();
  if (definition_.sentencepiece) sentencepiece_.emplace(definition_);
  cuts_ = find_cuts();
  aligns_ = pre_tokenizer_.needs_alignment(!normalizer_.changes_nothing());
}

const TokenizerDefinition& definition_of(const Tokenizer& tokenizer) {
  if (const auto* pipeline = dynamic_cast<const PipelineTokenizer*>(&tokenizer)) return pipeline->definition();
  throw InputError("tokenizer", "this tokenizer was not made of a definition");
}

std::shared_ptr<const Tokenizer> make_tokenizer(TokenizerDefinition definition) {
  find_usual_special_tokens(definition);
  return std::make_shared<PipelineTokenizer>(std::move(definition));
}

bool PipelineTokenizer::may_be_cut() const {
  if (definition_.sentencepiece) return false;  // single precision counts from the beginning
  const auto* bytes = std::get_if<std::unique_ptr<const BpeModel>>(&model_);
  return added_.allow_cuts_before_spaces() && normalizer_.allows_cuts_before_spaces() &&
         pre_tokenizer_.allows_cuts_before_spaces(bytes && (*bytes)->is_plain_bytes());
}

bool PipelineTokenizer::has_absent_byte(std::string_view text) const {
  return any_absent_ && std::ranges::any_of(text, [&](char c) { return absent_[static_cast<unsigned char>(c)]; });
}

std::optional<SpaceCuts> PipelineTokenizer::find_cuts() const {
  const auto* marks = std::visit(
      [&](const auto& model) -> const MarkCuts* {
        using AnyModel = std::remove_cvref_t<decltype(*model)>;
        if constexpr (std::is_same_v<AnyModel, Unigram> || std::is_same_v<AnyModel, CharacterBpe>)
          if (!pre_tokenizer_.is_null() || (model->is_cut_at_marks(0) && (sentencepiece_ || normalizer_.spells_marks())))
            return &model->cuts();
        return nullptr;
      },
      model_);
  if (!marks || !marks->joins_only_marks()) return std::nullopt;
  if (sentencepiece_) return sentencepiece_->cuts([&](unsigned char c) { return marks->may_cut_before(c); });
  const auto changes = normalizer_.changes_to_parts();
  return changes && added_.is_verbatim() && pre_tokenizer_.allows_parts() ? std::optional(SpaceCuts(*changes)) : std::nullopt;
}

bool PipelineTokenizer::is_encoded_by_cuts(std::size_t size) const {
  if (!cuts_ || sentencepiece_ || !pre_tokenizer_.is_null()) return cuts_.has_value();
  return std::visit(
      [&](const auto& model) {
        if constexpr (requires { model->is_cut_at_marks(size); }) return model->is_cut_at_marks(size);
        else return false;
      },
      model_);
}

namespace {

/// Once the first `done` bytes of a text have given some ids since `before`: makes room for those of all of it, if it is like them; but for
/// no more than an id a byte.
void reserve_for_parts(std::size_t done, std::size_t size, std::size_t before, std::vector<TokenId>& ids) {
  constexpr std::size_t some = 1024;
  if (ids.capacity() - ids.size() >= some || ids.size() - before < some) return;
  const double a_byte = static_cast<double>(ids.size() - before) / static_cast<double>(done);
  make_room(ids, ids.size() + static_cast<std::size_t>(std::min(a_byte * 1.1, 1.0) * static_cast<double>(size - done)) + some);
}

/// encode(raw, ids) appends the ids of a cut of the part; those of what stands at neither end are remembered.
template <class Worker, class Encode>
void encode_cut(Worker& worker, EncodeParts::Part& part, const TextPart& cut, std::size_t before, Encode&& encode) {
  reserve_for_parts(static_cast<std::size_t>(cut.text.data() - part.text.data()), part.text.size(), before, part.ids);
  if (cut.begins || cut.ends || cut.text.size() > WordKey::longest) encode(cut.text, part.ids);
  else worker.encode_raw(cut.key, cut.text, part.ids, encode);
}

}  // namespace

/// A stretch of a part between added tokens begins, or ends, where text does unless it goes on in the part before, or behind.
template <class Worker, class Visit>
void PipelineTokenizer::for_each_cut(Worker& worker, const EncodeParts::Part& part, std::string_view stretch, Visit&& visit) const {
  const bool begins = part.begins || stretch.data() != part.text.data();
  const bool ends = part.ends || stretch.data() + stretch.size() != part.text.data() + part.text.size();
  for_each_part(
      *cuts_, stretch, begins, ends, [&](const WordKey& key) { worker.prefetch(key); },
      [&](const WordKey& key) { worker.prefetch_more(key); }, visit);
}

template <class AnyModel>
void PipelineTokenizer::encode_cuts(typename AnyModel::Worker& worker, EncodeParts::Part& part, bool parse_special) const {
  Normalizer::Scratch scratch;
  auto& ids = part.ids;
  const auto before = ids.size();
  const auto may_begin = [&](std::string_view text) { return !pre_tokenizer_.asks_for_beginning() || normalizer_.keeps_beginning(text); };
  added_.split_verbatim(part.text, parse_special, [&](std::string_view stretch, const AddedToken* token, bool begins_text) {
    if (token) return ids.push_back(token->id);
    for_each_cut(worker, part, stretch, [&](const TextPart& cut) {
      const auto encode = [&](std::string_view raw, std::vector<TokenId>& out) {
        pre_tokenizer_.for_each_word(normalizer_.apply(raw, scratch, {.begins = cut.begins, .ends = cut.ends}),
                                     cut.begins && begins_text && may_begin(raw),
                                     [&](std::string_view word) { worker.compute_word(word, out); });
      };
      encode_cut(worker, part, cut, before, encode);
    });
  });
}

std::string_view PipelineTokenizer::spell(std::string_view raw, bool begins, bool ends, std::string& spelled) const {
  spelled.clear();
  sentencepiece_->append(raw, {.begins = begins, .ends = ends}, spelled);
  return spelled;
}

void PipelineTokenizer::encode_as_sentencepiece(CharacterBpe::Worker& worker, EncodeParts::Part& part, bool parse_special) const {
  std::string spelled;
  auto& ids = part.ids;
  const auto before = ids.size();
  added_.split_verbatim(part.text, parse_special, [&](std::string_view stretch, const AddedToken* token, bool) {
    if (token) return ids.push_back(token->id);
    if (!cuts_) return worker.encode_word(spell(stretch, true, true, spelled), ids);
    for_each_cut(worker, part, stretch, [&](const TextPart& cut) {
      const auto encode = [&](std::string_view raw, std::vector<TokenId>& out) {
        worker.compute_word(spell(raw, cut.begins, cut.ends, spelled), out);
      };
      encode_cut(worker, part, cut, before, encode);
    });
  });
}

void PipelineTokenizer::encode_as_sentencepiece(Unigram::Worker& worker, EncodeParts::Part& part, bool parse_special) const {
  constexpr std::size_t some = 128;  // words that are settled together
  std::string spelled;
  const auto spell_as = [&](std::string_view raw, bool begins, bool ends) { return spell(raw, begins, ends, spelled); };
  const auto before = part.ids.size();
  const auto settle_some = [&](std::size_t done) {
    if (part.settles_later || part.staged.words().size() < some) return;
    worker.settle(part.staged, spell_as, part.ids);
    reserve_for_parts(done, part.text.size(), before, part.ids);
  };
  const auto place = [&](std::string_view stretch) { return static_cast<std::size_t>(stretch.data() - part.text.data()); };
  added_.split_verbatim(part.text, parse_special, [&](std::string_view stretch, const AddedToken* token, bool) {
    if (!cuts_) {
      if (token) return part.ids.push_back(token->id);
      worker.begin_text();
      return worker.encode_word(spell(stretch, true, true, spelled), part.ids);
    }
    if (token) {
      part.staged.put_token(token->id);
      return settle_some(place(stretch));
    }
    for_each_cut(worker, part, stretch, [&](const TextPart& cut) {
      worker.stage(cut, spell_as, part.staged);
      settle_some(place(cut.text));
    });
  });
  if (!part.settles_later) worker.settle(part.staged, spell_as, part.ids);
}

template <class AnyModel>
void PipelineTokenizer::encode_text(typename AnyModel::Worker& worker, EncodeParts::Part& part, bool parse_special) const {
  if constexpr (std::is_same_v<AnyModel, Unigram> || std::is_same_v<AnyModel, CharacterBpe>) {
    if (sentencepiece_) return encode_as_sentencepiece(worker, part, parse_special);
    if (is_encoded_by_cuts(part.text.size())) return encode_cuts<AnyModel>(worker, part, parse_special);
  }
  auto& ids = part.ids;
  const auto pattern = pre_tokenizer_.only_pattern();
  const auto encode_stretch = [&](std::string_view stretch, const AddedToken* token, bool begins_text) {
    if (token) return ids.push_back(token->id);
    const bool drops = has_absent_byte(stretch);
    if constexpr (std::is_same_v<AnyModel, BpeModel>)
      if (pattern && !drops) return worker.encode(*pattern, stretch, ids);
    if (drops) warn_once("absent-bytes", fmt::format("[tokenizer] {}: bytes of the text that have no token are dropped", definition_.file));
    pre_tokenizer_.for_each_word(stretch, begins_text, [&](std::string_view word) {
      if (!has_absent_byte(word)) return worker.encode_word(word, ids);
      std::string rest(word);  // what is left of a word merges across the gap
      std::erase_if(rest, [&](char c) { return absent_[static_cast<unsigned char>(c)]; });
      worker.encode_word(rest, ids);
    });
  };
  added_.split(part.text, parse_special, encode_stretch, pre_tokenizer_.asks_for_beginning());
}

void PipelineTokenizer::with_worker(bool parse_special, const std::function<void(const EncodeParts::EncodePart&)>& use) const {
  if (aligns_) {
    return use([&](EncodeParts::Part& part) {
      const auto encoding = align_text(part.text, parse_special).encoding;
      part.ids.insert(part.ids.end(), encoding.ids.begin(), encoding.ids.end());
    });
  }
  if (bert_) {
    BertEncoder::Worker worker(*bert_);
    return use([&](EncodeParts::Part& part) {
      added_.split_verbatim(part.text, parse_special, [&](std::string_view stretch, const AddedToken* token, bool) {
        token ? part.ids.push_back(token->id) : worker.encode(stretch, part.ids);
      });
    });
  }
  std::visit(
      [&](const auto& model) {
        using AnyModel = std::remove_cvref_t<decltype(*model)>;
        typename AnyModel::Worker worker(*model);
        use([&](EncodeParts::Part& part) { encode_text<AnyModel>(worker, part, parse_special); });
      },
      model_);
}

std::vector<TokenId> PipelineTokenizer::encode(std::string_view text, const EncodeOptions& options) const {
  return encode_parallel(text, 1, options);
}

std::size_t PipelineTokenizer::safe_cut(std::string_view text, std::size_t position) const {
  if (!cuttable_) return text.size();
  for (auto i = std::max<std::size_t>(position, 1); i < text.size(); ++i) {
    const char before = text[i - 1];
    if (text[i] == ' ' && ((before >= 'a' && before <= 'z') || (before >= 'A' && before <= 'Z'))) return i;
  }
  return text.size();
}

/// As safe_cut(), for parts that know whether they are the first, the last, and of which the model may need all before.
std::size_t PipelineTokenizer::part_cut(std::string_view text, std::size_t position) const {
  constexpr std::size_t most_growth = 3;  // of bytes that are not UTF-8 where they become U+FFFD
  if (cuttable_ || aligns_ || !is_encoded_by_cuts(most_growth * text.size())) return safe_cut(text, position);
  for (auto i = std::max<std::size_t>(position, 1); i < text.size(); ++i)
    if (cuts_->may_cut(text, i) && added_.may_cut_between(static_cast<unsigned char>(text[i - 1]), static_cast<unsigned char>(text[i])))
      return i;
  return text.size();
}

std::vector<TokenId> PipelineTokenizer::encode_parallel(std::string_view text, int threads, const EncodeOptions& options) const {
  if (options.max_length > 0) {
    auto rest = options;
    rest.max_length = 0, rest.add_special_tokens = false;
    return assemble(encode_parallel(text, threads, rest), std::nullopt, options).ids;
  }
  const auto cut = [&](std::size_t position) { return threads > 1 ? part_cut(text, position) : text.size(); };
  EncodeParts::Settle settle;
  if (const auto* unigram = std::get_if<std::unique_ptr<const Unigram>>(&model_); unigram && sentencepiece_ && cuts_ && threads > 1)
    settle = [this, settler = std::make_shared<Unigram::Settler>(**unigram), spelled = std::string()](auto& part, auto& ids) mutable {
      settler->settle(part.staged, [&](std::string_view raw, bool begins, bool ends) { return spell(raw, begins, ends, spelled); }, ids);
    };
  EncodeParts parts(text, options.add_special_tokens ? post_processor_.before() : std::vector<TokenId>(), cut, std::move(settle));
  const auto encode_parts = [&](const EncodeParts::EncodePart& encode) {
    parts.work([&](EncodeParts::Part& part) {
      if (check_utf8(part.text)) {
        warn_once("utf8", "the text has bytes that are not UTF-8; they become U+FFFD");
        part.own = std::make_unique<const std::string>(replace_invalid_utf8(part.text));
        part.text = *part.own;
      }
      encode(part);
    });
  };
  const auto work = [&] {
    try {
      with_worker(options.parse_special_tokens, encode_parts);
    } catch (...) {
      parts.fail(std::current_exception());
    }
  };
  {
    std::vector<std::jthread> workers;
    const auto most = text.size() / EncodeParts::part_size;
    for (std::size_t thread = 1; thread < std::min(static_cast<std::size_t>(std::max(threads, 1)), most); ++thread)
      workers.emplace_back(work);
    work();
  }
  auto ids = parts.take();
  const auto& after = post_processor_.after();
  if (options.add_special_tokens) ids.insert(ids.end(), after.begin(), after.end());
  return ids;
}

void PipelineTokenizer::check_id(TokenId id) const {
  if (id < 0 || static_cast<std::size_t>(id) >= vocab_size())
    throw InputError("tokenizer", "id {} is out of range: the vocabulary has {} tokens", id, vocab_size());
}

std::string PipelineTokenizer::token_bytes(TokenId id) const {
  check_id(id);
  return bytes_[static_cast<std::size_t>(id)];
}

std::string PipelineTokenizer::token_bytes_at(TokenId id, bool first) const {
  check_id(id);
  if (definition_.joins_bytes() || !present_[static_cast<std::size_t>(id)]) return token_bytes(id);
  return decoder_.bytes_of(decoded_names_[static_cast<std::size_t>(id)], first);
}

std::string PipelineTokenizer::decode(std::span<const TokenId> ids, const DecodeOptions& options) const {
  if (definition_.joins_bytes()) return Tokenizer::decode(ids, options);
  if (definition_.sentencepiece) {
    for (const auto id : ids) check_id(id);
    return decode_as_sentencepiece(definition_, ids, options.skip_special_tokens, special_);
  }
  std::vector<std::string> names;
  names.reserve(ids.size());
  for (const auto id : ids) {
    check_id(id);
    if (!present_[static_cast<std::size_t>(id)]) continue;
    if (!options.skip_special_tokens || !special_[static_cast<std::size_t>(id)])
      names.push_back(decoded_names_[static_cast<std::size_t>(id)]);
  }
  return decoder_.decode(std::move(names));
}

TokenSequence PipelineTokenizer::assemble(std::vector<TokenId> first, std::optional<std::vector<TokenId>> second,
                                          const EncodeOptions& options) const {
  return post_processor_.assemble(std::move(first), std::move(second), options);
}

bool PipelineTokenizer::is_special(TokenId id) const {
  check_id(id);
  return special_[static_cast<std::size_t>(id)];
}

std::optional<TokenId> PipelineTokenizer::find(std::string_view token) const {
  const auto found = ids_.find(token);
  if (found == ids_.end()) return std::nullopt;
  return found->second;
}

void PipelineTokenizer::save(const std::filesystem::path& folder) const {
  write_file(folder / "tokenizer.json", write_tokenizer_json(definition_), "tokenizer");
  write_file(folder / "tokenizer_config.json", write_tokenizer_config(definition_), "tokenizer");
}

std::string PipelineTokenizer::fingerprint() const {
  Digest digest;
  digest.text(definition_.is_byte_level() ? "isotrope byte-level bpe 1" : "isotrope pipeline 1");
  digest.number(static_cast<std::int64_t>(definition_.names.size()));
  for (std::size_t id = 0; id < definition_.names.size(); ++id) {
    digest.text(definition_.names[id]);
    digest.number(definition_.in_model[id]);
  }
  add_model(digest, definition_);
  digest.text(definition_.pre_tokenizer.dump());
  for (const auto& token : definition_.added_tokens) {
    digest.text(token.content);
    for (const bool flag : {token.single_word, token.lstrip, token.rstrip, token.normalized, token.special}) digest.number(flag);
    digest.number(token.id);
  }
  for (const auto* ids : {&post_processor_.before(), &post_processor_.after()}) {
    digest.number(static_cast<std::int64_t>(ids->size()));
    for (const auto id : *ids) digest.number(id);
  }
  if (!definition_.normalizer.is_null() && !(normalizer_.changes_nothing() && !sentencepiece_)) digest.text(definition_.normalizer.dump());
  if (sentencepiece_) digest.text(describe_rules(definition_).dump());
  return digest.hex();
}

}  // namespace isotrope
