#include "core/bvh.h"

#include <cassert>
#include <numeric>

namespace raytrace {
namespace {

constexpr int bins = 16;
constexpr std::size_t leaf_size = bvh_width;

// What it costs to look at so many triangles: a leaf of four costs what a leaf of one does.
float fours(std::size_t triangles) {
  const std::size_t leaves = (triangles + 3) / 4;
  return static_cast<float>(leaves);
}

struct Part {  // a range of the triangle order, and the box around it
  std::size_t begin = 0, end = 0;
  Box box;
  std::size_t size() const { return end - begin; }
};

class Builder {
 public:
  Builder(const std::vector<Vec3>& vertices, const std::vector<Triangle>& triangles)
      : vertices_(vertices), triangles_(triangles), order_(triangles.size()) {
    std::iota(order_.begin(), order_.end(), 0u);
    boxes_.reserve(triangles.size());
    for (const Triangle& t : triangles) {
      Box& box = boxes_.emplace_back();
      for (const std::uint32_t v : t.vertex) box.grow(vertices[v]);
    }
  }

  Bvh run() {
    node(part(0, order_.size()), 0);
    return std::move(bvh_);
  }

 private:
  Part part(std::size_t begin, std::size_t end) const {
    Part p{begin, end, {}};
    for (std::size_t i = begin; i < end; ++i) p.box.grow(boxes_[order_[i]]);
    return p;
  }

  float center(std::uint32_t triangle, int axis) const {
    return axis_of(boxes_[triangle].center(), axis);
  }

  // Makes a node of `all`: splits the largest part in two until there are four.
  std::uint32_t node(const Part& all, int depth) {
    std::array<Part, bvh_width> parts;
    std::size_t count = 0;
    parts[count++] = all;
    while (count < bvh_width) {
      std::size_t pick = count;
      for (std::size_t i = 0; i < count; ++i) {
        if (parts[i].size() <= leaf_size) continue;
        if (pick == count || parts[i].box.half_area() > parts[pick].box.half_area()) pick = i;
      }
      if (pick == count) break;
      const std::size_t middle = split(parts[pick], depth);
      parts[count++] = part(middle, parts[pick].end);
      parts[pick] = part(parts[pick].begin, middle);
    }
    const auto index = static_cast<std::uint32_t>(bvh_.nodes.size());
    bvh_.nodes.push_back(empty_node());
    for (std::size_t i = 0; i < count; ++i) {
      const std::uint32_t child =
          parts[i].size() <= leaf_size ? leaf(parts[i]) : node(parts[i], depth + 1);
      BvhNode& n = bvh_.nodes[index];  // found anew: the array may have moved
      n.child[i] = child;
      for (int axis = 0; axis < 3; ++axis) {
        n.planes[axis][0][i] = axis_of(parts[i].box.low, axis);
        n.planes[axis][1][i] = axis_of(parts[i].box.high, axis);
      }
    }
    return index;
  }

  static BvhNode empty_node() {
    BvhNode n{};
    for (int i = 0; i < bvh_width; ++i) {
      n.child[i] = child_none;
      for (auto& axis : n.planes) {
        axis[0][i] = 1e30f;
        axis[1][i] = -1e30f;
      }
    }
    return n;
  }

  std::uint32_t leaf(const Part& p) {
    BvhLeaf l{};
    for (std::size_t i = 0; i < p.size(); ++i) {
      const std::uint32_t t = order_[p.begin + i];
      const auto& v = triangles_[t].vertex;
      const Vec3 corner = vertices_[v[0]];
      const Vec3 edge1 = vertices_[v[1]] - corner, edge2 = vertices_[v[2]] - corner;
      for (int axis = 0; axis < 3; ++axis) {
        l.corner[axis][i] = axis_of(corner, axis);
        l.edge1[axis][i] = axis_of(edge1, axis);
        l.edge2[axis][i] = axis_of(edge2, axis);
      }
      l.triangle[i] = t;
    }
    bvh_.leaves.push_back(l);
    return static_cast<std::uint32_t>(bvh_.leaves.size() - 1) | child_is_leaf;
  }

