#pragma once

#include <atomic>
#include <cstdint>
#include <future>
#include <optional>
#include <string>
#include <vector>

#include "isotrope/base/file.h"
#include "isotrope/data/pack.h"
#include "isotrope/data/pack_journal.h"

namespace isotrope {

struct EncodedText {
  std::vector<TokenId> ids;
  std::uint64_t bytes = 0;
  PackPart part = PackPart::train;
  bool ends_document = true, replaced = false;
  std::string bad;  ///< what is wrong with the record; nothing else counts then
};

/// Texts in the order of the input; `position`: where reading stood behind them, when that is to be written down.
struct EncodedBatch {
  std::vector<EncodedText> texts;
  std::optional<PackPosition> position;
};

/// The writer's side of a pack: the locked output folder, its token files and the journal. One thread at a time calls write() and save().
class PackOutput {
 public:
  /// Goes on with the pack that was cut off in the folder, when there is one and it is the same as this; otherwise removes what it left.
  /// Without `identity` no journal is written.
  PackOutput(const Tokenizer& tokenizer, const PackOptions& options, std::optional<PackIdentity> identity);
  PackOutput(const PackOutput&) = delete;
  /// Without commit() what the journal needs stays; without a journal nothing does, and folders that this object created go again.
  ~PackOutput();

  const PackPosition& start() const { return start_; }  ///< where reading begins
  std::uint64_t tokens() const { return tokens_; }
  void write(EncodedBatch batch);
  /// A journal that says `position`; returns once it is on disk. False, and nothing is written, when there is nothing to go on from.
  bool save(const PackPosition& position);
  /// Whether a journal stands, so that this pack can be gone on with.
  bool can_go_on();
  /// Keeps nothing that a journal needs: the pack is done, or its inputs and options end in the same error every time.
  void forget();
  PackReport commit();

 private:
  void open(const TokenFileInfo& info);
  void go_on(const TokenFileInfo& info);
  void begin_save(const PackPosition& position);
  void add(const EncodedText& text);
  void finish(TokenFileWriter& file, std::string_view part);
  void put_tokenizer() const;

  const Tokenizer& tokenizer_;
  const PackOptions& options_;
  const std::optional<PackIdentity> identity_;
  const bool splits_;
  const fs::path journal_;
  std::vector<fs::path> created_;
  std::optional<FileLock> lock_;
  std::optional<TokenFileWriter> train_, validation_;
  PackPosition start_;
  std::uint64_t skipped_ = 0, replaced_ = 0;
  std::atomic<std::uint64_t> tokens_{0};
  std::string first_bad_;
  std::future<void> saving_;
};

}  // namespace isotrope
