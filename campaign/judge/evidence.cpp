#include "campaign/judge/evidence.h"

#include <cstdlib>
#include <fstream>
#include <sstream>

namespace hive::campaign {

std::uint64_t Event::number(std::size_t i) const {
  return i < words.size() ? std::strtoull(words[i].c_str(), nullptr, 10) : 0;
}

const std::string& Event::word(std::size_t i) const {
  static const std::string none;
  return i < words.size() ? words[i] : none;
}

std::vector<Event> EvidenceReader::read_log(const std::string& log, std::uint64_t bytes) {
  std::vector<Event> events;
  std::uint64_t& done = done_[log];
  if (bytes <= done) return events;
  std::string text(bytes - done, '\0');
  std::ifstream file(dir_ + "/" + log, std::ios::binary);
  file.seekg(static_cast<std::streamoff>(done));
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  // A last line that is not whole is read next time, or never.
  const auto end = text.rfind('\n');
  if (end == std::string::npos) return events;
  text.resize(end + 1);
  done += text.size();
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    Event event;
    words >> event.time_ns >> event.what;
    for (std::string word; words >> word;) event.words.push_back(std::move(word));
    if (!event.what.empty()) events.push_back(std::move(event));
  }
  return events;
}

Evidence EvidenceReader::read(const Json& told) {
  Evidence evidence;
  evidence.fault = fault_from(told.at("fault"));
  evidence.activated = told.at("activated").get<bool>();
  evidence.whole = told.at("whole").get<bool>();
  evidence.injected_ns = told.at("injected_ns").get<std::uint64_t>();
  evidence.whole_ns = told.value("whole_ns", std::uint64_t{0});
  for (const Json& kernel : told.value("kernels", Json::array())) {
    evidence.kernels.push_back({kernel.at("cell").get<int>(),
                                kernel.at("incarnation").get<std::uint64_t>(),
                                kernel.at("died_ns").get<std::uint64_t>()});
  }
  for (const Json& entry : told.at("components")) {
    Witnessed component;
    component.name = entry.at("name").get<std::string>();
    component.life = entry.at("life").get<std::uint64_t>();
    component.ended = entry.at("ended").get<bool>();
    component.answered = entry.at("answered").get<bool>();
    component.status = entry.at("status").get<int>();
    component.events =
        read_log(entry.at("log").get<std::string>(), entry.at("bytes").get<std::uint64_t>());
    for (Event& event : component.events) event.by = evidence.components.size();
    evidence.components.push_back(std::move(component));
  }
  const Json details = told.value("details", Json::object());
  evidence.killed_task = details.value("task", "");
  evidence.losses = told.value("losses", Json::array());
  evidence.frames = told.value("frames", Json::array());
  evidence.status_after = told.value("status_after", Json());
  return evidence;
}

}  // namespace hive::campaign
