// Rotary tables.
#include "ladle/layers/rotary.hpp"

#include <cmath>

namespace ladle {

template <class Real>
RotaryTable<Real>::RotaryTable(DeviceMemory& memory, int positions, const std::vector<double>& frequencies)
    : positions_(positions),
      half_(static_cast<int>(frequencies.size())),
      cosine_(memory, static_cast<std::size_t>(positions) * frequencies.size()),
      sine_(memory, static_cast<std::size_t>(positions) * frequencies.size()) {
    std::vector<Real> cosine;
    std::vector<Real> sine;
    cosine.reserve(cosine_.size());
    sine.reserve(sine_.size());
    for (int position = 0; position < positions; ++position) {
        for (const double frequency : frequencies) {
            cosine.push_back(static_cast<Real>(std::cos(position * frequency)));
            sine.push_back(static_cast<Real>(std::sin(position * frequency)));
        }
    }
    cosine_.copy_in(cosine.data(), cosine.size());
    sine_.copy_in(sine.data(), sine.size());
}

template <class Real>
void RotaryTable<Real>::forward(const Context<Real>& context, const Rows& rows, int heads, int row_width,
                                Real* x) const {
    turn(context, rows, heads, row_width, false, x);
}

template <class Real>
void RotaryTable<Real>::backward(const Context<Real>& context, const Rows& rows, int heads, int row_width,
                                 Real* dx) const {
    turn(context, rows, heads, row_width, true, dx);
}

template <class Real>
void RotaryTable<Real>::turn(const Context<Real>& context, const Rows& rows, int heads, int row_width, bool inverse,
                             Real* x) const {
    Rotary<Real> call;
    call.rows = rows.count;
    call.heads = heads;
    call.head_dim = 2 * half_;
    call.row_width = row_width;
    call.inverse = inverse;
    call.positions = rows.placed.origins.token;
    call.cosine = cosine_.data();
    call.sine = sine_.data();
    call.x = x;
    context.kernels.rotary(call);
}

template class RotaryTable<float>;
template class RotaryTable<double>;

}  // namespace ladle
