#pragma once

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace isotrope {

// What reading and writing a run log say when they fail.

inline constexpr std::string_view in_run_log = "run log";

inline std::string system_reason() { return std::strerror(errno); }

/// The value on one line; bytes that are not UTF-8 are replaced.
inline std::string line_text(const nlohmann::json& value) { return value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace); }

}  // namespace isotrope
