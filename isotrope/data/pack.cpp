#include "isotrope/data/pack.h"

#include <atomic>
#include <chrono>
#include <cmath>

#include "isotrope/base/error.h"
#include "isotrope/base/log.h"
#include "isotrope/base/progress.h"
#include "isotrope/base/random.h"
#include "isotrope/data/ordered_pool.h"
#include "isotrope/io/compressed.h"
#include "isotrope/io/json.h"
#include "isotrope/text/utf8.h"

namespace isotrope {

namespace {

constexpr std::string_view where = "data";
constexpr std::size_t chunk_bytes = 1 << 18;

enum class Part { train, validation, none };

/// A stretch of the inputs' text that ends at byte `end` and belongs to one part.
struct Segment {
  std::uint64_t end;
  Part part;
};

struct RawText {
  TextPiece piece;
  Part part = Part::train;
  std::uint64_t line = 0;  ///< of a JSON line, from 1; 0: plain text
};

/// A batch for one worker, all of it from one file.
struct Job {
  std::string file;
  std::vector<RawText> texts;
};

struct EncodedText {
  std::vector<TokenId> ids;
  std::uint64_t bytes = 0;
  Part part = Part::train;
  bool ends_document = true, replaced = false;
  std::string bad;  ///< what is wrong with the record; nothing else counts then
};

using Batch = std::vector<EncodedText>;

bool splits_by_bytes(const PackOptions& options) { return options.validation_tail > 0 || options.validation_bytes || options.train_bytes; }

void check(const Tokenizer& tokenizer, const PackOptions& options) {
  const auto part = [](std::string_view name, double value) {
    if (!(value >= 0 && value < 1)) throw UsageError(where, "{} {}: expected a number from 0 to below 1", name, value);
  };
  const auto range = [](std::string_view name, const std::optional<ByteRange>& bytes) {
    if (bytes && bytes->begin >= bytes->end) throw UsageError(where, "{} {}:{}: expected BEGIN < END", name, bytes->begin, bytes->end);
  };
  part("--validation", options.validation_fraction);
  part("--validation-tail", options.validation_tail);
  range("--validation-bytes", options.validation_bytes);
  range("--train-bytes", options.train_bytes);
  if ((options.validation_fraction > 0) + (options.validation_tail > 0) + options.validation_bytes.has_value() > 1)
    throw UsageError(where, "--validation, --validation-tail and --validation-bytes exclude each other");
  if (options.train_bytes && !options.validation_bytes && (options.validation_fraction > 0 || options.validation_tail > 0))
    throw UsageError(where, "--train-bytes goes with --validation-bytes");
  if (options.train_bytes && options.validation_bytes && options.train_bytes->begin < options.validation_bytes->end &&
      options.validation_bytes->begin < options.train_bytes->end)
    throw UsageError(where, "--train-bytes and --validation-bytes overlap");
  if (options.append_eos && !tokenizer.eos())
    throw with_hint(UsageError(where, "the tokenizer has no end-of-text token"), "--no-eos packs documents without one");
}

std::uint64_t text_bytes(const fs::path& file) {
  if (without_compression(file) == file) return fs::file_size(file);
  const auto source = open_source(file, where);
  std::vector<char> buffer(chunk_bytes);
  std::uint64_t total = 0;
  for (;;) {
    const auto count = source->read(buffer);
    total += count;
    if (count < buffer.size()) return total;
  }
}

std::vector<Segment> segments_of(const std::vector<fs::path>& files, const PackOptions& options) {
  if (options.validation_tail > 0) {
    std::uint64_t total = 0;
    for (const auto& file : files) total += text_bytes(file);
    return {{static_cast<std::uint64_t>(std::floor(static_cast<double>(total) * (1 - options.validation_tail))), Part::train},
            {UINT64_MAX, Part::validation}};
  }
  const auto holds = [](const std::optional<ByteRange>& range, std::uint64_t at) { return range && range->begin <= at && at < range->end; };
  std::vector<std::uint64_t> points{0, UINT64_MAX};
  for (const auto& range : {options.validation_bytes, options.train_bytes})
    if (range) points.insert(points.end(), {range->begin, range->end});
  std::ranges::sort(points);
  std::vector<Segment> segments;
  for (std::size_t i = 0; i + 1 < points.size(); ++i) {
    if (points[i] == points[i + 1]) continue;
    const bool train = options.train_bytes ? holds(options.train_bytes, points[i]) : true;
    segments.push_back({points[i + 1], holds(options.validation_bytes, points[i]) ? Part::validation : train ? Part::train : Part::none});
  }
  return segments;
}

/// Equal beginnings, equal parts: a document that occurs twice never stands on both sides.
Part part_by_hash(std::string_view text, const PackOptions& options) {
  if (options.validation_fraction == 0) return Part::train;
  const auto key = "validation/" + std::string(text.substr(0, 4096));
  return RandomStream(options.seed, key).uniform() < options.validation_fraction ? Part::validation : Part::train;
}

// ---- the workers' side: text to ids -------------------------------------------------------------------------------

class Encoder {
 public:
  Encoder(const Tokenizer& tokenizer, const PackOptions& options)
      : tokenizer_(tokenizer),
        options_(options),
        encode_{.add_special_tokens = false, .parse_special_tokens = options.parse_special_tokens} {}

