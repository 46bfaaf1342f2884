// GGUF: header with metadata and tensor descriptions, then the tensors at multiples of the alignment.
#include "ladle/io/gguf.hpp"

#include <algorithm>
#include <memory>

#include "gguf_values.hpp"
#include "ladle/core/utf8.hpp"

namespace ladle {
namespace {

using nlohmann::json;

/// Values in memory take up to sixteen times their bytes. A vocabulary of 128,000 tokens with its merges needs eight
/// million bytes.
constexpr std::size_t kMaxHeaderBytes = std::size_t{32} << 20U;
constexpr std::uint32_t kMagic = 0x46554747;  // "GGUF"
constexpr std::uint32_t kVersion = 3;
constexpr std::uint32_t kMaxRank = 4;
constexpr std::size_t kMaxNameBytes = 256;
constexpr std::size_t kStandardAlignment = 32;
constexpr std::size_t kMaxAlignment = 65536;
/// A length, a type and one byte; a length, a rank, a type and an offset.
constexpr std::size_t kLeastPairBytes = 13;
constexpr std::size_t kLeastTensorBytes = 24;

struct Entry {
    std::string name;
    const GgufType* type = nullptr;
    Shape shape;             ///< row-major
    std::size_t offset = 0;  ///< from the start of the data
    std::size_t bytes = 0;   ///< in the file
    std::size_t elements = 0;
};

std::string take_name(GgufCursor& cursor, const BinaryFile& file, const char* of) {
    std::string name = cursor.take_text();
    if (name.empty() || name.size() > kMaxNameBytes || !is_plain_text(name)) {
        file.refuse(std::string("the name of a ") + of + " is empty, longer than " + std::to_string(kMaxNameBytes) +
                    " bytes, malformed UTF-8 or holds a NUL");
    }
    return name;
}

json take_metadata(GgufCursor& cursor, std::size_t count, const BinaryFile& file) {
    json metadata = json::object();
    for (std::size_t i = 0; i < count; ++i) {
        const std::string key = take_name(cursor, file, "key");
        if (metadata.contains(key)) {
            file.refuse("the key " + key + " occurs twice");
        }
        metadata[key] = cursor.take_value(key);
    }
    return metadata;
}

Entry take_entry(GgufCursor& cursor, const BinaryFile& file) {
    Entry entry;
    entry.name = take_name(cursor, file, "tensor");
    const auto rank = cursor.take<std::uint32_t>();
    if (rank > kMaxRank) {
        file.refuse("tensor " + entry.name + " has " + std::to_string(rank) + " dimensions, more than " +
                    std::to_string(kMaxRank));
    }
    for (std::uint32_t i = 0; i < rank; ++i) {
        const auto extent = cursor.take<std::uint64_t>();
        // One byte holds two numbers at most.
        if (extent / 2 > file.size()) {
            file.refuse("tensor " + entry.name + ": extent " + std::to_string(extent) + " is larger than the file");
        }
        entry.shape.insert(entry.shape.begin(), static_cast<std::int64_t>(extent));
    }
    const auto type = cursor.take<std::uint32_t>();
    entry.type = find_gguf_type(type);
    if (entry.type == nullptr) {
        file.refuse(
            "tensor " + entry.name + " is of type " + std::to_string(type) + "; ladle reads " + gguf_type_names(),
            "convert the model to one of these types");
    }
    const std::size_t row = entry.shape.empty() ? 1 : static_cast<std::size_t>(entry.shape.back());
    if (row % entry.type->block != 0) {
        file.refuse("tensor " + entry.name + ": its rows of " + std::to_string(row) +
                    " numbers are not whole blocks of " + entry.type->name);
    }
    entry.elements = shape_elements(entry.shape);
    entry.bytes = entry.elements / entry.type->block * entry.type->block_bytes;
    entry.offset = static_cast<std::size_t>(cursor.take<std::uint64_t>());
    return entry;
}

std::size_t alignment_of(const json& metadata, const BinaryFile& file) {
    const auto found = metadata.find("general.alignment");
    if (found == metadata.end()) {
        return kStandardAlignment;
    }
    if (!found->is_number_unsigned() || *found == 0U || *found > kMaxAlignment || found->get<std::size_t>() % 8 != 0) {
        file.refuse("general.alignment is not a multiple of 8 up to " + std::to_string(kMaxAlignment));
    }
    return found->get<std::size_t>();
}

std::size_t round_up(std::size_t value, std::size_t multiple) {
    return (value + multiple - 1) / multiple * multiple;
}

/// Sorts the entries by place; they must fill `data_bytes` but for padding.
void check_tiling(std::vector<Entry>& entries, std::size_t data_bytes, std::size_t alignment, const BinaryFile& file) {
    // Empty tensors share their place with the next one.
    std::stable_sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
        return std::pair(a.offset, a.bytes) < std::pair(b.offset, b.bytes);
    });
    std::size_t end = 0;
    for (const Entry& entry : entries) {
        if (entry.offset != round_up(end, alignment)) {
            file.refuse("tensor " + entry.name + ": its data overlap another tensor's, leave a gap or are not aligned");
        }
        if (entry.bytes > data_bytes || entry.offset > data_bytes - entry.bytes) {
            file.refuse("tensor " + entry.name + " reaches beyond the end of the file: truncated, or damaged");
        }
        end = entry.offset + entry.bytes;
    }
    if (data_bytes > round_up(end, alignment)) {
        file.refuse("the tensors take " + std::to_string(end) + " bytes, the file holds " + std::to_string(data_bytes) +
                    " (bytes that belong to no tensor)");
    }
}

