#include "controller/kube/credentials.h"

#include <fmt/format.h>
#include <pthread.h>

#include <algorithm>
#include <exception>
#include <fstream>
#include <sstream>
#include <system_error>
#include <utility>

namespace oms::kube {
namespace {

using base::Code;
using base::MakeError;

constexpr base::Duration kTokenFileAge = std::chrono::minutes(1);
// A credential is renewed so long before its end, or for the last fifth of a short life.
constexpr base::Duration kLongestMargin = std::chrono::minutes(2);
constexpr int kMarginPart = 5;
// Between two tries to renew what still serves.
constexpr base::Duration kRenewPause = std::chrono::seconds(10);
// A wait is looked at again this often, since a context's clock need not be the machine's.
constexpr base::Duration kRound = std::chrono::milliseconds(100);

base::WallTime RenewAt(base::WallTime now, base::WallTime expires) {
  const base::WallTime::duration life = std::max(base::WallTime::duration(0), expires - now);
  return expires - std::min<base::WallTime::duration>(kLongestMargin, life / kMarginPart);
}

}  // namespace

base::Result<std::string> Credentials::Token(const base::Context& ctx) {
  if (config_.exec) return PluginToken(ctx);
  if (config_.token_file.empty()) return config_.token;
  return FileToken(ctx);
}

base::Result<std::string> Credentials::FileToken(const base::Context& ctx) {
  std::lock_guard lock(mutex_);
  std::error_code error;
  const auto mtime = std::filesystem::last_write_time(config_.token_file, error);
  const base::SteadyTime now = ctx.clock().Now();
  const bool fresh =
      token_read_ && !error && mtime == token_mtime_ && now - *token_read_ < kTokenFileAge;
  if (fresh) return token_;
  std::ifstream in(config_.token_file, std::ios::binary);
  std::ostringstream text;
  if (in) text << in.rdbuf();
  std::string token = text.str();
  const auto last = token.find_last_not_of(" \t\r\n");
  token.resize(last == std::string::npos ? 0 : last + 1);
  if (token.empty()) {
    // In the middle of a rotation the file may be away for an instant: the old one may still do.
    if (!token_.empty()) return token_;
    return MakeError(Code::kDenied,
                     fmt::format("the token file {} is missing or empty", config_.token_file));
  }
  token_ = std::move(token);
  token_read_ = now;
  token_mtime_ = mtime;
  return token_;
}

base::Result<std::string> Credentials::PluginToken(const base::Context& ctx) {
  std::unique_lock lock(mutex_);
  const uint64_t ended = runs_;
  while (true) {
    const base::WallTime now = ctx.clock().Wall();
    const bool usable = exec_ && !refused_;
    if (usable && (!renew_at_ || now < *renew_at_)) return exec_->token;
    const bool serves = usable && now < *exec_->expires;
    if (!serves && runs_ != ended) {
      // A run ended while we waited: what it brought is all there is, whatever it says of its end.
      if (failure_) return *failure_;
      if (usable) return exec_->token;
    }
    const bool pause = serves && not_before_ && ctx.clock().Now() < *not_before_;
    if (!running_ && !pause) StartPluginLocked(ctx.clock());
    if (serves) return exec_->token;
    if (const base::Status may = ctx.Check(); !may.ok()) {
      return may.error().Wrap("waiting for the credential plug-in " + config_.exec->command);
    }
    changed_.wait_for(lock, ctx.stop(), std::min(kRound, ctx.Remaining()),
                      [&, seen = runs_] { return runs_ != seen; });
  }
}

void Credentials::StartPluginLocked(const base::Clock& clock) {
  running_ = true;
  // The thread of the run before has let go of the mutex for good, so that it can be joined here.
  plugin_ = std::jthread([this, &clock](std::stop_token stop) {
    pthread_setname_np(pthread_self(), "exec-plugin");
    RunPlugin(base::Context(clock, base::Logger(), std::move(stop)));
  });
}

void Credentials::RunPlugin(const base::Context& ctx) {
  base::Result<ExecCredential> answer = MakeError(Code::kInternal, "not run");
  try {
    answer = RunExecPlugin(ctx, config_);
  } catch (const std::exception& error) {
    answer = MakeError(Code::kInternal, "ExecPluginFailed", error.what());
  }
  {
    std::lock_guard lock(mutex_);
    running_ = false;
    ++runs_;
    failure_.reset();
    if (answer.ok()) {
      exec_ = std::move(*answer);
      refused_ = false;
      renew_at_.reset();
      if (exec_->expires) renew_at_ = RenewAt(ctx.clock().Wall(), *exec_->expires);
    } else {
      failure_ = answer.error();
      not_before_ = ctx.clock().Now() + kRenewPause;
      if (!ctx.Stopped()) ctx.log().Warn("{}", failure_->message);
    }
  }
  changed_.notify_all();
}

bool Credentials::Refresh(const std::string& token) {
  std::lock_guard lock(mutex_);
  if (exec_ && exec_->token == token) refused_ = true;
  if (token_ == token) token_read_.reset();
  return config_.exec || !config_.token_file.empty() || !config_.client_certificate.file.empty();
}

base::Result<ExecCredential> Credentials::Certificate() {
  ExecCredential pair;
  if (config_.exec) {
    std::lock_guard lock(mutex_);
    if (exec_ && !exec_->certificate_pem.empty()) {
      pair.certificate_pem = exec_->certificate_pem;
      pair.key_pem = exec_->key_pem;
      return pair;
    }
  }
  OMS_ASSIGN(pair.certificate_pem, config_.client_certificate.Read());
  OMS_ASSIGN(pair.key_pem, config_.client_key.Read());
  return pair;
}

}  // namespace oms::kube
