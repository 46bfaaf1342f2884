// Scratch memory of one worker thread, of the process or of a GPU: filled from the front during a micro-batch, emptied
// at its end.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "ladle/core/device_memory.hpp"

namespace ladle {

/// Hands out 64-byte aligned arrays that live until reset(). Grows in chunks while a run warms up and keeps what it
/// has, so that later micro-batches of the same size allocate nothing. Not thread-safe: one arena per thread.
class Arena {
public:
    /// The memory must outlive the arena.
    explicit Arena(DeviceMemory& memory = host_memory()) : memory_(&memory) {}
    DeviceMemory& memory() const { return *memory_; }
    /// `count` uninitialised elements.
    template <class T>
    T* take(std::size_t count) {
        return static_cast<T*>(take_bytes(count * sizeof(T)));
    }
    /// A host array [count] as kernels read it: itself in memory of the process, a copy in this arena elsewhere.
    template <class T>
    const T* place(const T* values, std::size_t count) {
        if (memory_->is_host() || values == nullptr) {
            return values;
        }
        T* placed = take<T>(count);
        memory_->copy_in(placed, values, count * sizeof(T));
        return placed;
    }
    /// Invalidates everything handed out and joins the chunks into one.
    void reset();
    /// A point to which release() returns.
    struct Mark {
        std::size_t chunk = 0;
        std::size_t used_bytes = 0;
    };
    Mark mark() const;
    /// Invalidates everything handed out since the mark was taken.
    void release(const Mark& mark);
    std::size_t capacity_bytes() const;
    /// Takes the memory now, so that nothing is allocated until more than `bytes` are in use. On an empty arena.
    void reserve(std::size_t bytes);
    /// The most that was ever handed out at one time.
    std::size_t peak_bytes() const { return peak_bytes_; }

private:
    struct Chunk {
        std::shared_ptr<std::byte> block;
        std::size_t size_bytes = 0;
        std::size_t used_bytes = 0;
    };
    void* take_bytes(std::size_t bytes);
    void add_chunk(std::size_t bytes);

    DeviceMemory* memory_;
    std::vector<Chunk> chunks_;
    std::size_t current_ = 0;  ///< chunk that is being filled; later ones are empty
    std::size_t used_bytes_ = 0;
    std::size_t peak_bytes_ = 0;
};

/// Gives back what was taken from an arena during its life.
class ArenaScope {
public:
    explicit ArenaScope(Arena& arena) : arena_(arena), mark_(arena.mark()) {}
    ~ArenaScope() { arena_.release(mark_); }
    ArenaScope(const ArenaScope&) = delete;
    ArenaScope& operator=(const ArenaScope&) = delete;

private:
    Arena& arena_;
    Arena::Mark mark_;
};

}  // namespace ladle
