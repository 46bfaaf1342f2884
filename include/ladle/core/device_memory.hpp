// Where kernels read and write: this process's own memory, or a GPU's. Who fills or reads arrays of kernels without a
// kernel goes through here.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

namespace ladle {

class DeviceMemory {
public:
    virtual ~DeviceMemory() = default;
    /// True where the program may read and write such memory itself.
    virtual bool is_host() const = 0;
    /// `bytes` uninitialised bytes on a 64-byte boundary. Throws DeviceError if a GPU has no room.
    virtual std::shared_ptr<void> allocate(std::size_t bytes) = 0;
    /// Copies host bytes to the device; `from` may change as soon as this returns.
    virtual void copy_in(void* to, const void* from, std::size_t bytes) = 0;
    /// Copies device bytes to the host, after all that was asked of the device before; waits for it.
    virtual void copy_out(void* to, const void* from, std::size_t bytes) = 0;
    /// Fills with zero bytes.
    virtual void zero(void* to, std::size_t bytes) = 0;
    /// The GPU's stream of work (a cudaStream_t), in whose order all this happens; null for memory of the process.
    virtual void* stream() const { return nullptr; }
};

/// Memory of this process.
DeviceMemory& host_memory();

/// An array of kernels that its owner fills and reads as a whole.
template <class T>
class DeviceArray {
public:
    /// Zeros.
    DeviceArray(DeviceMemory& memory, std::size_t count)
        : memory_(&memory), values_(std::static_pointer_cast<T>(memory.allocate(count * sizeof(T)))), count_(count) {
        zero();
    }
    T* data() { return values_.get(); }
    const T* data() const { return values_.get(); }
    std::size_t size() const { return count_; }
    void zero() { memory_->zero(values_.get(), count_ * sizeof(T)); }
    /// values [count] into the elements from `first` on.
    void copy_in(const T* values, std::size_t count, std::size_t first = 0) {
        memory_->copy_in(values_.get() + first, values, count * sizeof(T));
    }
    /// The elements from `first` on into values [count].
    void copy_out(T* values, std::size_t count, std::size_t first = 0) const {
        memory_->copy_out(values, values_.get() + first, count * sizeof(T));
    }
    std::vector<T> to_host() const {
        std::vector<T> values(count_);
        copy_out(values.data(), count_);
        return values;
    }

private:
    DeviceMemory* memory_;
    std::shared_ptr<T> values_;
    std::size_t count_;
};

}  // namespace ladle
