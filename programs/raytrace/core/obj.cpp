#include "core/obj.h"

#include <fmt/format.h>

#include <filesystem>

#include "core/mtl.h"
#include "core/text.h"

namespace raytrace {
namespace {

constexpr float coordinate_max = 1e9f;  // beyond it, products of four overflow a float
constexpr std::size_t elements_max = std::size_t{1} << 28;
constexpr std::size_t corners_max = 4096;  // of one polygon
constexpr std::size_t warnings_max = 16;

bool in_range(Vec3 p) { return largest(max(p, -p)) <= coordinate_max; }

struct Corner {
  std::uint32_t vertex = 0;
  std::uint32_t normal = no_normal;
};

class Parser {
 public:
  Parser(std::string name, std::string folder)
      : name_(std::move(name)), folder_(std::move(folder)) {
    mesh_.materials.emplace_back();
  }

  Outcome<Mesh> run(std::string_view text) {
    Lines lines(text);
    for (std::string_view line; lines.next(line);) {
      if (!statement(line)) {
        return problem(fmt::format("{}:{}: {}", name_, lines.number(), complaint_));
      }
    }
    if (auto whole = check_whole(text); !whole) return problem(whole.error());
    return std::move(mesh_);
  }

 private:
  bool complain(std::string text) {
    complaint_ = std::move(text);
    return false;
  }

  void warn(std::string text) {
    if (mesh_.warnings.size() < warnings_max) {
      mesh_.warnings.push_back(fmt::format("{}: {}", name_, text));
    }
  }

  bool statement(std::string_view rest) {
    const std::string_view word = take_word(rest);
    if (word == "v") return position(rest);
    if (word == "vn") return direction(rest);
    if (word == "f") return face(rest);
    if (word == "usemtl") return use_material(trimmed(rest));
    if (word == "mtllib") return library(std::string(trimmed(rest)));
    if (word.substr(0, 2) == "#!") return own_statement(word.substr(2), rest);
    return true;
  }

  bool position(std::string_view rest) {
    Vec3 p;
    if (!take_vec3(rest, p)) return complain("a vertex needs three numbers");
    if (!in_range(p)) return complain("a vertex lies too far away to be traced");
    mesh_.vertices.push_back(p);
    return mesh_.vertices.size() <= elements_max || complain("too many vertices");
  }

  bool direction(std::string_view rest) {
    Vec3 n;
    if (!take_vec3(rest, n) || !in_range(n)) return complain("a normal needs three numbers");
    // Some exporters write zero normals for degenerate faces; the mesh is smoothed there instead.
    const float size = length(n);
    mesh_.normals.push_back(size > 1e-12f ? n / size : Vec3{0.0f, 0.0f, 0.0f});
    return mesh_.normals.size() <= elements_max || complain("too many normals");
  }

  // Indices count from 1, or backwards from the end when negative.
  static bool resolve(std::int64_t index, std::size_t size, std::uint32_t& out) {
    const auto count = static_cast<std::int64_t>(size);
    if (index < -count || index == 0 || index > count) return false;
    out = static_cast<std::uint32_t>(index > 0 ? index - 1 : count + index);
    return true;
  }

  bool corner(std::string_view word, Corner& out) {
    const std::string_view whole = word;
    std::int64_t index = 0;
    if (!take_integer(word, index)) return complain(fmt::format("bad corner '{}'", whole));
    if (!resolve(index, mesh_.vertices.size(), out.vertex)) {
      return complain(fmt::format("there is no vertex {}", index));
    }
    if (word.empty()) return true;
    if (word.front() != '/') return complain(fmt::format("bad corner '{}'", whole));
    word.remove_prefix(1);
    if (!word.empty() && word.front() != '/' && !take_integer(word, index)) {
      return complain(fmt::format("bad corner '{}'", whole));
    }
    if (word.empty()) return true;
    word.remove_prefix(word.front() == '/' ? 1 : 0);
    if (!take_integer(word, index) || !word.empty()) {
      return complain(fmt::format("bad corner '{}'", whole));
    }
    if (!resolve(index, mesh_.normals.size(), out.normal)) {
      return complain(fmt::format("there is no normal {}", index));
    }
    if (dot(mesh_.normals[out.normal], mesh_.normals[out.normal]) == 0.0f) out.normal = no_normal;
    return true;
  }

