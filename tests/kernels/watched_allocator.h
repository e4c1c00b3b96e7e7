#pragma once

#include <c10/core/Allocator.h>

#include <algorithm>
#include <cstdint>
#include <functional>

namespace isotrope::test {

/// The allocator that is there, watched.
struct WatchedAllocator final : c10::Allocator {
  c10::Allocator* inner = c10::GetAllocator(c10::DeviceType::CPU);
  std::size_t largest = 0;  // bytes
  c10::DataPtr allocate(std::size_t bytes) override {
    largest = std::max(largest, bytes);
    return inner->allocate(bytes);
  }
  c10::DeleterFnPtr raw_deleter() const override { return inner->raw_deleter(); }
  void copy_data(void* to, const void* from, std::size_t bytes) const override { default_copy_data(to, from, bytes); }
};

/// Bytes of the largest piece of memory that libtorch takes on the CPU during the work.
inline std::size_t largest_allocation(const std::function<void()>& work) {
  constexpr std::uint8_t priority = 1;  // as high as that of the memory that training keeps
  WatchedAllocator watched;
  c10::SetAllocator(c10::DeviceType::CPU, &watched, priority);
  work();
  c10::SetAllocator(c10::DeviceType::CPU, watched.inner, priority);
  return watched.largest;
}

}  // namespace isotrope::test
