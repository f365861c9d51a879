#include "core/mtl.h"

#include <fmt/format.h>

#include "core/text.h"

namespace raytrace {
namespace {

// A surface that gives back more light than it gets would never let a path end.
bool is_reflectance(Vec3 c) {
  return std::min(c.x, std::min(c.y, c.z)) >= 0.0f && largest(c) <= 1.0f;
}

bool is_light(Vec3 c) { return std::min(c.x, std::min(c.y, c.z)) >= 0.0f && largest(c) <= 1e6f; }

// One statement of a material. False if it is one that we know and its values make no sense.
bool apply(std::string_view word, std::string_view rest, Material& m) {
  if (word == "Kd") return take_vec3(rest, m.kd) && is_reflectance(m.kd);
  if (word == "Ks") return take_vec3(rest, m.ks) && is_reflectance(m.ks);
  if (word == "Ke") return take_vec3(rest, m.ke) && is_light(m.ke);
  if (word == "Ns") return take_float(rest, m.ns) && m.ns >= 0.0f;
  if (word == "#!checker") {
    return take_vec3(rest, m.checker_kd) && is_reflectance(m.checker_kd) &&
           take_float(rest, m.checker_size) && m.checker_size > 0.0f;
  }
  return true;
}

}  // namespace

Outcome<void> parse_mtl(std::string_view text, const std::string& name, Mesh& mesh,
                        MaterialNames& names) {
  Material* current = nullptr;
  Lines lines(text);
  for (std::string_view line; lines.next(line);) {
    std::string_view rest = line;
    const std::string_view word = take_word(rest);
    if (word == "newmtl") {
      names[std::string(trimmed(rest))] = static_cast<std::uint32_t>(mesh.materials.size());
      current = &mesh.materials.emplace_back();
      current->ks = {0.0f, 0.0f, 0.0f};  // the format's own default: no coat
    } else if (current != nullptr && !apply(word, rest, *current)) {
      return problem(
          fmt::format("{}:{}: {} has values that make no sense", name, lines.number(), word));
    }
  }
  return {};
}

}  // namespace raytrace
