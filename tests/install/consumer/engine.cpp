// Another project's view of the engine: libtorch's headers and libraries come with the package.
#include <ATen/ATen.h>

#include <cstdio>

#include "isotrope/base/error.h"

int main() { std::puts(isotrope::shape_text(at::ones({2, 3}).sizes().vec()).c_str()); }
