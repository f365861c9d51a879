// Messages of others as JSON, and their members with a default for what is absent or of another
// kind.
#pragma once

#include <cstdint>
#include <string>

#include <nlohmann/json.hpp>

#include "machine/linux/fd_channel.h"

namespace hive::monitor {

// Null for what is no object.
inline nlohmann::json parse_message(const machine::ChannelMessage& message) {
  auto json = nlohmann::json::parse(message.text(), nullptr, false);
  return json.is_object() ? json : nlohmann::json();
}

inline std::string text_of(const nlohmann::json& json, const char* name) {
  const auto found = json.find(name);
  return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
}

inline std::int64_t number_of(const nlohmann::json& json, const char* name) {
  const auto found = json.find(name);
  return found != json.end() && found->is_number_integer() ? found->get<std::int64_t>() : -1;
}

}  // namespace hive::monitor
