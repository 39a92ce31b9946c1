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
#include <utility>

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

void Keep(std::string& tail, std::string_view more) {
  tail.append(more);
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

// What leads to the child and back. Its own ends are closed here once it has them, so that ours see
// when it is gone.
struct Pipes {
  Fd input, output, errors, report;                   // The child's.
  Fd feeding, output_read, errors_read, report_read;  // Ours.

  void CloseTheChilds() {
    for (Fd* end : {&input, &output, &errors, &report}) end->Reset();
  }
};

bool MakePipe(Fd& reading, Fd& writing) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return false;
  reading.Reset(ends[0]);
  writing.Reset(ends[1]);
  return true;
}

bool OpenInput(const ChildCommand& command, Pipes& pipes) {
  if (!command.feed) {
    const bool none = command.input_file.empty();
    pipes.input.Reset(open(none ? "/dev/null" : command.input_file.c_str(), O_RDONLY | O_CLOEXEC));
    return pipes.input.valid();
  }
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return false;
  pipes.input.Reset(ends[0]);
  pipes.feeding.Reset(ends[1]);
  return true;
}

Result<Pipes> OpenPipes(const ChildCommand& command) {
  Pipes pipes;
  const std::string& program = command.argv[0];
  if (!OpenInput(command, pipes)) return NotStarted(program, errno);
  if (command.output_file.empty()) {
    if (!MakePipe(pipes.output_read, pipes.output)) return NotStarted(program, errno);
  } else {
    const auto& file = command.output_file;
    pipes.output.Reset(open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!pipes.output.valid()) {
      return MakeError(Code::kTransient, "BackupVolume",
                       fmt::format("cannot make {}: {}", file.string(), std::strerror(errno)));
    }
  }
  if (!MakePipe(pipes.errors_read, pipes.errors)) return NotStarted(program, errno);
  if (!MakePipe(pipes.report_read, pipes.report)) return NotStarted(program, errno);
  return pipes;
}

// As execve takes them: ended by a null, and into `words`, which it may change.
std::vector<char*> PointersTo(std::vector<std::string>& words) {
  std::vector<char*> pointers;
  for (auto& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  return pointers;
}

// A process group of its own. Its ends of `pipes` are closed here.
Result<pid_t> Start(const std::string& program, const ChildCommand& command, Pipes& pipes) {
  // All of it before fork(): after that, nothing may be allocated.
  std::vector<std::string> words = command.argv;
  std::vector<std::string> variables = command.environment.value_or(
      std::vector<std::string>{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                               "LC_ALL=C.UTF-8", "TZ=UTC", "HOME=/nonexistent"});
  const std::vector<char*> argv = PointersTo(words);
  const std::vector<char*> environment = PointersTo(variables);
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid < 0) return NotStarted(command.argv[0], errno);
  if (pid == 0) {
    BecomeChild(program.c_str(), argv.data(), environment.data(), parent, pipes.input.get(),
                pipes.output.get(), pipes.errors.get(), pipes.report.get());
  }
  setpgid(pid, pid);  // Both sides do it, so that it is done for whoever comes first.
  pipes.CloseTheChilds();
  return pid;
}

// Ends a poll().
class Wake {
 public:
  void operator()() const {
    const uint64_t one = 1;
    [[maybe_unused]] const auto n = write(event_.get(), &one, sizeof(one));
  }
  int get() const { return event_.get(); }

 private:
  const Fd event_{eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
};

// Writes the child's standard input, in a thread of its own.
class Feeder {
 public:
  Feeder(const ChildCommand& command, int to, const Wake& wake) {
    if (!command.feed) return;
    group_.Start("feed", [this, &command, to, &wake](std::stop_token) {
      fed_ = command.feed([to](std::string_view bytes) { return Send(to, bytes); });
      if (OwnError()) {
        failed_ = true;
        wake();
      }
      shutdown(to, SHUT_WR);
    });
  }

  bool failed() const { return failed_; }
  // Once nobody holds the other end any more. Its error, but for a child that reads no more.
  Status Join() {
    group_.Join();
    return OwnError() ? fed_ : Ok();
  }

 private:
  bool OwnError() const { return !fed_.ok() && fed_.error().reason != kInputClosed; }

  Status fed_;  // The thread's until it is joined.
  std::atomic<bool> failed_ = false;
  TaskGroup group_;  // Last: its thread uses both.
};

// A child that runs, and what it writes.
class Running {
 public:
  Running(const Context& ctx, const ChildCommand& command, pid_t pid, Pipes& pipes,
          const Wake& wake, const Feeder& feeder)
      : ctx_(ctx), command_(command), pid_(pid), pipes_(pipes), wake_(wake), feeder_(feeder) {}

  // Until it has exited and its pipes are drained, or may not go on and is killed. A grandchild
  // that keeps a pipe open does not hold us: it is in the group that is killed at the end.
  void Watch() {
    while (true) {
      const int ready = WaitForMore();
      if (ready < 0 && errno != EINTR) break;
      if (ended_ && (Drained() || ready == 0)) break;
      if (ended_ || killed_ || MayGoOn()) continue;
      killed_ = true;
      kill(-pid_, SIGKILL);
    }
    kill(-pid_, SIGKILL);  // Whatever it left behind. Its id is still ours: it is not reaped yet.
  }
  // As waitpid() tells it.
  int Reap() const {
    int status = 0;
    while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    return status;
  }

