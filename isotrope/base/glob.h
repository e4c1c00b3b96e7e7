#pragma once

#include <fnmatch.h>

#include <string>

namespace isotrope {

/// Whether a shell pattern, as fnmatch(3) takes it, matches the whole name.
inline bool glob_matches(const std::string& pattern, const std::string& name) { return ::fnmatch(pattern.c_str(), name.c_str(), 0) == 0; }

}  // namespace isotrope
