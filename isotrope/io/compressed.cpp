#include "isotrope/io/compressed.h"

#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <vector>

#include "isotrope/base/error.h"

namespace isotrope {

namespace {

/// The file itself.
class PlainSource : public ByteSource {
 public:
  PlainSource(const fs::path& path, std::string_view where) : path_(path), where_(where), file_(nullptr, std::fclose) {
    if (fs::is_directory(path)) throw InputError(where, "{}: is a folder, not a file", path.string());
    file_.reset(std::fopen(path.c_str(), "rbe"));
    if (!file_) throw InputError(where, "{}: cannot open: {}", path.string(), std::strerror(errno));
  }

  std::size_t read(std::span<char> out) override {
    const auto count = std::fread(out.data(), 1, out.size(), file_.get());
    if (count < out.size() && std::ferror(file_.get()))
      throw InputError(where_, "{}: cannot read: {}", path_.string(), std::strerror(errno));
    consumed_ += count;
    return count;
  }

  void skip(std::uint64_t bytes) override {
    if (::fseeko(file_.get(), static_cast<off_t>(bytes), SEEK_CUR) != 0)
      throw InputError(where_, "{}: cannot pass over {} bytes: {}", path_.string(), bytes, std::strerror(errno));
    consumed_ += bytes;
  }

  std::uint64_t consumed() const override { return consumed_; }

  [[noreturn]] void broken(std::string_view what) const { throw InputError(where_, "{}: {} at byte {}", path_.string(), what, consumed_); }

 private:
  fs::path path_;
  std::string where_;
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file_;
  std::uint64_t consumed_ = 0;
};

/// What the three decompressors share: they turn compressed chunks into output until one is full or the other is empty.
class CompressedSource : public ByteSource {
 public:
  CompressedSource(const fs::path& path, std::string_view where) : plain_(path, where), chunk_(1 << 16) {}

  std::size_t read(std::span<char> out) override {
    std::size_t done = 0;
    while (done < out.size()) {
      if (input_.empty() && !ended_) {
        const auto count = plain_.read(chunk_);
        ended_ = count < chunk_.size();
        input_ = std::span(chunk_).first(count);
      }
      const auto before = input_.size();
      const auto count = decode(input_, out.subspan(done));
      done += count;
      if (count > 0 || input_.size() != before) continue;
      if (!ended_) continue;
      if (!at_boundary()) plain_.broken("the compressed data is cut off");
      if (!input_.empty()) plain_.broken("the compressed data is followed by something else");
      break;
    }
    return done;
  }

  void skip(std::uint64_t bytes) override {
    std::vector<char> passed(std::min<std::uint64_t>(bytes, 1 << 18));
    while (bytes > 0) {
      const auto wanted = std::min<std::uint64_t>(bytes, passed.size());
      if (read(std::span(passed).first(wanted)) < wanted) plain_.broken("the text ends before the place to go on from");
      bytes -= wanted;
    }
  }

  std::uint64_t consumed() const override { return plain_.consumed(); }

 protected:
  /// Decodes from the front of `input`, which it shortens, into `out`; returns the bytes written.
  virtual std::size_t decode(std::span<char>& input, std::span<char> out) = 0;
  /// Whether the data may end here: before or after a whole member, stream or frame.
  virtual bool at_boundary() const = 0;
  bool ended() const { return ended_; }
  [[noreturn]] void corrupt(std::string_view kind) const { plain_.broken(fmt::format("the {} data is corrupt", kind)); }

 private:
  PlainSource plain_;
  std::vector<char> chunk_;
  std::span<char> input_;
  bool ended_ = false;
};

class GzipSource : public CompressedSource {
 public:
  GzipSource(const fs::path& path, std::string_view where) : CompressedSource(path, where) {
    if (::inflateInit2(&stream_, 15 + 16) != Z_OK) throw std::bad_alloc();
  }
  GzipSource(const GzipSource&) = delete;
  ~GzipSource() override { ::inflateEnd(&stream_); }

