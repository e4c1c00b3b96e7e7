#include "isotrope/train/train.h"

#include "isotrope/base/error.h"
#include "isotrope/train/session.h"
#include "isotrope/train/training.h"

namespace isotrope {

TrainResult train(const RunConfig& config, const TrainOptions& options) {
  auto resolved = config;
  resolved.resolve();
  Training training(open_session(resolved, options.resume), options.observers);
  try {
    return training.run();
  } catch (const Interrupted&) {
    throw;
  } catch (const std::exception& error) {
    training.fail(error.what());
    throw;
  }
}

}  // namespace isotrope
