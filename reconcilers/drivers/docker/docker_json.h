// What the engine's JSON says. It may lack anything: what is missing is null, empty or 0.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "reconcilers/ports/container_engine.h"

namespace oms::drivers::docker {

const nlohmann::json& At(const nlohmann::json& object, const char* key);
std::string Text(const nlohmann::json& value);
int64_t Int(const nlohmann::json& value);
int SmallInt(const nlohmann::json& value);
// A number that no int holds is none of an end that went well.
int ExitCode(const nlohmann::json& value);
bool Bool(const nlohmann::json& value);
std::vector<std::string> Texts(const nlohmann::json& value);
std::map<std::string, std::string> TextMap(const nlohmann::json& value);
// What is no JSON, or too deep, is discarded().
nlohmann::json Parse(std::string_view text);
std::string Dump(const nlohmann::json& value);

// Of inspect documents; `text` is the whole of `doc`.
ports::ContainerInfo ParseContainer(const std::string& text, const nlohmann::json& doc);
ports::ImageInfo ParseImage(const std::string& text, const nlohmann::json& doc);

}  // namespace oms::drivers::docker
