// Rotary positions: tables of cosines and sines, and the turning of queries and keys.
#pragma once

#include <cstdint>
#include <vector>

#include "ladle/layers/context.hpp"

namespace ladle {

template <class Real>
class RotaryTable {
public:
    /// Element i of a position's row belongs to the angle position * frequencies[i]; computed in double.
    RotaryTable(DeviceMemory& memory, int positions, const std::vector<double>& frequencies);
    int positions() const { return positions_; }
    const DeviceArray<Real>& cosine() const { return cosine_; }  ///< [positions, head_dim / 2]
    const DeviceArray<Real>& sine() const { return sine_; }      ///< [positions, head_dim / 2]
    /// Turns x [rows, heads * head_dim] in place by the rows' positions [rows].
    void forward(const Context<Real>& context, int rows, int heads, const std::uint32_t* positions, Real* x) const;
    /// The same for a gradient: turns back.
    void backward(const Context<Real>& context, int rows, int heads, const std::uint32_t* positions, Real* dx) const;

private:
    void turn(const Context<Real>& context, int rows, int heads, const std::uint32_t* positions, bool inverse,
              Real* x) const;

    int positions_;
    int half_;
    DeviceArray<Real> cosine_;
    DeviceArray<Real> sine_;
};

}  // namespace ladle
