#include "isotrope/kernels/retained_memory.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <sys/mman.h>

#include <array>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>
#include <unordered_map>
#include <vector>

namespace isotrope {

namespace {

constexpr std::size_t smallest = 64, huge_page = std::size_t{2} << 20;

/// Sizes given out: four steps a doubling, so that at most a fifth of a block is unused.
std::size_t class_of(std::size_t bytes) {
  if (bytes <= smallest) return 0;
  const auto exponent = static_cast<std::size_t>(std::bit_width(bytes - 1)) - 1;  // 2^exponent < bytes ≤ 2^(exponent + 1)
  const auto step = (std::size_t{1} << exponent) / 4;
  return (exponent - 6) * 4 + (bytes - (std::size_t{1} << exponent) + step - 1) / step;
}

std::size_t size_of_class(std::size_t index) { return (std::size_t{1} << (6 + index / 4)) / 4 * (4 + index % 4); }

class RetainingAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(std::size_t bytes) override {
    if (bytes == 0) return {nullptr, nullptr, &release, at::Device(at::kCPU)};
    if (class_of(bytes) >= free_.size()) throw std::bad_alloc();
    void* block = take(class_of(bytes));
    return {block, block, &release, at::Device(at::kCPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &release; }
  void copy_data(void* to, const void* from, std::size_t count) const override { std::memcpy(to, from, count); }

  RetainedMemory state() {
    const std::lock_guard lock(mutex_);
    return state_;
  }

  void trim() {
    const std::lock_guard lock(mutex_);
    for (auto& list : free_)
      for (void* block : list) class_of_block_.erase(block), std::free(block);
    for (auto& list : free_) list.clear();
    state_.kept = 0;
  }

 private:
  void* take(std::size_t index) {
    const auto size = size_of_class(index);
    {
      const std::lock_guard lock(mutex_);
      state_.in_use += size;
      if (auto& list = free_.at(index); !list.empty()) {
        void* block = list.back();
        list.pop_back();
        state_.kept -= size;
        return block;
      }
    }
    return fresh(index, size);
  }

  void* fresh(std::size_t index, std::size_t size) {
    const auto alignment = size >= huge_page ? huge_page : smallest;
    void* block = std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
    const std::lock_guard lock(mutex_);
    if (!block) {
      state_.in_use -= size;
      throw std::bad_alloc();
    }
    class_of_block_[block] = index;
    if (size >= huge_page) ::madvise(block, size, MADV_HUGEPAGE);  // a wish; nothing depends on it
    return block;
  }

  static void release(void* block);

  void keep(void* block) {
    const std::lock_guard lock(mutex_);
    const auto index = class_of_block_.at(block);
    free_.at(index).push_back(block);
    state_.in_use -= size_of_class(index), state_.kept += size_of_class(index);
  }

  std::mutex mutex_;
  std::array<std::vector<void*>, 168> free_;
  std::unordered_map<void*, std::size_t> class_of_block_;  // of every block, in use or kept
  RetainedMemory state_;
};

/// Never destroyed: tensors in static storage are freed after everything else.
RetainingAllocator& allocator() {
  static auto* instance = new RetainingAllocator;
  return *instance;
}

void RetainingAllocator::release(void* block) {
  if (block) allocator().keep(block);
}

}  // namespace

void retain_tensor_memory() {
  static const bool once = [] {
    c10::SetCPUAllocator(&allocator(), /*priority=*/1);
    return true;
  }();
  static_cast<void>(once);
}

RetainedMemory retained_memory() { return allocator().state(); }

void release_retained_memory() { allocator().trim(); }

}  // namespace isotrope