  bool face(std::string_view rest) {
    corners_.clear();
    for (std::string_view word = take_word(rest); !word.empty(); word = take_word(rest)) {
      if (corners_.size() == corners_max) return complain("a face has too many corners");
      if (!corner(word, corners_.emplace_back())) return false;
    }
    if (corners_.size() < 3) return complain("a face needs three corners or more");
    for (std::size_t i = 2; i < corners_.size(); ++i) {
      const Corner &a = corners_[0], &b = corners_[i - 1], &c = corners_[i];
      mesh_.triangles.push_back(
          {{a.vertex, b.vertex, c.vertex}, {a.normal, b.normal, c.normal}, material_});
    }
    ++faces_;
    return mesh_.triangles.size() <= elements_max || complain("too many faces");
  }

  bool use_material(std::string_view wanted) {
    const auto found = names_.find(std::string(wanted));
    material_ = found == names_.end() ? 0 : found->second;
    if (found == names_.end()) warn(fmt::format("no material is called '{}'", wanted));
    return true;
  }

  bool library(const std::string& file) {
    const std::string path = (std::filesystem::path(folder_) / file).string();
    const auto text = read_text(path);
    if (!text) {
      warn(text.error());
      return true;
    }
    const auto parsed = parse_mtl(*text, path, mesh_, names_);
    return parsed.has_value() || complain(parsed.error());
  }

  bool own_statement(std::string_view word, std::string_view rest) {
    if (word == "camera") return camera(rest);
    if (word == "sky") {
      Sky sky;
      if (!take_vec3(rest, sky.horizon) || !take_vec3(rest, sky.zenith) ||
          !in_range(sky.horizon) || !in_range(sky.zenith)) {
        return complain("#!sky needs two colours");
      }
      mesh_.sky = sky;
    } else if (word == "exposure") {
      if (!take_float(rest, mesh_.exposure) || mesh_.exposure <= 0.0f) {
        return complain("#!exposure needs a number above zero");
      }
    } else if (word == "faces") {
      rest = trimmed(rest);
      if (!take_integer(rest, faces_promised_) || faces_promised_ <= 0 || !rest.empty()) {
        return complain("#!faces needs a number above zero");
      }
    }
    return true;
  }

  bool camera(std::string_view rest) {
    Pose pose;
    if (!take_vec3(rest, pose.eye) || !take_vec3(rest, pose.target) ||
        !take_float(rest, pose.field_of_view) || !in_range(pose.eye) || !in_range(pose.target)) {
      return complain("#!camera needs an eye, a target and an angle");
    }
    if (pose.field_of_view < 1.0f || pose.field_of_view > 160.0f) {
      return complain("#!camera: the angle must lie between 1 and 160 degrees");
    }
    if (!trimmed(rest).empty() &&
        (!take_float(rest, pose.lens_radius) || pose.lens_radius < 0.0f)) {
      return complain("#!camera: the lens radius must not be negative");
    }
    mesh_.pose = pose;
    return true;
  }

  Outcome<void> check_whole(std::string_view text) const {
    if (mesh_.triangles.empty()) {
      return problem(fmt::format("{}: not a scene: there is no face in it", name_));
    }
    if (faces_promised_ == 0) return {};
    if (faces_ == faces_promised_ && text.back() == '\n') return {};
    return problem(fmt::format("{}: cut off: {} of {} faces are there", name_,
                               text.back() == '\n' ? faces_ : faces_ - 1, faces_promised_));
  }

  std::string name_, folder_, complaint_;
  Mesh mesh_;
  MaterialNames names_;
  std::vector<Corner> corners_;
  std::uint32_t material_ = 0;
  std::int64_t faces_ = 0, faces_promised_ = 0;
};

}  // namespace

Outcome<Mesh> parse_obj(std::string_view text, const std::string& name,
                        const std::string& folder) {
  return Parser(name, folder).run(text);
}

Outcome<Mesh> read_obj(const std::string& path) {
  auto text = read_text(path);
  if (!text) return problem(text.error());
  return parse_obj(*text, path, std::filesystem::path(path).parent_path().string());
}

}  // namespace raytrace