  // Orders the triangles of `p` so that [begin, middle) and [middle, end) are good halves by the
  // surface area heuristic, tried at the borders of bins along each axis. Returns the middle.
  std::size_t split(const Part& p, int depth) {
    Box centers;
    for (std::size_t i = p.begin; i < p.end; ++i) centers.grow(boxes_[order_[i]].center());
    int best_axis = -1, best_bin = 0;
    float best_cost = 1e38f;
    for (int axis = 0; axis < 3 && depth < bvh_clever_depth; ++axis) {
      const float low = axis_of(centers.low, axis), high = axis_of(centers.high, axis);
      const float scale = bin_scale(low, high);
      if (!(scale < 1e30f)) continue;  // all centers in one place, or nearly
      std::array<Box, bins> box;
      std::array<std::size_t, bins> count{};
      for (std::size_t i = p.begin; i < p.end; ++i) {
        const int b = bin_of(center(order_[i], axis), low, scale);
        box[b].grow(boxes_[order_[i]]);
        ++count[b];
      }
      std::array<float, bins> right_cost{};
      Box right;
      std::size_t right_count = 0;
      for (int b = bins - 1; b > 0; --b) {
        right.grow(box[b]);
        right_count += count[b];
        right_cost[b] = right.half_area() * fours(right_count);
      }
      Box left;
      std::size_t left_count = 0;
      for (int b = 1; b < bins; ++b) {
        left.grow(box[b - 1]);
        left_count += count[b - 1];
        const float cost = left.half_area() * fours(left_count) + right_cost[b];
        if (left_count == 0 || left_count == p.size() || cost >= best_cost) continue;
        best_cost = cost;
        best_axis = axis;
        best_bin = b;
      }
    }
    if (best_axis < 0) return split_in_middle(p, centers);
    const float low = axis_of(centers.low, best_axis);
    const float scale = bin_scale(low, axis_of(centers.high, best_axis));
    const auto middle = std::stable_partition(at(p.begin), at(p.end), [&](std::uint32_t t) {
      return bin_of(center(t, best_axis), low, scale) < best_bin;
    });
    return static_cast<std::size_t>(middle - order_.begin());
  }

  // For what no plane separates: many triangles on one spot, or a tree that grows too deep.
  std::size_t split_in_middle(const Part& p, const Box& centers) {
    const Vec3 extent = centers.high - centers.low;
    const int axis = extent.x >= extent.y && extent.x >= extent.z ? 0
                     : extent.y >= extent.z                       ? 1
                                                                  : 2;
    const std::size_t middle = p.begin + p.size() / 2;
    std::nth_element(at(p.begin), at(middle), at(p.end), [&](std::uint32_t a, std::uint32_t b) {
      const float ca = center(a, axis), cb = center(b, axis);
      return ca < cb || (ca == cb && a < b);
    });
    return middle;
  }

  static float bin_scale(float low, float high) {
    return static_cast<float>(bins) * 0.9999f / (high - low);
  }
  static int bin_of(float center, float low, float scale) {
    return std::clamp(static_cast<int>((center - low) * scale), 0, bins - 1);
  }
  std::vector<std::uint32_t>::iterator at(std::size_t i) {
    return order_.begin() + static_cast<std::ptrdiff_t>(i);
  }

  const std::vector<Vec3>& vertices_;
  const std::vector<Triangle>& triangles_;
  std::vector<std::uint32_t> order_;
  std::vector<Box> boxes_;
  Bvh bvh_;
};

}  // namespace

Bvh build_bvh(const std::vector<Vec3>& vertices, const std::vector<Triangle>& triangles) {
  assert(!triangles.empty());
  return Builder(vertices, triangles).run();
}

}  // namespace raytrace
