// Single values of rows, whatever their precision, strides and alignment.
#pragma once
#include <cstdint>
#include <cstring>

#include "problem.hpp"

namespace gaussmix {

template <class From>
inline double value(const Rows& rows, std::int64_t row, std::int64_t j) {
    From number;
    std::memcpy(&number, rows.data + row * rows.row_step + j * rows.column_step, sizeof number);
    return number;
}
inline double value(const Rows& rows, std::int64_t row, std::int64_t j) {
    return rows.single ? value<float>(rows, row, j) : value<double>(rows, row, j);
}

}  // namespace gaussmix
