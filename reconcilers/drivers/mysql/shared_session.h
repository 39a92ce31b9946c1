// SharedSession: one session to a server for several threads, one caller at a time, as dialling costs
// ten times the question. Opened when first needed, and anew when it has ended.
#pragma once

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>

#include "controller/base/context.h"
#include "controller/base/result.h"
#include "crd/reasons.h"
#include "reconcilers/drivers/mysql/mysql_session.h"

namespace oms::drivers::mysql {

// For one caller at a time, and none waits longer than it wants to. (Not std::timed_mutex: the lock
// that it takes by the steady clock is one that ThreadSanitizer of g++ 12 does not see.)
class Turn {
 public:
  struct Give {
    void operator()(Turn* turn) const {
      const std::lock_guard lock(turn->mutex_);
      turn->taken_ = false;
      turn->free_.notify_one();
    }
  };
  using Taken = std::unique_ptr<Turn, Give>;  // Null: not within that time.
  Taken Take(base::Duration patience) {
    std::unique_lock lock(mutex_);
    if (!free_.wait_for(lock, patience, [this] { return !taken_; })) return nullptr;
    taken_ = true;
    return Taken(this);
  }

 private:
  std::mutex mutex_;
  std::condition_variable free_;
  bool taken_ = false;  // Guarded by mutex_.
};

class SharedSession {
 public:
  explicit SharedSession(ports::DbServerAddress address) : address_(std::move(address)) {}

  // kTimeout "MetaDBTimeout": others have it for longer than can be waited.
  template <typename T>
  base::Result<T> With(const base::Context& ctx,
                       const std::function<base::Result<T>(MysqlSession&)>& act) {
    const auto patience = std::min<base::Duration>(ctx.Remaining(), kPatience);
    const Turn::Taken turn = turn_.Take(patience);
    if (!turn) {
      return base::MakeError(base::Code::kTimeout, crd::reason::kMetaDbTimeout,
                             "the process list could not be asked");
    }
    const bool reused = session_ && !session_->dead();
    if (!reused) OMS_TRY(Open(ctx));
    auto answer = act(*session_);
    // The server, or what lies between, may end an idle one without a word.
    if (reused && answer.Is(base::Code::kTransient)) {
      OMS_TRY(Open(ctx));
      answer = act(*session_);
    }
    return answer;
  }

 private:
  static constexpr auto kPatience = std::chrono::seconds(30);

  base::Status Open(const base::Context& ctx) {
    session_.reset();
    MysqlSession::Options options;
    options.statement_timeout = std::chrono::seconds(10);
    OMS_ASSIGN(session_, MysqlSession::Open(ctx, address_, options));
    return base::Ok();
  }

  const ports::DbServerAddress address_;
  Turn turn_;
  std::unique_ptr<MysqlSession> session_;  // Of who has the turn.
};

}  // namespace oms::drivers::mysql