  bool killed() const { return killed_; }
  bool too_long() const { return too_long_; }
  ChildOutcome& outcome() { return outcome_; }

 private:
  // Reads what there is. What poll() said.
  int WaitForMore() {
    pollfd fds[4] = {{pipes_.output_read.get(), POLLIN, 0},
                     {pipes_.errors_read.get(), POLLIN, 0},
                     {ended_ ? -1 : exited_.get(), POLLIN, 0},
                     {killed_ ? -1 : wake_.get(), POLLIN, 0}};
    const int ready = poll(fds, 4, HowLong());
    const int error = errno;
    if (fds[0].fd >= 0 && fds[0].revents != 0) TakeOutput();
    if (fds[1].fd >= 0 && fds[1].revents != 0) TakeErrors();
    ended_ = ended_ || Exited();
    errno = error;
    return ready;
  }
  int HowLong() const {
    constexpr int64_t kDrain = 200, kWithoutPidfd = 100, kHour = 3600'000;
    int64_t wait =
        killed_ || ended_ ? kDrain : std::clamp<int64_t>(ctx_.Remaining().count(), 0, kHour);
    if (!exited_.valid()) wait = std::min(wait, kWithoutPidfd);
    return static_cast<int>(wait);
  }
  bool MayGoOn() const {
    return !ctx_.Stopped() && ctx_.Remaining().count() > 0 && !feeder_.failed() && !too_long_;
  }
  bool Drained() const { return !pipes_.output_read.valid() && !pipes_.errors_read.valid(); }
  bool Exited() const {
    siginfo_t info{};
    return waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid == pid_;
  }

  void TakeOutput() {
    const std::string_view some = ReadSome(pipes_.output_read);
    if (command_.whole_output == 0) return Keep(outcome_.output, some);
    outcome_.output.append(some);
    too_long_ = outcome_.output.size() > command_.whole_output;
  }
  void TakeErrors() { Keep(outcome_.errors, ReadSome(pipes_.errors_read)); }
  // Valid until the next call. At its end, the pipe is closed.
  std::string_view ReadSome(Fd& end) {
    const ssize_t size = read(end.get(), chunk_, sizeof(chunk_));
    if (size == 0) end.Reset();
    return {chunk_, static_cast<size_t>(std::max<ssize_t>(size, 0))};
  }

  const Context& ctx_;
  const ChildCommand& command_;
  const pid_t pid_;
  Pipes& pipes_;
  const Wake& wake_;
  const Feeder& feeder_;
  const Fd exited_{static_cast<int>(syscall(SYS_pidfd_open, pid_, 0))};  // Linux 5.3.
  ChildOutcome outcome_;
  bool ended_ = false, killed_ = false, too_long_ = false;
  char chunk_[8192];
};

// Of a child that is gone.
Result<ChildOutcome> OutcomeOf(const Context& ctx, const ChildCommand& command, Running& child,
                               int status, const Status& fed, const Fd& report) {
  const std::string& program = command.argv[0];
  if (!fed.ok()) {
    OMS_TRY(ctx.Check());
    return fed.error();
  }
  if (child.too_long()) {
    return MakeError(Code::kInvalid, "ChildOutputTooLong",
                     fmt::format("{} wrote more than {} bytes", program, command.whole_output));
  }
  if (child.killed()) {
    OMS_TRY(ctx.Check());
    return MakeError(Code::kTimeout, fmt::format("{} was ended", program));
  }
  int exec_error = 0;
  if (read(report.get(), &exec_error, sizeof(exec_error)) == sizeof(exec_error)) {
    return NotStarted(program, exec_error);
  }
  ChildOutcome outcome = std::move(child.outcome());
  outcome.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  outcome.exit_code = outcome.signal != 0 ? 128 + outcome.signal : WEXITSTATUS(status);
  return outcome;
}

}  // namespace

Result<ChildOutcome> RunChild(const Context& ctx, const ChildCommand& command) {
  OMS_TRY(ctx.Check());
  if (command.argv.empty()) return MakeError(Code::kInternal, "no program given");
  const std::string program = FindProgram(command.argv[0]);
  if (program.empty()) return NotStarted(command.argv[0], ENOENT);
  const Wake wake;
  if (wake.get() < 0) return NotStarted(command.argv[0], errno);
  OMS_ASSIGN(Pipes pipes, OpenPipes(command));
  OMS_ASSIGN(const pid_t pid, Start(program, command, pipes));
  const std::stop_callback stopper(ctx.stop(), [&wake] { wake(); });
  Feeder feeder(command, pipes.feeding.get(), wake);
  Running child(ctx, command, pid, pipes, wake, feeder);
  child.Watch();
  const int status = child.Reap();
  return OutcomeOf(ctx, command, child, status, feeder.Join(), pipes.report_read);
}

}  // namespace oms::base
