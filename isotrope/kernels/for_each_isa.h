// No include guard: include it once in a .cpp, after defining ISOTROPE_KERNELS as the path of a text of kernels.
// The text is compiled once for AVX-512 with bf16, once for AVX-512, once for AVX2 and once for the baseline of the platform, each in a
// namespace of its own; ISOTROPE_CHOOSE(name) is the one for the processor at hand. Function multiversioning by attribute would not do: GCC
// breaks vector types into baseline pieces before it makes the clones. ISOTROPE_ISA_LEVEL is 3, 2, 1, 0 in the four: GCC's own macros
// (__AVX512F__) do not follow the pragma in C++, where a file is cut into tokens before its pragmas act.
#include <c10/util/BFloat16.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "isotrope/kernels/isa.h"

#if ISOTROPE_HAS_X86_VARIANTS
#include <immintrin.h>

#pragma GCC push_options
#pragma GCC target("arch=x86-64-v4,avx512bf16,prefer-vector-width=512")
#define ISOTROPE_ISA_LEVEL 3
namespace isotrope::avx512bf16 {
namespace {
#include "isotrope/kernels/vector.inl"
#include ISOTROPE_KERNELS
}  // namespace
}  // namespace isotrope::avx512bf16
#undef ISOTROPE_ISA_LEVEL
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("arch=x86-64-v4,prefer-vector-width=512")
#define ISOTROPE_ISA_LEVEL 2
namespace isotrope::avx512 {
namespace {
#include "isotrope/kernels/vector.inl"
#include ISOTROPE_KERNELS
}  // namespace
}  // namespace isotrope::avx512
#undef ISOTROPE_ISA_LEVEL
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("arch=x86-64-v3")
#define ISOTROPE_ISA_LEVEL 1
namespace isotrope::avx2 {
namespace {
#include "isotrope/kernels/vector.inl"
#include ISOTROPE_KERNELS
}  // namespace
}  // namespace isotrope::avx2
#undef ISOTROPE_ISA_LEVEL
#pragma GCC pop_options
#endif

#define ISOTROPE_ISA_LEVEL 0
namespace isotrope::baseline {
namespace {
#include "isotrope/kernels/vector.inl"
#include ISOTROPE_KERNELS
}  // namespace
}  // namespace isotrope::baseline
#undef ISOTROPE_ISA_LEVEL
