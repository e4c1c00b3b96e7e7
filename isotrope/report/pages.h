#pragma once

#include <span>
#include <string_view>

namespace isotrope {

/// A file of the page, embedded into the library when it was built: those of web/ and uPlot's script and style.
struct PageFile {
  std::string_view name, text;
};

/// All of them, in no promised order.
std::span<const PageFile> page_files();

/// The text of the page file `name`; empty when there is none.
std::string_view page_text(std::string_view name);

}  // namespace isotrope
