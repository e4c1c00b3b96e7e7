#pragma once

namespace isotrope {

/// Ctrl-C and SIGTERM as a request: while an object of this class lives, the first signal makes requested() true and the work in
/// hand is finished and saved; the second ends the process at once with exit code 130. At most one object at a time.
class StopRequest {
 public:
  /// `notice` is written to stderr at the first signal; it must outlive this object.
  explicit StopRequest(const char* notice = "\nstopping after this step; once more to stop at once\n");
  StopRequest(const StopRequest&) = delete;
  ~StopRequest();
  bool requested() const;
};

}  // namespace isotrope