 protected:
  std::size_t decode(std::span<char>& input, std::span<char> out) override {
    if (finished_) {
      if (input.empty()) return 0;
      ::inflateReset(&stream_);  // files may hold several members, one after the other
      finished_ = false;
    }
    stream_.next_in = reinterpret_cast<Bytef*>(input.data());
    stream_.avail_in = static_cast<uInt>(input.size());
    stream_.next_out = reinterpret_cast<Bytef*>(out.data());
    stream_.avail_out = static_cast<uInt>(std::min<std::size_t>(out.size(), 1 << 30));
    const auto room = stream_.avail_out;
    const int result = ::inflate(&stream_, Z_NO_FLUSH);
    if (result == Z_STREAM_END) finished_ = true;
    else if (result != Z_OK && result != Z_BUF_ERROR) corrupt("gzip");
    input = input.last(stream_.avail_in);
    return room - stream_.avail_out;
  }
  bool at_boundary() const override { return finished_; }

 private:
  z_stream stream_{};
  bool finished_ = false;
};

class XzSource : public CompressedSource {
 public:
  XzSource(const fs::path& path, std::string_view where) : CompressedSource(path, where) {
    if (::lzma_stream_decoder(&stream_, UINT64_MAX, LZMA_CONCATENATED) != LZMA_OK) throw std::bad_alloc();
  }
  XzSource(const XzSource&) = delete;
  ~XzSource() override { ::lzma_end(&stream_); }

 protected:
  std::size_t decode(std::span<char>& input, std::span<char> out) override {
    if (finished_) return 0;
    stream_.next_in = reinterpret_cast<const std::uint8_t*>(input.data());
    stream_.avail_in = input.size();
    stream_.next_out = reinterpret_cast<std::uint8_t*>(out.data());
    stream_.avail_out = out.size();
    const auto result = ::lzma_code(&stream_, ended() ? LZMA_FINISH : LZMA_RUN);
    if (result == LZMA_STREAM_END) finished_ = true;
    else if (result != LZMA_OK && result != LZMA_BUF_ERROR) corrupt("xz");
    input = input.last(stream_.avail_in);
    return out.size() - stream_.avail_out;
  }
  bool at_boundary() const override { return finished_; }

 private:
  lzma_stream stream_ = LZMA_STREAM_INIT;
  bool finished_ = false;
};

class ZstdSource : public CompressedSource {
 public:
  ZstdSource(const fs::path& path, std::string_view where)
      : CompressedSource(path, where), stream_(::ZSTD_createDStream(), ::ZSTD_freeDStream) {
    if (!stream_) throw std::bad_alloc();
  }

 protected:
  std::size_t decode(std::span<char>& input, std::span<char> out) override {
    ZSTD_inBuffer in{input.data(), input.size(), 0};
    ZSTD_outBuffer to{out.data(), out.size(), 0};
    if (finished_ && input.empty()) return 0;
    const auto result = ::ZSTD_decompressStream(stream_.get(), &to, &in);
    if (::ZSTD_isError(result)) corrupt("zstd");
    finished_ = result == 0;
    input = input.subspan(in.pos);
    return to.pos;
  }
  bool at_boundary() const override { return finished_; }

 private:
  std::unique_ptr<ZSTD_DStream, std::size_t (*)(ZSTD_DStream*)> stream_;
  bool finished_ = false;
};

}  // namespace

std::unique_ptr<ByteSource> open_source(const fs::path& path, std::string_view where) {
  const auto extension = path.extension();
  if (extension == ".gz") return std::make_unique<GzipSource>(path, where);
  if (extension == ".xz") return std::make_unique<XzSource>(path, where);
  if (extension == ".zst") return std::make_unique<ZstdSource>(path, where);
  return std::make_unique<PlainSource>(path, where);
}

fs::path without_compression(const fs::path& path) {
  const auto extension = path.extension();
  return extension == ".gz" || extension == ".xz" || extension == ".zst" ? fs::path(path).replace_extension() : path;
}

}  // namespace isotrope
