#include "isotrope/report/watch.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <random>

#include "isotrope/base/error.h"
#include "isotrope/report/pages.h"
#include "isotrope/report/views.h"

namespace isotrope {

namespace {

using namespace std::chrono_literals;

constexpr std::string_view json_type = "application/json";
constexpr auto look_for_runs_every = 2s, say_something_every = 15s;

std::string_view type_of(std::string_view name) {
  if (name.ends_with(".html")) return "text/html; charset=utf-8";
  if (name.ends_with(".js")) return "text/javascript; charset=utf-8";
  if (name.ends_with(".css")) return "text/css; charset=utf-8";
  return "image/svg+xml";
}

HttpResponse not_found() { return {.status = 404, .body = "there is nothing of this name\n"}; }
HttpResponse json_response(std::string text) { return {.type = std::string(json_type), .body = std::move(text)}; }

std::optional<double> number(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) return std::nullopt;
  return value;
}

/// The value of the query as a whole number of [low, high]; the fallback when it is absent or anything else.
std::int64_t integer(const HttpRequest& request, std::string_view name, std::int64_t fallback, std::int64_t low, std::int64_t high) {
  const auto value = number(request.asked(name));
  return value && *value >= static_cast<double>(low) && *value <= static_cast<double>(high) ? static_cast<std::int64_t>(*value) : fallback;
}

SeriesQuery series_query(const HttpRequest& request) {
  SeriesQuery query;
  for (auto keys = request.asked("keys"); !keys.empty();) {
    const auto key = keys.substr(0, keys.find(','));
    keys.remove_prefix(std::min(keys.size(), key.size() + 1));
    query.keys.emplace_back(key);
  }
  query.axis = request.asked("axis", "step");
  query.from = number(request.asked("from")).value_or(query.from);
  query.to = number(request.asked("to")).value_or(query.to);
  query.buckets = static_cast<std::size_t>(integer(request, "buckets", 800, 1, 20000));
  query.since = integer(request, "since", -1, 0, std::int64_t{1} << 52);
  return query;
}

/// The value of the cookie `name`.
std::string_view cookie(const HttpRequest& request, std::string_view name) {
  for (auto rest = request.header("cookie"); !rest.empty();) {
    auto one = rest.substr(0, rest.find(';'));
    rest.remove_prefix(std::min(rest.size(), one.size() + 1));
    one.remove_prefix(std::min(one.find_first_not_of(' '), one.size()));
    if (one.starts_with(name) && one.substr(name.size()).starts_with('=')) return one.substr(name.size() + 1);
  }
  return {};
}

}  // namespace

std::string_view page_text(std::string_view name) {
  for (const auto& file : page_files())
    if (file.name == name) return file.text;
  return {};
}

std::string random_token() {
  std::random_device device;
  std::string token;
  for (int i = 0; i < 4; ++i) token += fmt::format("{:08x}", device());
  return token;
}

WatchServer::WatchServer(RunSet& runs, const Options& options)
    : runs_(runs), options_(options), server_(options.http, [this](const HttpRequest& request) { return respond(request); }) {}

std::string WatchServer::url() const {
  const auto& host = options_.http.host;
  const std::string shown = host == "0.0.0.0" || host == "::" ? "localhost" : host.find(':') != host.npos ? "[" + host + "]" : host;
  return fmt::format("http://{}:{}/{}", shown, port(), options_.token.empty() ? "" : "?token=" + options_.token);
}

void WatchServer::run(const std::function<bool()>& keep_going) {
  auto looked = std::chrono::steady_clock::now(), spoke = looked;
  server_.run([&] {
    const auto now = std::chrono::steady_clock::now();
    bool changed = runs_.refresh();
    if (now - looked >= look_for_runs_every) {
      changed |= runs_.find_new();
      looked = now;
    }
    if (changed) server_.broadcast(news());
    else if (now - spoke >= say_something_every) server_.broadcast(": still here\n\n");  // keeps proxies and dead clients apart
    if (changed || now - spoke >= say_something_every) spoke = now;
    return keep_going();
  });
}

