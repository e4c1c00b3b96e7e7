#pragma once

#include <string>

#include "isotrope/report/run_set.h"

namespace isotrope {

/// The page with everything in it: one HTML file that shows `runs` from any place, without network and without this program. The same runs
/// give the same bytes. Scripts and styles are allowed by their SHA-256 alone; what the runs say is data and never markup.
std::string report_html(const RunSet& runs);

}  // namespace isotrope
