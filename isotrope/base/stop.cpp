#include "isotrope/base/stop.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstring>

namespace isotrope {

namespace {

std::atomic<int> signals{0};
const char* volatile notice_at_first = "";
static_assert(std::atomic<int>::is_always_lock_free, "the handler may only touch lock-free atomics");

void on_signal(int) {
  if (signals.fetch_add(1) > 0) ::_exit(130);
  const char* text = notice_at_first;
  if (::write(STDERR_FILENO, text, std::strlen(text)) < 0) {
    // Nobody reads stderr any more; the request stands all the same.
  }
}

struct sigaction previous_interrupt, previous_terminate;

}  // namespace

StopRequest::StopRequest(const char* notice) {
  notice_at_first = notice;
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
