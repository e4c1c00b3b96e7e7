// Another project's view of the core: its headers, a function from the library, the formatting it needs.
#include <array>
#include <cstdio>

#include "isotrope/base/error.h"
#include "isotrope/base/random.h"
#include "isotrope/runlog/reader.h"

int main() {
  const std::array<std::int64_t, 2> shape{2, 3};
  const auto words = isotrope::philox({0, 0, 0, 0}, {0, 0});
  std::puts(fmt::format("{} philox {:x}", isotrope::shape_text(shape), words[0]).c_str());
  return isotrope::number_of(nlohmann::json(1.0)) == 1.0 ? 0 : 1;
}