  Batch operator()(Job job) const {
    Batch batch;
    for (auto& text : job.texts) batch.push_back(encode(job.file, text));
    return batch;
  }

  /// Whether a text may be cut between the two without a change of its ids.
  bool is_seam(std::string_view left, std::string_view right) const {
    auto ids = tokenizer_.encode(left, encode_);
    const auto after = tokenizer_.encode(right, encode_);
    ids.insert(ids.end(), after.begin(), after.end());
    return ids == tokenizer_.encode(std::string(left) + std::string(right), encode_);
  }

 private:
  EncodedText encode(const std::string& file, RawText& raw) const {
    EncodedText encoded{.part = raw.part, .ends_document = raw.piece.ends_document};
    auto& text = raw.piece.text;
    if (const auto broken = check_utf8(text)) {
      if (options_.strict) throw InputError(where, "{}: byte {} is not UTF-8", file, raw.piece.offset + *broken);
      warn_once("data/utf8", fmt::format("{}: byte {} is not UTF-8; such bytes become U+FFFD (--strict makes this an error)", file,
                                         raw.piece.offset + *broken));
      text = replace_invalid_utf8(text);
      encoded.replaced = true;
    }
    if (raw.line > 0) {
      try {
        text = record_text(file, raw);
      } catch (const InputError& error) {
        encoded.bad = error.message();
        return encoded;
      }
      encoded.part = part_by_hash(text, options_);
    }
    encoded.bytes = text.size();
    encoded.ids = tokenizer_.encode(text, encode_);
    if (options_.append_eos && encoded.ends_document && (!text.empty() || !raw.piece.begins_document))
      encoded.ids.push_back(*tokenizer_.eos());
    return encoded;
  }

  std::string record_text(const std::string& file, const RawText& raw) const {
    const auto json = parse_json(raw.piece.text, where, file, {.first_line = raw.line});
    return JsonReader(json, std::string(where), fmt::format("{}: line {}", file, raw.line)).get_string(options_.text_key);
  }

  const Tokenizer& tokenizer_;
  const PackOptions& options_;
  EncodeOptions encode_;
};

// ---- the writer's side: ids to files ------------------------------------------------------------------------------

/// Removes the unfinished files of a pack that was killed. The folder is locked, so none of them belongs to a process that lives.
void remove_leftovers(const fs::path& folder) {
  std::vector<fs::path> leftovers;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const auto name = entry.path().filename().string();
    for (const std::string_view ours : {"train.tokens.partial-", "validation.tokens.partial-", ".tokenizer.partial-"})
      if (name.starts_with(ours)) leftovers.push_back(entry.path());
  }
  for (const auto& path : leftovers) {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
  if (!leftovers.empty()) note(fmt::format("{}: an earlier pack was cut off here; its unfinished files are removed", folder.string()));
}

class Output {
 public:
  Output(const Tokenizer& tokenizer, const PackOptions& options)
      : tokenizer_(tokenizer),
        options_(options),
        splits_(options.validation_fraction > 0 || options.validation_tail > 0 || options.validation_bytes) {
    for (auto folder = options.output; !folder.empty() && !fs::exists(folder); folder = folder.parent_path()) created_.push_back(folder);
    create_folders(options.output, where);
    lock_.emplace(options.output, where);
    remove_leftovers(options.output);
    TokenFileInfo info;
    info.vocab_size = tokenizer.vocab_size();
    info.fingerprint = tokenizer.fingerprint();
    info.tokenizer_name = options.tokenizer_name;
    if (options.append_eos) info.eos = tokenizer.eos();
    train_.emplace(options.output / "train.tokens", info);
    if (splits_) validation_.emplace(options.output / "validation.tokens", info);
  }
  Output(const Output&) = delete;

