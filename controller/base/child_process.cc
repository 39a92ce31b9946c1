#include "controller/base/child_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <stop_token>

#include "controller/base/fd.h"
#include "controller/base/task_group.h"

namespace oms::base {

namespace {

constexpr size_t kTail = 16 * 1024;
constexpr char kInputClosed[] = "ChildInputClosed";

Error NotStarted(const std::string& program, int error) {
  return MakeError(Code::kTerminal, "ChildNotStarted",
                   fmt::format("cannot run {}: {}", program, std::strerror(error)));
}

// The path of a program, so that the child itself has nothing to search for.
std::string FindProgram(const std::string& name) {
  if (name.find('/') != std::string::npos) return name;
  const char* path = std::getenv("PATH");
  std::string rest = path != nullptr ? path : "/usr/local/bin:/usr/bin:/bin";
  while (!rest.empty()) {
    const size_t colon = std::min(rest.find(':'), rest.size());
    const std::string candidate = rest.substr(0, colon) + "/" + name;
    if (access(candidate.c_str(), X_OK) == 0) return candidate;
    rest.erase(0, colon + 1);
  }
  return "";
}

void Keep(std::string& tail, const char* data, size_t size) {
  tail.append(data, size);
  if (tail.size() > kTail) tail.erase(0, tail.size() - kTail);
}

// A socket pair and not a pipe, so that a child that reads no more is an error and no SIGPIPE.
Status Send(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      return MakeError(Code::kTransient, kInputClosed,
                       fmt::format("the child process stopped reading: {}", std::strerror(errno)));
    }
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return Ok();
}

// Only what is safe between fork and exec of a process with threads.
[[noreturn]] void BecomeChild(const char* program, char* const* argv, char* const* environment,
                              pid_t parent, int input, int output, int errors, int report) {
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  signal(SIGPIPE, SIG_DFL);
  umask(077);
  // What a library of ours opened without O_CLOEXEC. Before Linux 5.11 it is passed on.
  syscall(SYS_close_range, 3U, ~0U, CLOSE_RANGE_CLOEXEC);
  if (getppid() == parent && dup2(input, 0) >= 0 && dup2(output, 1) >= 0 && dup2(errors, 2) >= 0) {
    execve(program, argv, environment);
  }
  const int error = errno;
  [[maybe_unused]] const auto n = write(report, &error, sizeof(error));
  _exit(127);
}

}  // namespace

