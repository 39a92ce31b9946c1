// ChildProcess: runs a program to its end. No shell, a minimal environment unless one is given, no
// descriptors but its own three, a process group of its own, and it dies with its parent
// (PR_SET_PDEATHSIG).
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "controller/base/context.h"
#include "controller/base/result.h"

namespace oms::base {

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
  std::function<Status(const std::function<Status(std::string_view)>&)> feed;
  // "NAME=value" each, and nothing else; nullopt: a minimal one.
  std::optional<std::vector<std::string>> environment = {};
  // Standard output is wanted whole, and is no longer than this; a child that writes more is ended:
  // kInvalid "ChildOutputTooLong". 0: its end alone is kept.
  size_t whole_output = 0;
};

struct ChildOutcome {
  int exit_code = 0;   // 128 + signal when a signal ended it.
  int signal = 0;      // The one that ended it; 0: it has exited.
  std::string output;  // The last 16 KiB of standard output (if it is no file), or all of it.
  std::string errors;  // The last 16 KiB of standard error.
};

// Blocks until the child has ended. When the context stops or its deadline passes, the process
// group is killed (SIGKILL) and reaped within a second: kCancelled or kTimeout. kTerminal
// "ChildNotStarted": the program is missing or cannot be run.
//
// The child is tied to the calling thread's life (that is what PR_SET_PDEATHSIG means), which is
// waiting here anyway.
Result<ChildOutcome> RunChild(const Context& ctx, const ChildCommand& command);

}  // namespace oms::base
