#include "cell/diagnostics/frame_count.h"

#include "cell/home/home.h"

namespace hive::cell {

nlohmann::json count_frames(CellId self, const Home& home) {
  const auto sound = home.check_frames();
  nlohmann::json states = nlohmann::json::object();
  std::uint64_t frames = 0;
  for (std::size_t i = 0; i < frame_states; ++i) {
    const std::uint64_t count = home.frames_in(static_cast<FrameState>(i));
    states[frame_state_names[i]] = count;
    frames += count;
  }
  nlohmann::json json = {{"ok", true},
                         {"cell", self},
                         {"frames", frames},
                         {"states", states},
                         {"adds_up", sound.has_value()}};
  if (!sound) json["problem"] = sound.error().message();
  return json;
}

}  // namespace hive::cell
