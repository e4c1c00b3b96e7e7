#pragma once

#include <CLI/App.hpp>

namespace isotrope::app {

/// Adds `isotrope data fetch` to the group `data` (app/fetch.cpp).
void add_data_fetch(CLI::App& data);

}  // namespace isotrope::app
