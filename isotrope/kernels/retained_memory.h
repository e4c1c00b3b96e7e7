#pragma once

#include <cstddef>

namespace isotrope {

/// From this call on, the memory of CPU tensors is kept when it is freed and given out again, in place of going back to the system: a
/// training step asks for the same sizes every time, and new pages cost more than many of its products. Blocks of 2 MiB and more use huge
/// pages where the system offers them. Once in a process, before its first large tensor; later calls do nothing. Other allocators stay on
/// other devices.
void retain_tensor_memory();

struct RetainedMemory {
  std::size_t in_use = 0, kept = 0;  ///< bytes, rounded up to the sizes given out
};
RetainedMemory retained_memory();
/// Gives everything that is kept back to the system (after a phase with other shapes).
void release_retained_memory();

}  // namespace isotrope
