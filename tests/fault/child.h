#pragma once

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstring>
#include <exception>
#include <string>

namespace isotrope::test {

/// Runs `work` in a child process that can write no file beyond `limit` bytes, and returns the message of its exception; "" when it has
/// none. The limit is what a full disk is to a program without root: writes fail half way, with EFBIG in place of ENOSPC.
template <class Work>
std::string message_under_file_limit(rlim_t limit, Work&& work) {
  int channel[2];
  if (::pipe(channel) != 0) return "no pipe";
  const auto child = ::fork();
  if (child == 0) {
    ::close(channel[0]);
    std::string message;
    try {
      ::signal(SIGXFSZ, SIG_IGN);
      const rlimit bound{limit, limit};
      ::setrlimit(RLIMIT_FSIZE, &bound);
      work();
    } catch (const std::exception& error) {
      message = error.what();
    }
    [[maybe_unused]] const auto written = ::write(channel[1], message.data(), message.size());
    ::_exit(0);
  }
  ::close(channel[1]);
  std::string message;
  char buffer[4096];
  for (ssize_t count; (count = ::read(channel[0], buffer, sizeof buffer)) > 0;) message.append(buffer, static_cast<std::size_t>(count));
  ::close(channel[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? message : "the child died of signal " + std::to_string(WTERMSIG(status));
}

/// Runs `work` in a child process, kills it with SIGKILL after `microseconds`, and returns whether it was still at work.
template <class Work>
bool kill_at_work(useconds_t microseconds, Work&& work) {
  const auto child = ::fork();
  if (child == 0) {
    try {
      work();
    } catch (...) {
      ::_exit(1);
    }
    ::_exit(0);
  }
  ::usleep(microseconds);
  ::kill(child, SIGKILL);
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFSIGNALED(status);
}

}  // namespace isotrope::test
