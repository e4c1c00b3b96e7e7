#include "isotrope/report/report.h"

#include <openssl/evp.h>

#include <array>
#include <stdexcept>

#include "isotrope/base/error.h"
#include "isotrope/report/pages.h"
#include "isotrope/report/views.h"
#include "isotrope_version.h"

namespace isotrope {

namespace {

/// The page's modules, what is imported before what imports it.
constexpr std::array modules = {"format.js", "source.js",  "plot.js",    "rows.js",   "heatmap.js",
                                "charts.js", "compare.js", "spectra.js", "panels.js", "main.js"};

constexpr std::size_t bytes_for_spectra = 2'000'000;  // of all runs together: a report is sent by mail

/// `'sha256-…'`: how a policy names an inline script or style.
std::string policy_hash(std::string_view text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  ::EVP_Digest(text.data(), text.size(), digest.data(), &size, ::EVP_sha256(), nullptr);
  std::array<unsigned char, 2 * EVP_MAX_MD_SIZE> encoded{};
  const int length = ::EVP_EncodeBlock(encoded.data(), digest.data(), static_cast<int>(size));
  return "'sha256-" + std::string(reinterpret_cast<const char*>(encoded.data()), static_cast<std::size_t>(length)) + "'";
}

/// All modules as one. They keep to two rules for this: an import is one line, and no two have a top-level name in common.
std::string joined_modules() {
  std::string script;
  for (const auto* name : modules)
    for (auto text = page_text(name); !text.empty();) {
      auto line = text.substr(0, text.find('\n'));
      text.remove_prefix(std::min(text.size(), line.size() + 1));
      if (line.starts_with("import ")) continue;
      if (line.starts_with("export ")) line.remove_prefix(7);
      script.append(line).append("\n");
    }
  return script;
}

/// Puts `fresh` in the place of the one occurrence of `old`.
void replace(std::string& text, std::string_view old, std::string_view fresh) {
  const auto at = text.find(old);
  if (at == text.npos) throw std::logic_error("web/index.html lacks " + std::string(old));
  text.replace(at, old.size(), fresh);
}

std::string list(const RunSet& runs, const auto& text_of) {
  std::string all = "[";
  for (std::size_t i = 0; i < runs.size(); ++i) all += (i > 0 ? "," : "") + text_of(runs[i]);
  return all + "]";
}

/// Safe inside a script element: JSON may write `<` as \u003c.
std::string escaped(std::string_view json) {
  std::string text;
  for (const char c : json) text += c == '<' ? std::string("\\u003c") : std::string(1, c);
  return text;
}

/// {NAME: table_json()} of every table.
std::string tables_json(const FollowedRun& run) {
  std::string all = "{";
  for (const auto& [name, rows] : run.curves().tables()) all += (all.size() > 1 ? "," : "") + json_text(name) + ":" + table_json(run, name);
  return all + "}";
}

std::string data_json(const RunSet& runs) {
  std::size_t with_spectra = 0;
  for (std::size_t i = 0; i < runs.size(); ++i) with_spectra += !runs[i].curves().spectra().empty();
  const auto share = bytes_for_spectra / std::max<std::size_t>(with_spectra, 1);
  return "{\"made\":\"Isotrope " ISOTROPE_VERSION "\",\"runs\":" + runs_json(runs, false) + ",\"comparison\":" + comparison_json(runs) +
         ",\"series\":" + list(runs, [](const FollowedRun& run) { return series_json(run, {}); }) +
         ",\"events\":" + list(runs, [](const FollowedRun& run) { return events_json(run); }) +
         ",\"samples\":" + list(runs, [](const FollowedRun& run) { return samples_json(run); }) +
         ",\"tables\":" + list(runs, [](const FollowedRun& run) { return tables_json(run); }) +
         ",\"spectra\":" + list(runs, [&](const FollowedRun& run) { return spectra_json(run, share); }) +
         ",\"configs\":" + list(runs, [](const FollowedRun& run) { return json_text(run.config()); }) + "}";
}

}  // namespace

std::string report_html(const RunSet& runs) {
  const auto script = joined_modules();
  const std::string plot_script(page_text("uPlot.iife.min.js")), plot_style(page_text("uPlot.min.css")), style(page_text("style.css"));
  std::string page(page_text("index.html"));
  const auto policy = fmt::format("default-src 'none'; script-src {} {}; style-src {} {}; base-uri 'none'; form-action 'none'",
                                  policy_hash(plot_script), policy_hash(script), policy_hash(plot_style), policy_hash(style));
  replace(page, "<meta charset=\"utf-8\">\n",
          fmt::format("<meta charset=\"utf-8\">\n<meta http-equiv=\"Content-Security-Policy\" content=\"{}\">\n", policy));
  replace(page, "<link rel=\"icon\" href=\"icon.svg\" type=\"image/svg+xml\">\n", "");
  replace(page, "<link rel=\"stylesheet\" href=\"uPlot.min.css\">", "<style>" + plot_style + "</style>");
  replace(page, "<link rel=\"stylesheet\" href=\"style.css\">", "<style>" + style + "</style>");
  replace(page, "<script src=\"uPlot.iife.min.js\"></script>",
          "<script type=\"application/json\" id=\"data\">" + escaped(data_json(runs)) + "</script>\n<script>" + plot_script + "</script>");
  replace(page, "<script type=\"module\" src=\"main.js\"></script>", "<script type=\"module\">" + script + "</script>");
  return page;
}

}  // namespace isotrope