  /// Without commit() the folders that this object created go again, unless somebody put something there.
  ~Output() {
    train_.reset();
    validation_.reset();
    std::error_code ignored;
    for (const auto& folder : created_) fs::remove(folder, ignored);
  }

  void write(Batch batch) {
    for (const auto& text : batch) {
      if (!text.bad.empty()) {
        if (++skipped_ > options_.skip_bad)
          throw with_hint(InputError(where, "{}", text.bad), "--skip-bad N passes over up to N bad records");
        if (skipped_ == 1) first_bad_ = text.bad;
        continue;
      }
      if (text.part == Part::none) continue;
      auto& file = text.part == Part::validation ? *validation_ : *train_;
      file.add(text.ids);
      file.add_source_bytes(text.bytes);
      if (text.ends_document) file.end_document();
      replaced_ += text.replaced;
      tokens_ += text.ids.size();
    }
  }

  std::uint64_t tokens() const { return tokens_; }

  PackReport commit() {
    finish(*train_, "training");
    if (splits_) finish(*validation_, "validation");
    put_tokenizer();
    if (splits_) validation_->commit();
    train_->commit();
    created_.clear();
    const auto stale = options_.output / "validation.tokens";
    if (!splits_ && fs::remove(stale)) note(fmt::format("{}: removed; it belonged to an earlier pack", stale.string()));
    if (skipped_ > 0) warn(fmt::format("{} bad records were passed over; the first: {}", skipped_, first_bad_));
    PackReport report{.skipped_records = skipped_, .replaced_documents = replaced_, .train = train_->info()};
    if (splits_) report.validation = validation_->info();
    return report;
  }

 private:
  void finish(TokenFileWriter& file, std::string_view part) const {
    file.finish();
    if (file.info().token_count > 0) return;
    if (!splits_) throw InputError(where, "{}: the input holds no text", options_.inputs.front().string());
    throw with_hint(InputError(where, "no text fell into the {} part", part), "--validation-tail cuts by bytes, however few the documents");
  }

  /// The tokenizer's files move in one by one, each whole.
  void put_tokenizer() const {
    const AtomicFolder staging(options_.output / "tokenizer", where);
    tokenizer_.save(staging.path());
    for (const auto& entry : fs::directory_iterator(staging.path())) fs::rename(entry.path(), options_.output / entry.path().filename());
  }

  const Tokenizer& tokenizer_;
  const PackOptions& options_;
  const bool splits_;
  std::vector<fs::path> created_;
  std::optional<FileLock> lock_;
  std::optional<TokenFileWriter> train_, validation_;
  std::uint64_t skipped_ = 0, replaced_ = 0;
  std::atomic<std::uint64_t> tokens_{0};
  std::string first_bad_;
};

// ---- the reader's side: files to jobs -----------------------------------------------------------------------------

class Reader {
 public:
  Reader(const PackOptions& options, const Encoder& encoder, std::vector<Segment> segments, OrderedPool<Job, Batch>& pool,
         std::function<void(std::uint64_t)> progress)
      : options_(options), encoder_(encoder), segments_(std::move(segments)), pool_(pool), progress_(std::move(progress)) {}

  void read(const fs::path& file) {
    file_ = file.string();
    const auto source = open_source(file, where);
    if (is_json_lines(file)) read_lines(*source);
    else read_text(*source);
    send();
    done_ += source->consumed();
  }

  /// Bytes of text seen so far.
  std::uint64_t position() const { return position_; }

 private:
  void read_text(ByteSource& source) {
    DocumentSplitter splitter(
        options_.documents, options_.piece_bytes, [this](auto left, auto right) { return encoder_.is_seam(left, right); },
        [this](TextPiece piece) { take(std::move(piece)); });
    each_chunk(source, [&](std::string_view chunk) {
      while (!chunk.empty()) {
        const auto count = within_segment(chunk);
        if (count == 0) {
          splitter.finish();
          segments_.erase(segments_.begin());
          continue;
        }
        if (segments_.front().part == Part::none) splitter.skip(count);
        else splitter.feed(chunk.substr(0, count));
        chunk.remove_prefix(count);
        position_ += count;
      }
    });
    splitter.finish();
  }

