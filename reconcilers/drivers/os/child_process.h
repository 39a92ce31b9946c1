// ChildProcess: runs a program to its end. No shell, a minimal environment, no descriptors but its
// own three, a process group of its own, and it dies with its parent (PR_SET_PDEATHSIG).
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "controller/base/context.h"
#include "controller/base/result.h"

namespace oms::drivers::os {

struct ChildCommand {
  std::vector<std::string> argv;  // argv[0] is looked up in PATH. Never a secret.
  // Where its standard output goes: a file that must not exist (mode 0600, O_EXCL); empty: into
  // ChildOutcome::output.
  std::filesystem::path output_file;
  std::filesystem::path input_file;  // Empty: /dev/null, or `feed`.
  // Writes the child's standard input through the function that it is given, in a thread of its
  // own; input ends when it returns. An error of its own ends the child, and is RunChild's. The
  // function's error "ChildInputClosed" is to be returned as it is: the child reads no more, and
  // its exit code tells why.
  std::function<base::Status(const std::function<base::Status(std::string_view)>&)> feed;
};

struct ChildOutcome {
  int exit_code = 0;   // 128 + signal when a signal ended it.
  std::string output;  // The last 16 KiB of standard output (if it is no file).
  std::string errors;  // The last 16 KiB of standard error.
};

// Blocks until the child has ended. When the context stops or its deadline passes, the process
// group is killed (SIGKILL) and reaped within a second: kCancelled or kTimeout. kTerminal
// "ChildNotStarted": the program is missing or cannot be run.
//
// The child is tied to the calling thread's life (that is what PR_SET_PDEATHSIG means), which is
// waiting here anyway.
base::Result<ChildOutcome> RunChild(const base::Context& ctx, const ChildCommand& command);

}  // namespace oms::drivers::os
