// Memory for frozen weights: a process's own, or one copy for all ranks of a node (made by comm/communicator.hpp).
// Models and kernels take what they keep for a whole run from here.
#pragma once

#include <cstddef>
#include <memory>

#include "ladle/core/device_memory.hpp"

namespace ladle {

/// What one array occupies in a store.
std::size_t stored_bytes(std::size_t bytes);

/// Hands out arrays that are filled once, while a model is built, and only read afterwards.
class WeightStore {
public:
    virtual ~WeightStore() = default;
    /// `bytes` bytes on a 64-byte boundary, valid as long as the returned pointer. Ranks that share a store take equal
    /// sizes in equal order. Null from a store that only plans.
    virtual std::shared_ptr<void> take(std::size_t bytes) = 0;
    /// What the arrays are part of; not of the process: filled through it.
    virtual DeviceMemory& memory() const { return host_memory(); }
    /// True where this process fills what it takes; elsewhere it must not write.
    virtual bool writes() const = 0;
    /// Call once after everything is filled and before anything is read; all ranks that share the store together.
    virtual void publish() = 0;

    /// Room for `count` elements.
    template <class T>
    std::shared_ptr<T> take_array(std::size_t count) {
        return std::static_pointer_cast<T>(take(count * sizeof(T)));
    }
};

/// Memory of this process alone, or of its GPU.
class PrivateWeights final : public WeightStore {
public:
    /// The memory must outlive the store.
    explicit PrivateWeights(DeviceMemory& memory = host_memory()) : memory_(&memory) {}
    std::shared_ptr<void> take(std::size_t bytes) override { return memory_->allocate(stored_bytes(bytes)); }
    DeviceMemory& memory() const override { return *memory_; }
    bool writes() const override { return true; }
    void publish() override {}

private:
    DeviceMemory* memory_;
};

/// Counts what a model would take and holds nothing.
class PlannedWeights final : public WeightStore {
public:
    std::shared_ptr<void> take(std::size_t bytes) override;
    bool writes() const override { return false; }
    void publish() override {}
    /// Of everything taken, each array rounded up to its boundary.
    std::size_t bytes() const { return bytes_; }

private:
    std::size_t bytes_ = 0;
};

}  // namespace ladle
