// Four floats at once. SSE where there is SSE; elsewhere the same operations one by one. Both give
// the same bits, because each lane is plain IEEE arithmetic: the picture doesn't depend on which
// is compiled.
#pragma once

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace raytrace {

#ifdef __SSE2__

struct Float4 {
  __m128 v;

  static Float4 load(const float* p) { return {_mm_load_ps(p)}; }  // p is 16-byte aligned
  static Float4 all(float x) { return {_mm_set1_ps(x)}; }
  void store(float* p) const { _mm_store_ps(p, v); }
};

inline Float4 operator+(Float4 a, Float4 b) { return {_mm_add_ps(a.v, b.v)}; }
inline Float4 operator-(Float4 a, Float4 b) { return {_mm_sub_ps(a.v, b.v)}; }
inline Float4 operator*(Float4 a, Float4 b) { return {_mm_mul_ps(a.v, b.v)}; }
inline Float4 operator/(Float4 a, Float4 b) { return {_mm_div_ps(a.v, b.v)}; }
inline Float4 min(Float4 a, Float4 b) { return {_mm_min_ps(a.v, b.v)}; }
inline Float4 max(Float4 a, Float4 b) { return {_mm_max_ps(a.v, b.v)}; }
// Bit i is set where lane i of a is <= (or <) lane i of b; false where one is not a number.
inline int less_equal(Float4 a, Float4 b) { return _mm_movemask_ps(_mm_cmple_ps(a.v, b.v)); }
inline int less(Float4 a, Float4 b) { return _mm_movemask_ps(_mm_cmplt_ps(a.v, b.v)); }

#else

struct Float4 {
  float v[4];

  static Float4 load(const float* p) { return {{p[0], p[1], p[2], p[3]}}; }
  static Float4 all(float x) { return {{x, x, x, x}}; }
  void store(float* p) const {
    for (int i = 0; i < 4; ++i) p[i] = v[i];
  }
};

namespace detail {
template <class Op>
Float4 lanes(const Float4& a, const Float4& b, Op op) {
  return {{op(a.v[0], b.v[0]), op(a.v[1], b.v[1]), op(a.v[2], b.v[2]), op(a.v[3], b.v[3])}};
}
template <class Op>
int mask(const Float4& a, const Float4& b, Op op) {
  int bits = 0;
  for (int i = 0; i < 4; ++i) bits |= op(a.v[i], b.v[i]) ? 1 << i : 0;
  return bits;
}
}  // namespace detail

inline Float4 operator+(Float4 a, Float4 b) {
  return detail::lanes(a, b, [](float x, float y) { return x + y; });
}
inline Float4 operator-(Float4 a, Float4 b) {
  return detail::lanes(a, b, [](float x, float y) { return x - y; });
}
inline Float4 operator*(Float4 a, Float4 b) {
  return detail::lanes(a, b, [](float x, float y) { return x * y; });
}
inline Float4 operator/(Float4 a, Float4 b) {
  return detail::lanes(a, b, [](float x, float y) { return x / y; });
}
inline Float4 min(Float4 a, Float4 b) {
  return detail::lanes(a, b, [](float x, float y) { return x < y ? x : y; });
}
inline Float4 max(Float4 a, Float4 b) {
  return detail::lanes(a, b, [](float x, float y) { return x > y ? x : y; });
}
inline int less_equal(Float4 a, Float4 b) {
  return detail::mask(a, b, [](float x, float y) { return x <= y; });
}
inline int less(Float4 a, Float4 b) {
  return detail::mask(a, b, [](float x, float y) { return x < y; });
}

#endif

}  // namespace raytrace
