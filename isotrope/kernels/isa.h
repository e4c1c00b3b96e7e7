#pragma once

#include <algorithm>
#include <string_view>

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define ISOTROPE_HAS_X86_VARIANTS 1
#else
#define ISOTROPE_HAS_X86_VARIANTS 0
#endif

namespace isotrope {

enum class Isa { baseline, avx2, avx512, avx512bf16 };

/// The widest instruction set that the processor has and ISOTROPE_ISA (baseline, avx2, avx512, avx512bf16) does not forbid; asked once.
/// Throws UsageError for another value of the variable.
Isa instruction_set();
std::string_view isa_name(Isa isa);

/// One of the versions of a kernel (for_each_isa.h).
template <class Function>
Function choose(Function avx512bf16, Function avx512, Function avx2, Function baseline) {
  switch (instruction_set()) {
    case Isa::avx512bf16: return avx512bf16;
    case Isa::avx512: return avx512;
    case Isa::avx2: return avx2;
    case Isa::baseline: break;
  }
  return baseline;
}

}  // namespace isotrope

#if ISOTROPE_HAS_X86_VARIANTS
#define ISOTROPE_CHOOSE(name) \
  ::isotrope::choose(&::isotrope::avx512bf16::name, &::isotrope::avx512::name, &::isotrope::avx2::name, &::isotrope::baseline::name)
#else
#define ISOTROPE_CHOOSE(name) (&::isotrope::baseline::name)
#endif
