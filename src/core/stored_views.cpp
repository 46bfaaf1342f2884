// Reading through views, stretch by stretch.
#include "ladle/core/stored_views.hpp"

#include <algorithm>
#include <utility>

#include "ladle/core/check.hpp"
#include "ladle/core/error.hpp"

namespace ladle {
namespace {

void append(const StoredTensor& from, std::size_t first, std::size_t count, std::vector<std::byte>& bytes) {
    const std::vector<std::byte> taken = from.read(first, count);
    bytes.insert(bytes.end(), taken.begin(), taken.end());
}

/// Numbers of one part from one step of the outer dimensions to the next.
std::size_t stretch_of(const Shape& shape, std::size_t dimension) {
    return shape_elements(Shape(shape.begin() + static_cast<std::ptrdiff_t>(dimension), shape.end()));
}

void check_fit(const StoredTensor& first, const StoredTensor& other, std::size_t dimension) {
    Shape expected = first.shape;
    if (other.shape.size() == expected.size()) {
        expected[dimension] = other.shape[dimension];
    }
    if (other.shape != expected || other.dtype != first.dtype) {
        throw DataError("cannot put tensors together",
                        dtype_name(first.dtype) + " " + shape_text(first.shape) + " and " + dtype_name(other.dtype) +
                            " " + shape_text(other.shape) + " differ in more than dimension " +
                            std::to_string(dimension),
                        "take all files of one model");
    }
}

}  // namespace

StoredTensor concatenate(std::vector<StoredTensor> parts, std::size_t dimension) {
    check(!parts.empty() && dimension < parts.front().shape.size(), "there is something to put together");
    StoredTensor whole{parts.front().dtype, parts.front().shape, {}};
    whole.shape[dimension] = 0;
    std::vector<std::size_t> ends;  // of the parts in one step of the outer dimensions
    for (const StoredTensor& part : parts) {
        check_fit(parts.front(), part, dimension);
        whole.shape[dimension] += part.shape[dimension];
        ends.push_back((ends.empty() ? 0 : ends.back()) + stretch_of(part.shape, dimension));
    }
    const std::size_t element = dtype_bytes(whole.dtype);
    whole.read = [parts = std::move(parts), ends, element](std::size_t first, std::size_t count) {
        std::vector<std::byte> bytes;
        bytes.reserve(count * element);
        const std::size_t step = ends.back();
        while (count > 0) {
            const std::size_t place = first % step;
            const auto part =
                static_cast<std::size_t>(std::upper_bound(ends.begin(), ends.end(), place) - ends.begin());
            const std::size_t begin = part == 0 ? 0 : ends[part - 1];
            const std::size_t taken = std::min(count, ends[part] - place);
            append(parts[part], first / step * (ends[part] - begin) + (place - begin), taken, bytes);
            first += taken;
            count -= taken;
        }
        return bytes;
    };
    return whole;
}

StoredTensor take_rows(StoredTensor matrix, std::function<std::size_t(std::size_t)> source_row) {
    check(matrix.shape.size() == 2, "rows are taken from a matrix");
    const auto columns = static_cast<std::size_t>(matrix.shape[1]);
    const std::size_t element = dtype_bytes(matrix.dtype);
    StoredTensor taken{matrix.dtype, matrix.shape, {}};
    taken.read = [matrix = std::move(matrix), source_row = std::move(source_row), columns, element](std::size_t first,
                                                                                                    std::size_t count) {
        std::vector<std::byte> bytes;
        bytes.reserve(count * element);
        while (count > 0) {
            const std::size_t place = first % columns;
            const std::size_t length = std::min(count, columns - place);
            append(matrix, source_row(first / columns) * columns + place, length, bytes);
            first += length;
            count -= length;
        }
        return bytes;
    };
    return taken;
}

std::size_t half_split_row(std::size_t interleaved, std::size_t head_dim) {
    const std::size_t inside = interleaved % head_dim;
    return interleaved - inside + inside / 2 + inside % 2 * (head_dim / 2);
}

std::size_t interleaved_row(std::size_t half_split, std::size_t head_dim) {
    const std::size_t inside = half_split % head_dim;
    const std::size_t half = head_dim / 2;
    return half_split - inside + (inside < half ? 2 * inside : 2 * (inside - half) + 1);
}

}  // namespace ladle
