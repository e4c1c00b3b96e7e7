#include "isotrope/data/pack.h"

#include <chrono>
#include <cmath>

#include "isotrope/base/error.h"
#include "isotrope/base/log.h"
#include "isotrope/base/progress.h"
#include "isotrope/base/random.h"
#include "isotrope/data/ordered_pool.h"
#include "isotrope/data/pack_output.h"
#include "isotrope/io/compressed.h"
#include "isotrope/io/json.h"
#include "isotrope/text/unicode/utf8.h"

namespace isotrope {

namespace {

constexpr std::size_t chunk_bytes = 1 << 18;

/// A stretch of the inputs' text that ends at byte `end` and belongs to one part.
struct Segment {
  std::uint64_t end;
  PackPart part;
};

struct RawText {
  TextPiece piece;
  PackPart part = PackPart::train;
  std::uint64_t line = 0;  ///< of a JSON line, from 1; 0: plain text
};

/// A batch for one worker, all of it from one file; `position`: of a journal to be written behind it.
struct Job {
  std::string file;
  std::vector<RawText> texts;
  std::optional<PackPosition> position = std::nullopt;
};

bool splits_by_bytes(const PackOptions& options) { return options.validation_tail > 0 || options.validation_bytes || options.train_bytes; }

void check(const Tokenizer& tokenizer, const PackOptions& options) {
  const auto part = [](std::string_view name, double value) {
    if (!(value >= 0 && value < 1)) throw UsageError(in_data, "{} {}: expected a number from 0 to below 1", name, value);
  };
  const auto range = [](std::string_view name, const std::optional<ByteRange>& bytes) {
    if (bytes && bytes->begin >= bytes->end) throw UsageError(in_data, "{} {}:{}: expected BEGIN < END", name, bytes->begin, bytes->end);
  };
  part("--validation", options.validation_fraction);
  part("--validation-tail", options.validation_tail);
  range("--validation-bytes", options.validation_bytes);
  range("--train-bytes", options.train_bytes);
  if ((options.validation_fraction > 0) + (options.validation_tail > 0) + options.validation_bytes.has_value() > 1)
    throw UsageError(in_data, "--validation, --validation-tail and --validation-bytes exclude each other");
  if (options.train_bytes && !options.validation_bytes && (options.validation_fraction > 0 || options.validation_tail > 0))
    throw UsageError(in_data, "--train-bytes goes with --validation-bytes");
  if (options.train_bytes && options.validation_bytes && options.train_bytes->begin < options.validation_bytes->end &&
      options.validation_bytes->begin < options.train_bytes->end)
    throw UsageError(in_data, "--train-bytes and --validation-bytes overlap");
  if (!(options.journal_seconds >= 0))
    throw UsageError(in_data, "--journal-every {}: expected seconds, 0 or more", options.journal_seconds);
  if (options.append_eos && !tokenizer.document_end())
    throw with_hint(UsageError(in_data, "the tokenizer has no end-of-text token"), "--no-eos packs documents without one");
}

std::uint64_t text_bytes(const fs::path& file) {
  if (without_compression(file) == file) return fs::file_size(file);
  const auto source = open_source(file, in_data);
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
    return {{static_cast<std::uint64_t>(std::floor(static_cast<double>(total) * (1 - options.validation_tail))), PackPart::train},
            {UINT64_MAX, PackPart::validation}};
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
    segments.push_back({points[i + 1], holds(options.validation_bytes, points[i]) ? PackPart::validation
                                       : train                                    ? PackPart::train
                                                                                  : PackPart::none});
  }
  return segments;
}

/// Equal beginnings, equal parts: a document that occurs twice never stands on both sides.
PackPart part_by_hash(std::string_view text, const PackOptions& options) {
  if (options.validation_fraction == 0) return PackPart::train;
  const auto key = "validation/" + std::string(text.substr(0, 4096));
  return RandomStream(options.seed, key).uniform() < options.validation_fraction ? PackPart::validation : PackPart::train;
}

// ---- the workers' side: text to ids -------------------------------------------------------------------------------

class Encoder {
 public:
  Encoder(const Tokenizer& tokenizer, const PackOptions& options)
      : tokenizer_(tokenizer),
        options_(options),
        encode_{.add_special_tokens = false, .parse_special_tokens = options.parse_special_tokens} {}

