#pragma once

#include <cstdint>

namespace isotrope {

/// Bytes of physical memory that this process holds now, and the most that it has held; 0 where the system does not say.
std::int64_t resident_bytes();
std::int64_t peak_resident_bytes();

}  // namespace isotrope
