// Rotary positions: tables of cosines and sines, and the turning of queries and keys.
#pragma once

#include <vector>

#include "ladle/layers/context.hpp"
#include "ladle/layers/rows.hpp"

namespace ladle {

template <class Real>
class RotaryTable {
public:
    /// Element i of a position's row belongs to the angle position * frequencies[i]; computed in double.
    RotaryTable(DeviceMemory& memory, int positions, const std::vector<double>& frequencies);
    int positions() const { return positions_; }
    const DeviceArray<Real>& cosine() const { return cosine_; }  ///< [positions, head_dim / 2]
    const DeviceArray<Real>& sine() const { return sine_; }      ///< [positions, head_dim / 2]
    /// Turns the first heads * head_dim columns of x [rows, row_width] in place by the rows' positions.
    void forward(const Context<Real>& context, const Rows& rows, int heads, int row_width, Real* x) const;
    /// The same for a gradient: turns back.
    void backward(const Context<Real>& context, const Rows& rows, int heads, int row_width, Real* dx) const;

private:
    void turn(const Context<Real>& context, const Rows& rows, int heads, int row_width, bool inverse, Real* x) const;

    int positions_;
    int half_;
    DeviceArray<Real> cosine_;
    DeviceArray<Real> sine_;
};

}  // namespace ladle