/// An event with each run's edition and number of records, and before it the edition of the comparison if there was one: enough for the
/// page to know what to ask for.
std::string WatchServer::news() const {
  const auto compared = runs_.comparison().edition();
  std::string text = (compared > 0 ? fmt::format("event: compare\ndata: {}\n\n", compared) : "") + "data: [";
  for (std::size_t i = 0; i < runs_.size(); ++i)
    text += fmt::format("{}[{},{}]", i > 0 ? "," : "", runs_[i].edition(), runs_[i].curves().records());
  return text + "]\n\n";
}

bool WatchServer::host_is_ours(std::string_view host) const {
  const auto port = fmt::format(":{}", server_.port());
  if (!host.ends_with(port)) return false;
  host.remove_suffix(port.size());
  return host == "127.0.0.1" || host == "localhost" || host == "[::1]";
}

/// Cookies do not tell ports apart: two servers on one machine need two names.
std::string WatchServer::cookie_name() const { return fmt::format("isotrope_token_{}", server_.port()); }

bool WatchServer::token_is_right(const HttpRequest& request) const {
  const auto bearer = request.header("authorization");
  return equal_in_constant_time(request.asked("token"), options_.token) ||
         equal_in_constant_time(cookie(request, cookie_name()), options_.token) ||
         (bearer.starts_with("Bearer ") && equal_in_constant_time(bearer.substr(7), options_.token));
}

HttpResponse WatchServer::respond(const HttpRequest& request) const {
  if (options_.token.empty()) {
    if (!host_is_ours(request.header("host"))) return {.status = 421, .body = "this page is served to its own address only\n"};
  } else {
    if (!token_is_right(request)) return {.status = 401, .body = "open the address with its token, as `isotrope watch` has printed it\n"};
    // The token goes from the address into a cookie, so that it stays out of the history and of what is copied from the address bar.
    if (request.path == "/" && request.query.contains("token"))
      return {.status = 303,
              .headers = {{"Location", "/"}, {"Set-Cookie", cookie_name() + "=" + options_.token + "; Path=/; HttpOnly; SameSite=Strict"}}};
  }
  if (request.path.starts_with("/api/")) return data(request);
  const auto name = request.path == "/" ? "index.html" : std::string_view(request.path).substr(1);
  const auto text = page_text(name);
  if (text.empty() || name == "report.html") return not_found();
  return {.type = std::string(type_of(name)), .body = std::string(text)};
}

HttpResponse WatchServer::data(const HttpRequest& request) const {
  if (request.path == "/api/runs") return json_response(runs_json(runs_));
  if (request.path == "/api/compare") return json_response(comparison_json(runs_));
  if (request.path == "/api/news") return {.type = "text/event-stream", .body = "retry: 1000\n" + news(), .stream = true};
  const auto index = integer(request, "run", -1, 0, static_cast<std::int64_t>(runs_.size()) - 1);
  if (index < 0) return not_found();
  const auto& run = runs_[static_cast<std::size_t>(index)];
  if (request.path == "/api/series") return json_response(series_json(run, series_query(request)));
  if (request.path == "/api/table")
    return json_response(table_json(run, request.asked("name"), static_cast<std::size_t>(integer(request, "columns", 400, 1, 4000))));
  if (request.path == "/api/spectrum")
    return json_response(
        spectrum_json(run, request.asked("name"), request.asked("row"), static_cast<std::size_t>(integer(request, "frames", 60, 2, 1000))));
  if (request.path == "/api/samples") return json_response(samples_json(run));
  if (request.path == "/api/events") return json_response(events_json(run));
  if (request.path == "/api/config") return {.body = run.config()};
  return not_found();
}

}  // namespace isotrope
