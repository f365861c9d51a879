// Which types may lie in a segment by themselves: those that mean the same in every task.
//
// A type must be trivially copyable, since readers copy its bytes. What points somewhere is
// refused where it can be seen: a bare pointer, and the types of the standard library that are one
// inside. A pointer inside a struct cannot be seen; there it is the program's word that it points
// into a segment (which is at the same address in every task) and not into its own memory. Ref<T>
// of heap.h says the same and is checked.
#pragma once

#include <array>
#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>

namespace hive {

namespace detail {

template <class T>
struct PointsAway : std::bool_constant<std::is_pointer_v<T> || std::is_member_pointer_v<T> ||
                                       std::is_null_pointer_v<T>> {};
template <class T, std::size_t N>
struct PointsAway<T[N]> : PointsAway<T> {};
template <class T, std::size_t N>
struct PointsAway<std::array<T, N>> : PointsAway<T> {};
template <class T>
struct PointsAway<std::optional<T>> : PointsAway<T> {};
template <class T, std::size_t N>
struct PointsAway<std::span<T, N>> : std::true_type {};
template <class C, class Traits>
struct PointsAway<std::basic_string_view<C, Traits>> : std::true_type {};
template <class T>
struct PointsAway<std::reference_wrapper<T>> : std::true_type {};

}  // namespace detail

template <class T>
concept Shareable =
    std::is_object_v<T> && std::is_trivially_copyable_v<T> && !std::is_const_v<T> &&
    !std::is_volatile_v<T> && !std::is_polymorphic_v<T> && !detail::PointsAway<T>::value;

}  // namespace hive
