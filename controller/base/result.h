// Result<T>: an expected failure is a value. Shaped like C++23's std::expected, which g++ 12 does
// not have.
//
// An Error says what the caller can do (its code), why in one CamelCase word (its reason, the word
// that a condition shows), and the rest in a sentence for a person. Neither ever holds a secret.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace oms::base {

// What to do about it, not where it happened.
enum class Code {
  kInvalid,        // The input is wrong; a person must change it. Not retried.
  kNotFound,       // The thing does not exist.
  kAlreadyExists,  // Somebody made it before us.
  kConflict,       // A compare-and-set lost; look again and decide anew.
  kExpired,        // 410 Gone: begin the list again.
  kDenied,         // Authentication or authorization failed.
  kTransient,      // Try the same again later.
  kTimeout,        // The deadline passed; the outcome may be unknown.
  kCancelled,      // We were told to stop; says nothing of the world.
  kFenced,         // Another process owns the operation now. Stop, write nothing more.
  kTerminal,       // Trying again will not help; a person must act.
  kInternal,       // A broken promise of our own code.
};

std::string_view ToString(Code code);

struct [[nodiscard]] Error {
  Code code = Code::kInternal;
  std::string reason;   // CamelCase, as shown in a condition; may be empty.
  std::string message;  // One sentence: what is wrong, and what to do.

  // The same error with "context: " before its message.
  Error Wrap(std::string_view context) const;
  bool Retryable() const {
    return code == Code::kTransient || code == Code::kTimeout || code == Code::kConflict;
  }
};

inline Error MakeError(Code code, std::string message) { return {code, {}, std::move(message)}; }
inline Error MakeError(Code code, std::string reason, std::string message) {
  return {code, std::move(reason), std::move(message)};
}

struct Unit {};

template <typename T = Unit>
class [[nodiscard]] Result {
 public:
  Result() requires std::is_same_v<T, Unit> : state_(Unit{}) {}
  Result(T value) : state_(std::move(value)) {}      // NOLINT(google-explicit-constructor)
  Result(Error error) : state_(std::move(error)) {}  // NOLINT(google-explicit-constructor)

  bool ok() const { return std::holds_alternative<T>(state_); }
  explicit operator bool() const { return ok(); }

  // Undefined unless ok().
  T& value() & { return std::get<T>(state_); }
  const T& value() const& { return std::get<T>(state_); }
  T&& value() && { return std::get<T>(std::move(state_)); }
  T* operator->() { return &std::get<T>(state_); }
  const T* operator->() const { return &std::get<T>(state_); }
  T& operator*() & { return std::get<T>(state_); }
  const T& operator*() const& { return std::get<T>(state_); }
  T&& operator*() && { return std::get<T>(std::move(state_)); }
  T value_or(T fallback) const& { return ok() ? value() : std::move(fallback); }

  // Undefined if ok().
  const Error& error() const { return std::get<Error>(state_); }
  bool Is(Code code) const { return !ok() && error().code == code; }

 private:
  std::variant<T, Error> state_;
};

using Status = Result<Unit>;

inline Status Ok() { return Status(Unit{}); }

}  // namespace oms::base

// Leaves the function with the error of `expr`, else goes on.
#define OMS_TRY(expr)                             \
  do {                                            \
    if (auto oms_try_ = (expr); !oms_try_.ok()) { \
      return oms_try_.error();                    \
    }                                             \
  } while (false)

#define OMS_TRY_CONCAT_INNER(a, b) a##b
#define OMS_TRY_CONCAT(a, b) OMS_TRY_CONCAT_INNER(a, b)

// OMS_ASSIGN(auto x, F()): x becomes F()'s value, or the function returns F()'s error.
#define OMS_ASSIGN(declaration, expr) \
  OMS_ASSIGN_INNER(OMS_TRY_CONCAT(oms_result_, __LINE__), declaration, expr)
#define OMS_ASSIGN_INNER(temporary, declaration, expr) \
  auto temporary = (expr);                             \
  if (!temporary.ok()) return temporary.error();       \
  declaration = std::move(temporary).value()
