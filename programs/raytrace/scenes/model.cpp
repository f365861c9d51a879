#include "scenes/model.h"

#include <fmt/format.h>

#include <fstream>

namespace raytrace::scenes {

void Model::material(const std::string& name, const std::string& lines) {
  if (!lines.empty()) materials_ += fmt::format("newmtl {}\n{}\n", name, lines);
  body_ += fmt::format("usemtl {}\n", name);
}

std::size_t Model::vertex(Vec3 p) {
  body_ += fmt::format("v {:.5g} {:.5g} {:.5g}\n", p.x, p.y, p.z);
  return ++vertices_;
}

std::size_t Model::normal(Vec3 n) {
  body_ += fmt::format("vn {:.4f} {:.4f} {:.4f}\n", n.x, n.y, n.z);
  return ++normals_;
}

void Model::face(const std::vector<Corner>& corners) {
  body_ += 'f';
  for (const Corner& c : corners) {
    body_ +=
        c.normal == 0 ? fmt::format(" {}", c.vertex) : fmt::format(" {}//{}", c.vertex, c.normal);
  }
  body_ += '\n';
  ++faces_;
}

void Model::grid(int rows, int columns, const std::vector<Vec3>& points,
                 const std::vector<Vec3>& normals) {
  const std::size_t first_vertex = vertices_ + 1, first_normal = normals_ + 1;
  for (const Vec3 p : points) vertex(p);
  for (const Vec3 n : normals) normal(n);
  const auto index = [&](int i, int j) {
    return static_cast<std::size_t>(i) * static_cast<std::size_t>(columns) +
           static_cast<std::size_t>(j);
  };
  const auto same = [&](std::size_t a, std::size_t b) {
    return length(points[a] - points[b]) < 1e-5f;
  };
  for (int i = 0; i + 1 < rows; ++i) {
    for (int j = 0; j + 1 < columns; ++j) {
      const std::size_t ring[4] = {index(i, j), index(i, j + 1), index(i + 1, j + 1),
                                   index(i + 1, j)};
      std::vector<Corner> corners;
      for (int k = 0; k < 4; ++k) {  // at a pole, the cell is a triangle
        if (same(ring[k], ring[(k + 1) % 4])) continue;
        corners.push_back({first_vertex + ring[k], first_normal + ring[k]});
      }
      if (corners.size() >= 3) face(corners);
    }
  }
}

void Model::sphere(Vec3 center, float radius, int rows) {
  const int columns = 2 * rows;
  std::vector<Vec3> points, normals;
  for (int i = 0; i <= rows; ++i) {
    for (int j = 0; j <= columns; ++j) {
      const float a = pi * static_cast<float>(i) / static_cast<float>(rows);
      const float b = 2.0f * pi * static_cast<float>(j) / static_cast<float>(columns);
      normals.push_back({std::sin(a) * std::sin(b), std::cos(a), std::sin(a) * std::cos(b)});
      points.push_back(center + normals.back() * radius);
    }
  }
  grid(rows + 1, columns + 1, points, normals);
}

void Model::quad(Vec3 a, Vec3 b, Vec3 c, Vec3 d) {
  const std::size_t first = vertex(a);
  vertex(b);
  vertex(c);
  vertex(d);
  face({{first, 0}, {first + 1, 0}, {first + 2, 0}, {first + 3, 0}});
}

void Model::box(Vec3 h, const Placement& at) {
  const auto p = [&](float x, float y, float z) {
    return at.point({x * h.x, y * 2.0f * h.y, z * h.z});
  };
  quad(p(-1, 0, 1), p(1, 0, 1), p(1, 1, 1), p(-1, 1, 1));
  quad(p(1, 0, -1), p(-1, 0, -1), p(-1, 1, -1), p(1, 1, -1));
  quad(p(1, 0, 1), p(1, 0, -1), p(1, 1, -1), p(1, 1, 1));
  quad(p(-1, 0, -1), p(-1, 0, 1), p(-1, 1, 1), p(-1, 1, -1));
  quad(p(-1, 1, 1), p(1, 1, 1), p(1, 1, -1), p(-1, 1, -1));
}

bool Model::write(const std::string& folder, const std::string& name) const {
  std::ofstream obj(folder + "/" + name + ".obj", std::ios::binary | std::ios::trunc);
  obj << "# Made by raytrace-scenes; see programs/raytrace/scenes.\n"
      << fmt::format("#!faces {}\n", faces_) << head_ << fmt::format("mtllib {}.mtl\n", name)
      << body_;
  obj.close();
  std::ofstream mtl(folder + "/" + name + ".mtl", std::ios::binary | std::ios::trunc);
  mtl << materials_;
  mtl.close();
  return obj.good() && mtl.good();
}

}  // namespace raytrace::scenes
