#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "isotrope/runlog/curves.h"

namespace isotrope {

/// A run's numbers and samples as the bytes of a TensorBoard event file (TFRecord framing, Event protocol buffers of version 2).
/// Tags: `train/loss`, `eval/nll`, `weights/matrix`, …; `TABLE/ROW`; `SPECTRUM/ROW` for the histogram of a spectrum's finite values in 30
/// equal buckets, as TensorBoard's own histogram_pb makes it; `sample` for texts. The time of a value is the run's start plus its `seconds`.
std::string tensorboard_events(const RunCurves& run);

/// Writes tensorboard_events() to `folder`/events.out.tfevents.START.isotrope, START being the run's start in seconds since 1970.
void export_tensorboard(const RunCurves& run, const std::filesystem::path& folder);

/// CRC-32C (Castagnoli) of the bytes.
std::uint32_t crc32c(std::string_view bytes);

}  // namespace isotrope