Result<ChildOutcome> RunChild(const Context& ctx, const ChildCommand& command) {
  OMS_TRY(ctx.Check());
  if (command.argv.empty()) return MakeError(Code::kInternal, "no program given");
  const std::string program = FindProgram(command.argv[0]);
  if (program.empty()) return NotStarted(command.argv[0], ENOENT);

  int pair[2];
  Fd input, feeding;
  if (command.feed) {
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
      return NotStarted(command.argv[0], errno);
    }
    input.Reset(pair[0]);
    feeding.Reset(pair[1]);
  } else {
    input.Reset(open(command.input_file.empty() ? "/dev/null" : command.input_file.c_str(),
                     O_RDONLY | O_CLOEXEC));
    if (input.get() < 0) return NotStarted(command.argv[0], errno);
  }
  Fd output_read, output_write, errors_read, errors_write, report_read, report_write;
  const bool to_file = !command.output_file.empty();
  if (to_file) {
    output_write.Reset(
        open(command.output_file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (output_write.get() < 0) {
      return MakeError(
          Code::kTransient, "BackupVolume",
          fmt::format("cannot make {}: {}", command.output_file.string(), std::strerror(errno)));
    }
  } else {
    if (pipe2(pair, O_CLOEXEC) != 0) return NotStarted(command.argv[0], errno);
    output_read.Reset(pair[0]);
    output_write.Reset(pair[1]);
  }
  if (pipe2(pair, O_CLOEXEC) != 0) return NotStarted(command.argv[0], errno);
  errors_read.Reset(pair[0]);
  errors_write.Reset(pair[1]);
  if (pipe2(pair, O_CLOEXEC) != 0) return NotStarted(command.argv[0], errno);
  report_read.Reset(pair[0]);
  report_write.Reset(pair[1]);
  Fd wake(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));

  std::vector<std::string> words = command.argv;
  std::vector<char*> argv;
  for (auto& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  std::vector<std::string> variables = command.environment.value_or(
      std::vector<std::string>{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                               "LC_ALL=C.UTF-8", "TZ=UTC", "HOME=/nonexistent"});
  std::vector<char*> environment;
  for (auto& variable : variables) environment.push_back(variable.data());
  environment.push_back(nullptr);

  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid < 0) return NotStarted(command.argv[0], errno);
  if (pid == 0) {
    BecomeChild(program.c_str(), argv.data(), environment.data(), parent, input.get(),
                output_write.get(), errors_write.get(), report_write.get());
  }
  setpgid(pid, pid);  // Both sides do it, so that it is done for whoever comes first.
  input.Reset();
  output_write.Reset();
  errors_write.Reset();
  report_write.Reset();

  const auto look = [&wake] {
    const uint64_t one = 1;
    [[maybe_unused]] const auto n = write(wake.get(), &one, sizeof(one));
  };
  const std::stop_callback<std::function<void()>> stopper(ctx.stop(), look);
  Status fed;  // The feeder's until it is joined.
  std::atomic<bool> feed_failed = false;
  TaskGroup feeder;
  if (command.feed) {
    feeder.Start("feed", [&](std::stop_token) {
      fed = command.feed([&](std::string_view bytes) { return Send(feeding.get(), bytes); });
      if (!fed.ok() && fed.error().reason != kInputClosed) {
        feed_failed = true;
        look();
      }
      shutdown(feeding.get(), SHUT_WR);
    });
  }
  Fd exited(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));  // Linux 5.3.

  ChildOutcome outcome;
  bool ended = false, killed = false, too_long = false;
  char chunk[8192];
  // Until the child has exited and its pipes are drained. A grandchild that keeps a pipe open does
  // not hold us: it is in the group that is killed below.
  while (true) {
    pollfd fds[4] = {{output_read.get(), POLLIN, 0},
                     {errors_read.get(), POLLIN, 0},
                     {ended ? -1 : exited.get(), POLLIN, 0},
                     {killed ? -1 : wake.get(), POLLIN, 0}};
    int64_t wait =
        killed || ended ? 200 : std::clamp<int64_t>(ctx.Remaining().count(), 0, 3600'000);
    if (exited.get() < 0) wait = std::min<int64_t>(wait, 100);
    const int n = poll(fds, 4, static_cast<int>(wait));
    if (n < 0 && errno != EINTR) break;
    for (const int i : {0, 1}) {
      if (fds[i].fd < 0 || fds[i].revents == 0) continue;
      Fd& end = i == 0 ? output_read : errors_read;
      const ssize_t size = read(end.get(), chunk, sizeof(chunk));
      if (size > 0 && i == 0 && command.whole_output > 0) {
        outcome.output.append(chunk, static_cast<size_t>(size));
        too_long = outcome.output.size() > command.whole_output;
      } else if (size > 0) {
        Keep(i == 0 ? outcome.output : outcome.errors, chunk, static_cast<size_t>(size));
      }
      if (size == 0) end.Reset();
    }
    if (!ended) {
      siginfo_t info{};
      if (waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
          info.si_pid == pid) {
        ended = true;
      }
    }
    const bool drained = output_read.get() < 0 && errors_read.get() < 0;
    if (ended && (drained || n == 0)) break;
    if (!ended && !killed &&
        (ctx.Stopped() || ctx.Remaining().count() == 0 || feed_failed || too_long)) {
      killed = true;
      kill(-pid, SIGKILL);
    }
  }
  kill(-pid, SIGKILL);  // Whatever it left behind. The pid is still ours: it is not reaped yet.
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  // Nobody holds the other end any more, so the feeder is at its end too.
  feeder.Join();
  if (!fed.ok() && fed.error().reason != kInputClosed) {
    OMS_TRY(ctx.Check());
    return fed.error();
  }
  if (too_long) {
    return MakeError(
        Code::kInvalid, "ChildOutputTooLong",
        fmt::format("{} wrote more than {} bytes", command.argv[0], command.whole_output));
  }
  if (killed) {
    OMS_TRY(ctx.Check());
    return MakeError(Code::kTimeout, fmt::format("{} was ended", command.argv[0]));
  }
  int exec_error = 0;
  if (read(report_read.get(), &exec_error, sizeof(exec_error)) == sizeof(exec_error)) {
    return NotStarted(command.argv[0], exec_error);
  }
  outcome.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return outcome;
}

}  // namespace oms::base
