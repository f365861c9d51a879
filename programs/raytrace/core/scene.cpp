#include "core/scene.h"

#include <cstring>

#include "core/stage.h"

namespace raytrace {
namespace {

constexpr std::uint64_t scene_magic = 0x31656e6563537452;  // "RtScene1"; counts up with the layout

std::uint64_t aligned(std::uint64_t offset) {
  return (offset + scene_alignment - 1) / scene_alignment * scene_alignment;
}

// The sum over whole words, of everything but the field that it is kept in. It is there to notice
// damage, not malice.
std::uint64_t checksum_of(const std::byte* bytes, std::uint64_t size) {
  constexpr std::uint64_t skipped = offsetof(SceneHeader, checksum);
  std::uint64_t sum = 0x9e3779b97f4a7c15;
  for (std::uint64_t i = 0; i + 8 <= size; i += 8) {
    std::uint64_t word = 0;
    if (i != skipped) std::memcpy(&word, bytes + i, 8);
    sum = (sum ^ word) * 0xd6e8feb86659fd93;
    sum ^= sum >> 32;
  }
  return sum;
}

// Picks lights by how much light they send out.
std::vector<Light> find_lights(const Mesh& mesh) {
  std::vector<Light> lights;
  double total = 0.0;
  for (std::size_t i = 0; i < mesh.triangles.size(); ++i) {
    const Triangle& t = mesh.triangles[i];
    const float shine = luminance(mesh.materials[t.material].ke);
    if (!(shine > 0.0f)) continue;
    const Vec3 a = mesh.vertices[t.vertex[0]];
    const float area =
        0.5f * length(cross(mesh.vertices[t.vertex[1]] - a, mesh.vertices[t.vertex[2]] - a));
    lights.push_back({static_cast<std::uint32_t>(i), 0.0f, shine * area, area});
    total += static_cast<double>(shine) * area;
  }
  double sum = 0.0;
  for (Light& light : lights) {
    sum += light.probability;
    light.probability = static_cast<float>(light.probability / total);
    light.cumulative = static_cast<float>(sum / total);
  }
  if (!lights.empty()) lights.back().cumulative = 1.0f;
  return lights;
}

template <class T>
void place(Array& array, const std::vector<T>& from, std::uint64_t& end) {
  array = {aligned(end), from.size()};
  end = array.offset + from.size() * sizeof(T);
}

template <class T>
void copy(const Array& array, const std::vector<T>& from, std::byte* to) {
  if (!from.empty()) std::memcpy(to + array.offset, from.data(), from.size() * sizeof(T));
}

template <class T>
bool find(const Array& array, std::span<const std::byte> bytes, const T*& out) {
  if (array.offset % scene_alignment != 0 || array.offset > bytes.size() ||
      array.count > (bytes.size() - array.offset) / sizeof(T)) {
    return false;
  }
  out = reinterpret_cast<const T*>(bytes.data() + array.offset);
  return true;
}

}  // namespace

Outcome<SceneParts> prepare_scene(Mesh mesh, const Settings& settings) {
  drop_degenerate(mesh);
  if (mesh.triangles.empty()) return problem("not a scene: no face of it has any area");
  furnish(mesh);
  smooth_normals(mesh);
  SceneParts parts;
  parts.bvh = build_bvh(mesh.vertices, mesh.triangles);
  parts.lights = find_lights(mesh);
  Box box;
  for (const Triangle& t : mesh.triangles) {
    for (const std::uint32_t v : t.vertex) box.grow(mesh.vertices[v]);
  }
  SceneHeader& h = parts.header;
  h.magic = scene_magic;
  h.settings = settings;
  h.camera = make_camera(*mesh.pose,
                         static_cast<float>(settings.width) / static_cast<float>(settings.height));
  h.sky = mesh.sky.value_or(Sky{});
  h.exposure = mesh.exposure;
  h.epsilon = 4e-6f * largest(max(max(box.high, -box.low), max(mesh.pose->eye, -mesh.pose->eye)));
  std::uint64_t end = sizeof(SceneHeader);
  place(h.nodes, parts.bvh.nodes, end);
  place(h.leaves, parts.bvh.leaves, end);
  place(h.triangles, mesh.triangles, end);
  place(h.vertices, mesh.vertices, end);
  place(h.normals, mesh.normals, end);
  place(h.materials, mesh.materials, end);
  place(h.lights, parts.lights, end);
  h.bytes = aligned(end);
  parts.mesh = std::move(mesh);
  return parts;
}

void write_scene(const SceneParts& parts, std::byte* to) {
  const SceneHeader& h = parts.header;
  std::memset(to, 0, h.bytes);
  copy(h.nodes, parts.bvh.nodes, to);
  copy(h.leaves, parts.bvh.leaves, to);
  copy(h.triangles, parts.mesh.triangles, to);
  copy(h.vertices, parts.mesh.vertices, to);
  copy(h.normals, parts.mesh.normals, to);
  copy(h.materials, parts.mesh.materials, to);
  copy(h.lights, parts.lights, to);
  std::memcpy(to, &h, sizeof h);
  const std::uint64_t sum = checksum_of(to, h.bytes);
  std::memcpy(to + offsetof(SceneHeader, checksum), &sum, sizeof sum);
}

Outcome<Scene> Scene::open(std::span<const std::byte> bytes) {
  if (bytes.size() < sizeof(SceneHeader)) return problem("the scene is too short");
  Scene s;
  s.header_ = reinterpret_cast<const SceneHeader*>(bytes.data());
  const SceneHeader& h = *s.header_;
  if (h.magic != scene_magic) return problem("the scene has another layout than this program's");
  if (h.bytes < sizeof h || h.bytes > bytes.size()) return problem("the scene is cut off");
  if (h.checksum != checksum_of(bytes.data(), h.bytes)) return problem("the scene is damaged");
  bytes = bytes.first(h.bytes);
  const Light* lights = nullptr;
  if (!find(h.nodes, bytes, s.nodes_) || !find(h.leaves, bytes, s.leaves_) ||
      !find(h.triangles, bytes, s.triangles_) || !find(h.vertices, bytes, s.vertices_) ||
      !find(h.normals, bytes, s.normals_) || !find(h.materials, bytes, s.materials_) ||
      !find(h.lights, bytes, lights)) {
    return problem("the scene is damaged");
  }
  s.lights_ = {lights, static_cast<std::size_t>(h.lights.count)};
  return s;
}

}  // namespace raytrace
