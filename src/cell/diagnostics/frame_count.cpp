#include "cell/diagnostics/frame_count.h"

#include "cell/borrow/borrowed_frames.h"
#include "cell/home/home.h"

namespace hive::cell {

nlohmann::json count_frames(CellId self, const Home& home,
                            const BorrowedFrames& borrowed) {
  const FrameBooks books = home.check_frames();
  nlohmann::json states = nlohmann::json::object();
  std::uint64_t frames = 0;
  for (std::size_t i = 0; i < frame_states; ++i) {
    states[frame_state_names[i]] = books.counts[i];
    frames += books.counts[i];
  }
  nlohmann::json json = {{"ok", true},
                         {"cell", self},
                         {"frames", frames},
                         {"states", states},
                         {"borrowed", borrowed.counts().borrowed},
                         {"borrowed_lost", borrowed.counts().lost},
                         {"adds_up", books.sound.has_value()}};
  if (!books.sound) json["problem"] = books.sound.error().message();
  return json;
}

}  // namespace hive::cell
