#include "isotrope/data/pack_output.h"

#include <algorithm>
#include <chrono>

#include "isotrope/base/error.h"
#include "isotrope/base/log.h"

namespace isotrope {

namespace {

/// Removes what a pack that was cut off left: everything, or only what cannot be gone on with. The folder is locked, so none of it belongs
/// to a process that lives. Returns whether there was any.
bool remove_leftovers(const fs::path& folder, bool everything) {
  std::vector<fs::path> leftovers;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const auto name = entry.path().filename().string();
    const auto begins = [&](std::string_view text) { return name.starts_with(text); };
    const bool needed = name == pack_journal_name || name.ends_with(".tokens.partial") || name.ends_with(".tokens.partial-documents");
    const bool ours = name == pack_journal_name || begins("pack.journal.partial-") || begins(".tokenizer.partial-") ||
                      begins("train.tokens.partial") || begins("validation.tokens.partial");
    if (ours && (everything || !needed)) leftovers.push_back(entry.path());
  }
  // The journal first: it must never speak of files that are another pack's.
  std::ranges::sort(leftovers, {}, [](const auto& path) { return path.filename() != pack_journal_name; });
  for (const auto& path : leftovers) {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
  return !leftovers.empty();
}

}  // namespace

PackOutput::PackOutput(const Tokenizer& tokenizer, const PackOptions& options, std::optional<PackIdentity> identity)
    : tokenizer_(tokenizer),
      options_(options),
      identity_(std::move(identity)),
      splits_(options.validation_fraction > 0 || options.validation_tail > 0 || options.validation_bytes),
      journal_(options.output / pack_journal_name) {
  for (auto folder = options.output; !folder.empty() && !fs::exists(folder); folder = folder.parent_path()) created_.push_back(folder);
  create_folders(options.output, in_data);
  lock_.emplace(options.output, in_data);
  TokenFileInfo info;
  info.vocab_size = tokenizer.vocab_size();
  info.fingerprint = tokenizer.fingerprint();
  info.tokenizer_name = options.tokenizer_name;
  if (options.append_eos) info.eos = tokenizer.document_end();
  open(info);
}

PackOutput::~PackOutput() {
  if (saving_.valid()) saving_.wait();
  train_.reset();
  validation_.reset();
  std::error_code ignored;
  for (const auto& folder : created_) fs::remove(folder, ignored);
}

void PackOutput::open(const TokenFileInfo& info) {
  std::string why = "its unfinished files are removed";
  if (fs::exists(journal_)) try {
      if (options_.restart) throw InputError(in_data, "--restart");
      if (!identity_) throw InputError(in_data, "an input is not a regular file");
      go_on(info);
      remove_leftovers(options_.output, false);
      return;
    } catch (const InputError& error) {
      why = "this one begins anew: " + error.message();
    }
  train_.reset();
  validation_.reset();
  if (remove_leftovers(options_.output, true)) note(fmt::format("{}: an earlier pack was cut off here; {}", options_.output.string(), why));
  train_.emplace(options_.output / "train.tokens", info);
  if (splits_) validation_.emplace(options_.output / "validation.tokens", info);
}

void PackOutput::go_on(const TokenFileInfo& info) {
  auto state = parse_pack_journal(read_file(journal_, in_data, 1 << 20), journal_.string(), *identity_);
  if (state.validation.has_value() != splits_) throw InputError(in_data, "{}: contradicts itself", journal_.string());
  if (state.skipped > options_.skip_bad) throw InputError(in_data, "{} bad records had been passed over", state.skipped);
  train_.emplace(options_.output / "train.tokens", info, state.train);
  if (splits_) validation_.emplace(options_.output / "validation.tokens", info, *state.validation);
  start_ = state.position;
  skipped_ = state.skipped;
  replaced_ = state.replaced;
  first_bad_ = std::move(state.first_bad);
  tokens_ = state.train.tokens + (state.validation ? state.validation->tokens : 0);
}

void PackOutput::write(EncodedBatch batch) {
  for (const auto& text : batch.texts) add(text);
  if (!batch.position || !identity_) return;
  // A disk that is still busy with the last journal gets no other: packing never waits for one.
  if (saving_.valid() && saving_.wait_for(std::chrono::seconds(0)) != std::future_status::ready) return;
  begin_save(*batch.position);
}

void PackOutput::add(const EncodedText& text) {
  if (!text.bad.empty()) {
    if (++skipped_ > options_.skip_bad)
      throw with_hint(InputError(in_data, "{}", text.bad), "--skip-bad N passes over up to N bad records");
    if (skipped_ == 1) first_bad_ = text.bad;
    return;
  }
  if (text.part == PackPart::none) return;
  auto& file = text.part == PackPart::validation ? *validation_ : *train_;
  file.add(text.ids);
  file.add_source_bytes(text.bytes);
  if (text.ends_document) file.end_document();
  replaced_ += text.replaced;
  tokens_ += text.ids.size();
}

// ---- the journal --------------------------------------------------------------------------------------------------

/// Writes out what there is and leaves the rest, which waits for the disk, to a thread.
void PackOutput::begin_save(const PackPosition& position) {
  if (saving_.valid()) saving_.get();
  PackState state{.position = position,
                  .skipped = skipped_,
                  .replaced = replaced_,
                  .first_bad = first_bad_,
                  .train = train_->save(),
                  .validation = std::nullopt};
  if (splits_) state.validation = validation_->save();
  saving_ = std::async(std::launch::async, [this, text = pack_journal_text(*identity_, state)] {
    train_->sync();
    if (splits_) validation_->sync();
    write_file(journal_, text, in_data);
    train_->keep(true);
    if (splits_) validation_->keep(true);
  });
}

bool PackOutput::save(const PackPosition& position) {
  if (!identity_ || position.consumed == 0) return false;
  begin_save(position);
  saving_.get();
  return true;
}

bool PackOutput::can_go_on() {
  if (saving_.valid()) saving_.wait();
  return fs::exists(journal_);
}

void PackOutput::forget() {
  if (saving_.valid()) saving_.wait();
  std::error_code ignored;
  fs::remove(journal_, ignored);
  train_->keep(false);
  if (splits_) validation_->keep(false);
}

// ---- the end ------------------------------------------------------------------------------------------------------

PackReport PackOutput::commit() {
  if (saving_.valid()) saving_.get();
  finish(*train_, "training");
  if (splits_) finish(*validation_, "validation");
  put_tokenizer();
  if (splits_) validation_->commit();
  train_->commit();
  forget();
  created_.clear();
  const auto stale = options_.output / "validation.tokens";
  if (!splits_ && fs::remove(stale)) note(fmt::format("{}: removed; it belonged to an earlier pack", stale.string()));
  if (skipped_ > 0) warn(fmt::format("{} bad records were passed over; the first: {}", skipped_, first_bad_));
  PackReport report{.skipped_records = skipped_, .replaced_documents = replaced_, .train = train_->info()};
  if (splits_) report.validation = validation_->info();
  return report;
}

void PackOutput::finish(TokenFileWriter& file, std::string_view part) {
  file.finish();
  if (file.info().token_count > 0) return;
  forget();
  if (!splits_) throw InputError(in_data, "{}: the input holds no text", options_.inputs.front().string());
  throw with_hint(InputError(in_data, "no text fell into the {} part", part), "--validation-tail cuts by bytes, however few the documents");
}

/// The tokenizer's files move in one by one, each whole.
void PackOutput::put_tokenizer() const {
  const AtomicFolder staging(options_.output / "tokenizer", in_data);
  tokenizer_.save(staging.path());
  for (const auto& entry : fs::directory_iterator(staging.path())) fs::rename(entry.path(), options_.output / entry.path().filename());
}

}  // namespace isotrope
