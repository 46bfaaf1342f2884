// Small arrays of the process on their way to where kernels read them: together, because on a GPU each copy costs the
// host the time of a kernel's launch.
#pragma once

#include <cstddef>
#include <vector>

#include "ladle/core/arena.hpp"

namespace ladle {

class Placement {
public:
    /// place() lets `array` [count] point to the values' copy. Pointer and values must live until then; null stays
    /// null.
    template <class T>
    void add(const T*& array, std::size_t count) {
        if (array != nullptr) {
            items_.push_back({&array, array, count * sizeof(T)});
        }
    }
    /// Copies all arrays into the arena, through one block of staging; arrays that kernels can read stay where they
    /// are.
    void place(Arena& arena, Arena& staging);

private:
    struct Item {
        void* pointer;  ///< to the array, of whatever type
        const void* values;
        std::size_t bytes;
    };
    std::vector<Item> items_;
};

}  // namespace ladle
