#include "isotrope/kernels/isa.h"

#include <cstdlib>

#include "isotrope/base/error.h"

namespace isotrope {

namespace {

Isa detect() {
#if ISOTROPE_HAS_X86_VARIANTS
  if (__builtin_cpu_supports("x86-64-v4")) return __builtin_cpu_supports("avx512bf16") ? Isa::avx512bf16 : Isa::avx512;
  if (__builtin_cpu_supports("x86-64-v3")) return Isa::avx2;
#endif
  return Isa::baseline;
}

Isa allowed() {
  const auto* wish = std::getenv("ISOTROPE_ISA");
  if (!wish || !*wish) return Isa::avx512bf16;
  for (const auto isa : {Isa::baseline, Isa::avx2, Isa::avx512, Isa::avx512bf16})
    if (wish == isa_name(isa)) return isa;
  throw UsageError("kernels", "ISOTROPE_ISA = \"{}\" is none of baseline, avx2, avx512, avx512bf16", wish);
}

}  // namespace

Isa instruction_set() {
  static const Isa isa = std::min(detect(), allowed());
  return isa;
}

std::string_view isa_name(Isa isa) {
  switch (isa) {
    case Isa::baseline: return "baseline";
    case Isa::avx2: return "avx2";
    case Isa::avx512: return "avx512";
    case Isa::avx512bf16: break;
  }
  return "avx512bf16";
}

}  // namespace isotrope