  EncodedBatch operator()(Job job) const {
    EncodedBatch batch{.texts = {}, .position = job.position};
    for (auto& text : job.texts) batch.texts.push_back(encode(job.file, text));
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
      if (options_.strict) throw InputError(in_data, "{}: byte {} is not UTF-8", file, raw.piece.offset + *broken);
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
      encoded.ids.push_back(*tokenizer_.document_end());
    return encoded;
  }

  std::string record_text(const std::string& file, const RawText& raw) const {
    const auto json = parse_json(raw.piece.text, in_data, file, {.first_line = raw.line});
    return JsonReader(json, std::string(in_data), fmt::format("{}: line {}", file, raw.line)).get_string(options_.text_key);
  }

  const Tokenizer& tokenizer_;
  const PackOptions& options_;
  EncodeOptions encode_;
};

// ---- the reader's side: files to jobs -----------------------------------------------------------------------------

using Pool = OrderedPool<Job, EncodedBatch>;

class Reader {
 public:
  /// Begins at `start`, where an earlier pack was cut off or where all begins. `progress` gets bytes of the input files.
  Reader(const PackOptions& options, const Encoder& encoder, std::vector<Segment> segments, const PackPosition& start, Pool& pool,
         std::function<void(std::uint64_t)> progress)
      : options_(options), encoder_(encoder), segments_(std::move(segments)), at_(start), pool_(pool), progress_(std::move(progress)) {}

  void read(const std::vector<fs::path>& files) {
    for (std::uint64_t i = 0; i < at_.file; ++i) done_ += fs::file_size(files[i]);
    while (at_.file < files.size()) {
      read(files[at_.file]);
      at_ = {.file = at_.file + 1, .text = at_.text, .segment = at_.segment, .consumed = done_};
    }
  }

  /// Hands on what waits for its batch to grow full.
  void flush() {
    if (!batch_.empty()) pool_.push({.file = file_, .texts = std::exchange(batch_, {})});
    batch_bytes_ = 0;
  }

  /// Where reading stands: behind everything that was handed on.
  const PackPosition& position() const { return at_; }

 private:
  void read(const fs::path& file) {
    file_ = file.string();
    const auto source = open_source(file, in_data);
    if (at_.splitter.offset > 0) source->skip(at_.splitter.offset);
    std::string pending(at_.read - at_.splitter.offset, '\0');
    if (source->read(pending) < pending.size()) throw InputError(in_data, "{}: shorter than it was", file_);
    if (is_json_lines(file)) read_lines(*source, std::move(pending));
    else read_text(*source, std::move(pending));
    flush();
    done_ += source->consumed();
  }

  /// `pending` was read by an earlier process and comes before what `source` gives.
  void read_text(ByteSource& source, std::string pending) {
    DocumentSplitter splitter(
        options_.documents, options_.piece_bytes, [this](auto left, auto right) { return encoder_.is_seam(left, right); },
        [this](TextPiece piece) { take(std::move(piece)); });
    splitter.restore(at_.splitter, std::move(pending));
    each_chunk(source, [&](std::string_view chunk) {
      while (!chunk.empty()) {
        const auto count = within_segment(chunk);
        if (count == 0) {
          splitter.finish();
          ++at_.segment;
          continue;
        }
        if (segment().part == PackPart::none) splitter.skip(count);
        else splitter.feed(chunk.substr(0, count));
        chunk.remove_prefix(count);
        at_.text += count;
      }
      at_.splitter = splitter.state();
    });
    splitter.finish();
  }

  const Segment& segment() const { return segments_[std::min<std::size_t>(at_.segment, segments_.size() - 1)]; }

  /// How many bytes of the chunk still belong to the current segment; a character that its end would cut belongs whole.
  std::size_t within_segment(std::string_view chunk) const {
    const auto end = segment().end;
    if (at_.text < end) return std::min<std::uint64_t>(chunk.size(), end - at_.text);
    std::size_t count = 0;
    while (count < chunk.size() && count < 3 && at_.text + count < end + 3 && (static_cast<unsigned char>(chunk[count]) & 0xC0) == 0x80)
      ++count;
    return count;
  }

  void read_lines(ByteSource& source, std::string line) {
    const auto end_line = [&] {
      ++at_.line;
      const auto length = line.size() + 1;
      if (line.find_first_not_of(" \t\r") != std::string::npos)
        queue({.piece = {.text = std::move(line), .offset = at_.splitter.offset}, .line = at_.line});
      line.clear();
      at_.splitter.offset += length;
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
      if (options_.stop_requested && options_.stop_requested()) throw Interrupted(in_data, "nothing was written");
      const auto count = source.read(buffer);
      take(std::string_view(buffer).substr(0, count));
      at_.read += count;
      at_.consumed = done_ + source.consumed();
      progress_(at_.consumed);
      write_journal_when_due();
      if (count < buffer.size()) return;
    }
  }

