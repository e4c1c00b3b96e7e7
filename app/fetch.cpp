// isotrope data fetch: a known corpus, or one's own URL, downloaded once it has been agreed to.
#include <atomic>
#include <csignal>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "app/common.h"
#include "app/data_commands.h"
#include "app/output.h"
#include "isotrope/base/error.h"
#include "isotrope/base/file.h"
#include "isotrope/base/log.h"
#include "isotrope/base/progress.h"
#include "isotrope/data/fetch.h"

namespace isotrope::app {

namespace {

struct FetchOptions {
  CommonOptions common;
  std::string name, url, sha256, output = ".";
  bool yes = false, list = false;
};

std::atomic<bool> interrupted{false};

void print_corpus(const Corpus& corpus) {
  std::puts(fmt::format("{}: {}\n  source   {}\n  licence  {}\n  size     {}\n  SHA-256  {}", corpus.name, corpus.about, corpus.url,
                        corpus.licence, corpus.bytes == 0 ? "unknown" : bytes_text(static_cast<double>(corpus.bytes)),
                        corpus.sha256.empty() ? "unknown" : corpus.sha256)
                .c_str());
}

/// The last part of the URL's path, without a query.
std::string file_name(const std::string& url) {
  const auto path = url.substr(0, url.find_first_of("?#"));
  const auto slash = path.rfind('/');
  const auto host_ends = path.find('/', path.find("://") + 3);
  const auto name = host_ends == path.npos ? "" : path.substr(slash + 1);
  if (name.empty() || name == "." || name == "..") throw UsageError("fetch", "{}: names no file; say --output FILE", url);
  return name;
}

/// --output, or a file in it when it is a folder.
fs::path output_of(const FetchOptions& options, const std::string& url) {
  const fs::path output = options.output;
  return fs::is_directory(output) ? output / file_name(url) : output;
}

void download(const FetchOptions& options, const std::string& url, const std::string& sha256) {
  const auto output = output_of(options, url);
  if (fs::exists(output) && !fs::is_regular_file(output)) throw UsageError("fetch", "{}: is not a regular file", output.string());
  Progress progress("downloading", 0, "MB");
  const auto previous = std::signal(SIGINT, [](int) { interrupted = true; });
  const auto result =
      fetch({.url = url, .sha256 = sha256, .output = output, .progress = [&](std::uint64_t done, std::uint64_t total) {
               progress.update(static_cast<std::int64_t>(done / 1000000), total ? "of " + bytes_text(static_cast<double>(total)) : "");
               return !interrupted;
             }});
  std::signal(SIGINT, previous);
  if (sha256.empty()) warn("no checksum was given: the bytes are what the server sent, SHA-256 " + result.sha256);
  if (options.common.json) {
    print_json({{"path", output.string()}, {"bytes", result.bytes}, {"sha256", result.sha256}, {"verified", !sha256.empty()}});
    return;
  }
  std::puts(fmt::format("{}: {} bytes, SHA-256 {}{}", output.string(), result.bytes, result.sha256, sha256.empty() ? "" : ", as expected")
                .c_str());
  if (output.extension() == ".zip") note("a zip archive: unpack it before `isotrope data pack`");
}

void run_fetch(const FetchOptions& options) {
  if (options.list) {
    for (const auto& corpus : known_corpora()) print_corpus(corpus);
    return;
  }
  if (options.name.empty() == options.url.empty()) throw UsageError("fetch", "expected a NAME, --url or --list");
  const Corpus asked = options.name.empty() ? Corpus{.name = "download",
                                                     .about = "as --url says",
                                                     .url = options.url,
                                                     .licence = "unknown",
                                                     .bytes = 0,
                                                     .sha256 = options.sha256}
                                            : find_corpus(options.name);
  const std::string sha256 = options.sha256.empty() ? std::string(asked.sha256) : options.sha256;
  if (options.yes) return download(options, std::string(asked.url), sha256);
  print_corpus(asked);
  note("nothing was downloaded; --yes downloads it");
}

}  // namespace

void add_data_fetch(CLI::App& data) {
  auto& command = *data.add_subcommand("fetch", "Show a public corpus' source, licence and size, and download it with --yes");
  const auto options = std::make_shared<FetchOptions>();
  command.add_option("name", options->name, "enwik8, text8, tinyshakespeare or wikitext-2")->type_name("NAME");
  command.add_option("--url", options->url, "Another source, http or https")->type_name("URL");
  command.add_option("--sha256", options->sha256, "What the download must hash to")->type_name("HEX");
  command.add_option("-o,--output", options->output, "File, or folder to put it into")->capture_default_str()->type_name("PATH");
  command.add_flag("--yes", options->yes, "Download; without it nothing is sent or written");
  command.add_flag("--list", options->list, "All known corpora");
  add_common_options(command, options->common);
  set_examples(command, {"isotrope data fetch tinyshakespeare", "isotrope data fetch tinyshakespeare --yes -o shakespeare.txt",
                         "isotrope data fetch --url https://example.org/corpus.txt.gz --sha256 HEX --yes"});
  command.callback([options] { run_fetch(*options); });
}

}  // namespace isotrope::app
