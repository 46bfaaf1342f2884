// GGUF files put together byte by byte, right or wrong. Shared by the tests of formats and of hostile input.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace gguf_bytes {

template <class T>
std::string raw(T value) {
    return {reinterpret_cast<const char*>(&value), sizeof(value)};
}

inline std::string text(const std::string& value) {
    return raw(static_cast<std::uint64_t>(value.size())) + value;
}

/// Numbers of the value types that the tests use.
enum Type : std::uint32_t { kUint8 = 0, kInt32 = 5, kUint32 = 4, kFloat32 = 6, kBool = 7, kString = 8, kArray = 9 };

inline std::string pair(const std::string& key, std::uint32_t type, const std::string& value) {
    return text(key) + raw(type) + value;
}

inline std::string list(std::uint32_t type, std::uint64_t count, const std::string& items) {
    return raw(type) + raw(count) + items;
}

/// `extents` as in the file, the fastest first.
inline std::string tensor(const std::string& name, const std::vector<std::uint64_t>& extents, std::uint32_t type,
                          std::uint64_t offset) {
    std::string bytes = text(name) + raw(static_cast<std::uint32_t>(extents.size()));
    for (const std::uint64_t extent : extents) {
        bytes += raw(extent);
    }
    return bytes + raw(type) + raw(offset);
}

struct File {
    std::string magic = "GGUF";
    std::uint32_t version = 3;
    std::vector<std::string> pairs;
    std::vector<std::string> tensors;
    std::string data;
    std::size_t alignment = 32;

    std::string bytes() const {
        std::string all = magic + raw(version) + raw(static_cast<std::uint64_t>(tensors.size())) +
                          raw(static_cast<std::uint64_t>(pairs.size()));
        for (const std::string& part : pairs) {
            all += part;
        }
        for (const std::string& part : tensors) {
            all += part;
        }
        all.resize((all.size() + alignment - 1) / alignment * alignment, '\0');
        return all + data;
    }
};

/// Four float32 numbers and padding.
inline std::string four_floats() {
    return raw(1.0F) + raw(-2.5F) + raw(0.0F) + raw(3.0F) + std::string(16, '\0');
}

/// A Q4_1 block with scale 0.5, minimum -1 and q = i % 16 for numbers 0-15, 15 - i % 16 for 16-31.
inline std::string q4_1_block() {
    std::string block = raw(std::uint16_t{0x3800}) + raw(std::uint16_t{0xbc00});
    for (unsigned i = 0; i < 16; ++i) {
        block += static_cast<char>(i | ((15U - i) << 4U));
    }
    return block;
}

/// A Q8_0 block with scale 0.25 and q = i - 16.
inline std::string q8_0_block() {
    std::string block = raw(std::uint16_t{0x3400});
    for (int i = 0; i < 32; ++i) {
        block += static_cast<char>(i - 16);
    }
    return block;
}

}  // namespace gguf_bytes
