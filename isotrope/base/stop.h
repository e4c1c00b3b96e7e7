#pragma once

namespace isotrope {

/// Ctrl-C and SIGTERM as a request: while an object of this class lives, the first signal makes requested() true and the work in
/// hand is finished and saved; the second ends the process at once with exit code 130. At most one object at a time.
class StopRequest {
 public:
  StopRequest();
  StopRequest(const StopRequest&) = delete;
  ~StopRequest();
  bool requested() const;
};

}  // namespace isotrope