/// Numbers first .. first + count - 1 of a tensor of blocks that starts at `begin`.
std::vector<std::byte> read_blocks(const BinaryFile& file, const GgufType& type, std::size_t begin, std::size_t first,
                                   std::size_t count) {
    const std::size_t first_block = first / type.block;
    const std::size_t blocks = (first + count + type.block - 1) / type.block - first_block;
    const auto stored = file.read(begin + first_block * type.block_bytes, blocks * type.block_bytes);
    std::vector<float> values(blocks * type.block);
    for (std::size_t i = 0; i < blocks; ++i) {
        type.dequantise(stored.data() + i * type.block_bytes, values.data() + i * type.block);
    }
    std::vector<std::byte> bytes(count * sizeof(float));
    if (count > 0) {
        std::memcpy(bytes.data(), values.data() + (first - first_block * type.block), bytes.size());
    }
    return bytes;
}

StoredTensor stored(const std::shared_ptr<const BinaryFile>& file, const Entry& entry, std::size_t begin) {
    const GgufType* type = entry.type;
    const auto read = [file, type, begin](std::size_t first, std::size_t count) {
        return type->dequantise != nullptr ? read_blocks(*file, *type, begin, first, count)
                                           : file->read(begin + first * type->block_bytes, count * type->block_bytes);
    };
    return {type->dtype, entry.shape, read};
}

}  // namespace

GgufFile open_gguf(const std::string& path) {
    const auto file = std::make_shared<const BinaryFile>(path);
    const std::string header = file->read_text(0, std::min(file->size(), kMaxHeaderBytes));
    GgufCursor cursor(header, *file);
    if (file->size() < sizeof(kMagic) || cursor.take<std::uint32_t>() != kMagic) {
        file->refuse("it is not a GGUF file", "name a .gguf file");
    }
    if (const auto version = cursor.take<std::uint32_t>(); version != kVersion) {
        file->refuse("it is GGUF version " + std::to_string(version) + " (or big-endian); ladle reads version 3",
                     "convert the model again with a current converter");
    }
    const std::size_t tensor_count = cursor.take_count(kLeastTensorBytes, "tensors");
    const std::size_t pair_count = cursor.take_count(kLeastPairBytes, "keys");
    GgufFile result{take_metadata(cursor, pair_count, *file), {}};
    std::vector<Entry> entries;
    for (std::size_t i = 0; i < tensor_count; ++i) {
        entries.push_back(take_entry(cursor, *file));
    }
    const std::size_t alignment = alignment_of(result.metadata, *file);
    const std::size_t data_begin = round_up(cursor.position(), alignment);
    const std::size_t data_bytes = file->size() - std::min(data_begin, file->size());
    check_tiling(entries, data_bytes, alignment, *file);
    for (const Entry& entry : entries) {
        if (!result.tensors.emplace(entry.name, stored(file, entry, data_begin + entry.offset)).second) {
            file->refuse("two tensors are called " + entry.name);
        }
    }
    return result;
}

}  // namespace ladle