  /// How many bytes of the chunk still belong to the current segment; a character that its end would cut belongs whole.
  std::size_t within_segment(std::string_view chunk) const {
    const auto end = segments_.front().end;
    if (position_ < end) return std::min<std::uint64_t>(chunk.size(), end - position_);
    std::size_t count = 0;
    while (count < chunk.size() && count < 3 && position_ + count < end + 3 && (static_cast<unsigned char>(chunk[count]) & 0xC0) == 0x80)
      ++count;
    return count;
  }

  void read_lines(ByteSource& source) {
    std::string line;
    std::uint64_t number = 0, offset = 0;
    const auto end_line = [&] {
      ++number;
      const auto length = line.size() + 1;
      if (line.find_first_not_of(" \t\r") != std::string::npos)
        queue({.piece = {.text = std::move(line), .offset = offset}, .line = number});
      line.clear();
      offset += length;
    };
    each_chunk(source, [&](std::string_view chunk) {
      for (auto at = chunk.find('\n'); at != std::string_view::npos; at = chunk.find('\n')) {
        line += chunk.substr(0, at);
        end_line();
        chunk.remove_prefix(at + 1);
      }
      line += chunk;
    });
    end_line();
  }

  template <class Take>
  void each_chunk(ByteSource& source, Take take) {
    std::string buffer(chunk_bytes, '\0');
    for (;;) {
      if (options_.stop_requested && options_.stop_requested()) throw Interrupted(where, "nothing was written");
      const auto count = source.read(buffer);
      take(std::string_view(buffer).substr(0, count));
      progress_(done_ + source.consumed());
      if (count < buffer.size()) return;
    }
  }

  void take(TextPiece piece) {
    if (piece.begins_document) part_ = segments_.front().part == Part::train ? part_by_hash(piece.text, options_) : segments_.front().part;
    queue({.piece = std::move(piece), .part = part_});
  }

  void queue(RawText text) {
    batch_bytes_ += text.piece.text.size() + 64;
    batch_.push_back(std::move(text));
    if (batch_bytes_ >= chunk_bytes) send();
  }

  void send() {
    if (!batch_.empty()) pool_.push({file_, std::exchange(batch_, {})});
    batch_bytes_ = 0;
  }

  const PackOptions& options_;
  const Encoder& encoder_;
  std::vector<Segment> segments_;
  OrderedPool<Job, Batch>& pool_;
  std::function<void(std::uint64_t)> progress_;
  std::string file_;
  std::vector<RawText> batch_;
  std::size_t batch_bytes_ = 0;
  std::uint64_t position_ = 0, done_ = 0;
  Part part_ = Part::train;
};

}  // namespace

PackReport pack(const Tokenizer& tokenizer, const PackOptions& options) {
  const auto started = std::chrono::steady_clock::now();
  check(tokenizer, options);
  const auto files = list_inputs(options.inputs);
  std::uint64_t total = 0;
  for (const auto& file : files) {
    if (splits_by_bytes(options) && is_json_lines(file))
      throw UsageError(where, "{}: JSON lines are split by documents (--validation), not by bytes", file.string());
    if (fs::is_regular_file(file)) total += fs::file_size(file);
  }

  Output output(tokenizer, options);
  const Encoder encoder(tokenizer, options);
  Progress progress("packing", static_cast<std::int64_t>(total / 1'000'000), "MB");
  OrderedPool<Job, Batch> pool(
      options.threads, [&](Job job) { return encoder(std::move(job)); }, [&](Batch batch) { output.write(std::move(batch)); });
  Reader reader(options, encoder, segments_of(files, options), pool, [&](std::uint64_t bytes) {
    progress.update(static_cast<std::int64_t>(bytes / 1'000'000), count_text(static_cast<double>(output.tokens())) + " tokens");
  });
  try {
    for (const auto& file : files) reader.read(file);
  } catch (...) {
    pool.finish();  // an error in what was read before comes first
    throw;
  }
  pool.finish();
  for (const auto& range : {options.validation_bytes, options.train_bytes})
    if (range && range->end > reader.position())
      throw InputError(where, "bytes {} to {} were asked for, the text has {}", range->begin, range->end, reader.position());
  auto report = output.commit();
  report.files = files.size();
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  return report;
}

}  // namespace isotrope
