#include "controller/base/json.h"

#include <fmt/format.h>

#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

namespace oms::base {
namespace {

// Of brackets outside of strings. In a text that is no JSON it may be anything; the parser refuses
// that one.
bool DeeperThan(std::string_view text, int max_depth) {
  int depth = 0;
  bool in_string = false;
  for (size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if (in_string) {
      if (c == '\\') ++at;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      if (++depth > max_depth) return true;
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return false;
}

template <typename Json>
Result<Json> Parse(std::string_view text, int max_depth) {
  if (DeeperThan(text, max_depth)) {
    return MakeError(Code::kInvalid,
                     fmt::format("is JSON that is nested more than {} levels deep", max_depth));
  }
  Json value = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (value.is_discarded()) return MakeError(Code::kInvalid, "is not JSON");
  return value;
}

}  // namespace

Result<nlohmann::json> ParseJson(std::string_view text, int max_depth) {
  return Parse<nlohmann::json>(text, max_depth);
}

Result<nlohmann::ordered_json> ParseOrderedJson(std::string_view text, int max_depth) {
  return Parse<nlohmann::ordered_json>(text, max_depth);
}

template <typename T>
std::optional<T> WholeNumber(const nlohmann::json& value) {
  if (value.is_number_unsigned()) {
    const auto number = value.get<uint64_t>();
    return std::in_range<T>(number) ? std::optional<T>(static_cast<T>(number)) : std::nullopt;
  }
  if (!value.is_number_integer()) return std::nullopt;
  const auto number = value.get<int64_t>();
  return std::in_range<T>(number) ? std::optional<T>(static_cast<T>(number)) : std::nullopt;
}

template std::optional<int> WholeNumber(const nlohmann::json&);
template std::optional<int64_t> WholeNumber(const nlohmann::json&);
template std::optional<uint32_t> WholeNumber(const nlohmann::json&);
template std::optional<uint64_t> WholeNumber(const nlohmann::json&);

}  // namespace oms::base