  void write_journal_when_due() {
    const auto now = std::chrono::steady_clock::now();
    if (std::chrono::duration<double>(now - last_journal_).count() < options_.journal_seconds) return;
    last_journal_ = now;
    flush();
    pool_.push({.file = file_, .texts = {}, .position = at_});
  }

  void take(TextPiece piece) {
    if (piece.begins_document) at_.part = segment().part == PackPart::train ? part_by_hash(piece.text, options_) : segment().part;
    queue({.piece = std::move(piece), .part = at_.part});
  }

  void queue(RawText text) {
    batch_bytes_ += text.piece.text.size() + 64;
    batch_.push_back(std::move(text));
    if (batch_bytes_ >= chunk_bytes) flush();
  }

  const PackOptions& options_;
  const Encoder& encoder_;
  const std::vector<Segment> segments_;
  PackPosition at_;
  Pool& pool_;
  std::function<void(std::uint64_t)> progress_;
  std::chrono::steady_clock::time_point last_journal_ = std::chrono::steady_clock::now();
  std::string file_;
  std::vector<RawText> batch_;
  std::size_t batch_bytes_ = 0;
  std::uint64_t done_ = 0;  ///< bytes of the files that are read to their end
};

std::string percent(std::uint64_t done, std::uint64_t total) {
  return fmt::format("{:.0f}%", 100.0 * static_cast<double>(done) / static_cast<double>(std::max<std::uint64_t>(1, total)));
}

/// Reads and encodes everything. After a stop what was packed before it is kept.
void read_all(Reader& reader, Pool& pool, PackOutput& output, const std::vector<fs::path>& files, std::uint64_t total) {
  try {
    reader.read(files);
    pool.finish();
  } catch (const Interrupted&) {
    reader.flush();
    pool.finish();
    if (!output.save(reader.position())) throw;
    throw Interrupted(in_data, "at {}, which is kept: the same command goes on from there, --restart begins anew",
                      percent(reader.position().consumed, total));
  } catch (...) {
    pool.finish();  // an error in what was read before comes first
    throw;
  }
}

void check_ranges(const PackOptions& options, std::uint64_t text_bytes, PackOutput& output) {
  for (const auto& range : {options.validation_bytes, options.train_bytes}) {
    if (!range || range->end <= text_bytes) continue;
    output.forget();
    throw InputError(in_data, "bytes {} to {} were asked for, the text has {}", range->begin, range->end, text_bytes);
  }
}

}  // namespace

PackReport pack(const Tokenizer& tokenizer, const PackOptions& options) {
  const auto started = std::chrono::steady_clock::now();
  check(tokenizer, options);
  const auto files = list_inputs(options.inputs);
  std::uint64_t total = 0;
  for (const auto& file : files) {
    if (splits_by_bytes(options) && is_json_lines(file))
      throw UsageError(in_data, "{}: JSON lines are split by documents (--validation), not by bytes", file.string());
    if (fs::is_regular_file(file)) total += fs::file_size(file);
  }

  PackOutput output(tokenizer, options, identify_pack(tokenizer, options, files));
  const auto start = output.start();
  if (start.consumed > 0)
    note(fmt::format("{}: goes on with the pack that was cut off here, at {}", options.output.string(), percent(start.consumed, total)));
  const Encoder encoder(tokenizer, options);
  Progress progress("packing", static_cast<std::int64_t>(total / 1'000'000), "MB");
  Pool pool(options.threads, [&](Job job) { return encoder(std::move(job)); }, [&](EncodedBatch batch) { output.write(std::move(batch)); });
  Reader reader(options, encoder, segments_of(files, options), start, pool, [&](std::uint64_t bytes) {
    progress.update(static_cast<std::int64_t>(bytes / 1'000'000), count_text(static_cast<double>(output.tokens())) + " tokens");
  });
  PackReport report;
  try {
    read_all(reader, pool, output, files, total);
    check_ranges(options, reader.position().text, output);
    report = output.commit();
  } catch (const Interrupted&) {
    throw;
  } catch (Error& error) {
    if (output.can_go_on())
      error.set_hint(error.hint() + (error.hint().empty() ? "" : "; ") +
                     "what is packed so far is kept, and the same command goes on from there");
    throw;
  }
  report.files = files.size();
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  return report;
}

}  // namespace isotrope
