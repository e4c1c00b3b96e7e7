#include "isotrope/base/stop.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>

namespace isotrope {

namespace {

std::atomic<int> signals{0};
static_assert(std::atomic<int>::is_always_lock_free, "the handler may only touch lock-free atomics");

void on_signal(int) {
  if (signals.fetch_add(1) > 0) ::_exit(130);
  constexpr char text[] = "\nstopping after this step; once more to stop at once\n";
  if (::write(STDERR_FILENO, text, sizeof text - 1) < 0) {
    // Nobody reads stderr any more; the request stands all the same.
  }
}

struct sigaction previous_interrupt, previous_terminate;

}  // namespace

StopRequest::StopRequest() {
  signals = 0;
  struct sigaction action{};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGINT, &action, &previous_interrupt);
  ::sigaction(SIGTERM, &action, &previous_terminate);
}

StopRequest::~StopRequest() {
  ::sigaction(SIGINT, &previous_interrupt, nullptr);
  ::sigaction(SIGTERM, &previous_terminate, nullptr);
}

bool StopRequest::requested() const { return signals.load() > 0; }

}  // namespace isotrope
