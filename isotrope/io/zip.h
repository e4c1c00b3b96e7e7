#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

namespace isotrope {

/// Calls visit(name, bytes) for the files of a zip archive whose names `wanted` accepts, sorted by name. `where` is the component in
/// errors. Throws InputError for a file that is no archive, a broken or encrypted entry, and where they hold more than `limit` bytes
/// together.
void for_each_zip_entry(const std::filesystem::path& path, std::string_view where, const std::function<bool(std::string_view name)>& wanted,
                        const std::function<void(const std::string& name, const std::string& bytes)>& visit,
                        std::size_t limit = std::size_t{1} << 28);

}  // namespace isotrope
