// Precompiled once for each test program that does without the engine.
#include <gtest/gtest.h>

#include "core_pch.h"
