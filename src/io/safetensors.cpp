// safetensors: 8-byte length, JSON header, data.
#include "ladle/io/safetensors.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <vector>

#include "binary_file.hpp"
#include "ladle/core/error.hpp"
#include "ladle/core/json_file.hpp"
#include "ladle/core/utf8.hpp"
#include "ladle/io/files.hpp"

static_assert(std::endian::native == std::endian::little, "tensors are stored little endian");

namespace ladle {
namespace {

using nlohmann::json;

/// Parsed JSON takes up to twenty times its text. A model of 100,000 tensors needs about ten million bytes.
constexpr std::size_t kMaxHeaderBytes = std::size_t{32} << 20U;
constexpr std::size_t kMaxRank = 32;

struct TypeName {
    DType dtype;
    const char* name;
};
constexpr std::array<TypeName, 9> kTypeNames = {{{DType::f32, "F32"},
                                                 {DType::f16, "F16"},
                                                 {DType::bf16, "BF16"},
                                                 {DType::f64, "F64"},
                                                 {DType::i64, "I64"},
                                                 {DType::i32, "I32"},
                                                 {DType::u16, "U16"},
                                                 {DType::u8, "U8"},
                                                 {DType::boolean, "BOOL"}}};

/// One tensor of the header.
struct Entry {
    std::string name;
    DType dtype = DType::f32;
    Shape shape;
    std::size_t begin = 0;  ///< from the start of the data
    std::size_t end = 0;
};

struct Header {
    std::vector<Entry> entries;  ///< in the order of their data
    StringMap metadata;
    std::size_t data_offset = 0;
};

std::size_t unsigned_value(const json& value, const BinaryFile& file, const std::string& name) {
    if (!value.is_number_unsigned()) {
        file.refuse("tensor " + name + ": shape and data_offsets must be whole numbers from 0 to 2^64 - 1");
    }
    return value.get<std::size_t>();
}

DType parse_dtype(const json& value, const BinaryFile& file, const std::string& name) {
    const std::string text = value.is_string() ? value.get<std::string>() : value.dump();
    for (const TypeName& known : kTypeNames) {
        if (text == known.name) {
            return known.dtype;
        }
    }
    file.refuse("tensor " + name + ": type " + text + " is not supported", "convert it to F32, F16 or BF16");
}

Entry parse_entry(const std::string& name, const json& value, const BinaryFile& file) {
    if (!is_plain_text(name)) {
        file.refuse("the name of a tensor holds a NUL");
    }
    if (!value.is_object() || value.size() != 3 || !value.contains("dtype") || !value.contains("shape") ||
        !value.contains("data_offsets")) {
        file.refuse("tensor " + name + ": the header must give exactly dtype, shape and data_offsets");
    }
    Entry entry{name, parse_dtype(value["dtype"], file, name), {}, 0, 0};
    const json& shape = value["shape"];
    const json& offsets = value["data_offsets"];
    if (!shape.is_array() || shape.size() > kMaxRank || !offsets.is_array() || offsets.size() != 2) {
        file.refuse("tensor " + name + ": shape or data_offsets is not a list of the right length");
    }
    for (const json& extent : shape) {
        const std::size_t count = unsigned_value(extent, file, name);
        if (count > std::numeric_limits<std::int32_t>::max() && count > file.size()) {
            file.refuse("tensor " + name + ": extent " + std::to_string(count) + " is larger than the file");
        }
        entry.shape.push_back(static_cast<std::int64_t>(count));
    }
    entry.begin = unsigned_value(offsets[0], file, name);
    entry.end = unsigned_value(offsets[1], file, name);
    if (entry.end < entry.begin || entry.end - entry.begin != shape_elements(entry.shape) * dtype_bytes(entry.dtype)) {
        file.refuse("tensor " + name + ": its data_offsets do not fit its shape " + shape_text(entry.shape));
    }
    return entry;
}

StringMap parse_metadata(const json& value, const BinaryFile& file) {
    StringMap metadata;
    if (!value.is_object()) {
        file.refuse("__metadata__ is not an object");
    }
    for (const auto& [key, text] : value.items()) {
        if (!text.is_string()) {
            file.refuse("__metadata__ \"" + key + "\" is not a string");
        }
        metadata.emplace(key, text.get<std::string>());
    }
    return metadata;
}

void check_tiling(const std::vector<Entry>& entries, std::size_t data_bytes, const BinaryFile& file) {
    std::size_t position = 0;
    for (const Entry& entry : entries) {
        if (entry.begin != position) {
            file.refuse("tensor " + entry.name + ": its data overlap another tensor's or leave a gap");
        }
        position = entry.end;
    }
    if (position != data_bytes) {
        file.refuse("the tensors take " + std::to_string(position) + " bytes, the file holds " +
                    std::to_string(data_bytes) + " (truncated, or bytes that belong to no tensor)");
    }
}

Header parse_header(const BinaryFile& file, const std::string& path) {
    std::uint64_t length = 0;
    std::memcpy(&length, file.read(0, sizeof(length)).data(), sizeof(length));
    if (length > kMaxHeaderBytes || length > file.size() - sizeof(length)) {
        file.refuse("its header claims " + std::to_string(length) + " bytes: not a safetensors file, or truncated");
    }
    Header header;
    header.data_offset = sizeof(length) + static_cast<std::size_t>(length);
    const std::string text = file.read_text(sizeof(length), static_cast<std::size_t>(length));
    if (text.empty() || text.front() != '{') {
        file.refuse("its header does not start with {");
    }
    const json parsed = parse_json(text, path);
    for (const auto& [name, value] : parsed.items()) {
        if (name == "__metadata__") {
            header.metadata = parse_metadata(value, file);
        } else {
            header.entries.push_back(parse_entry(name, value, file));
        }
    }
    // Empty tensors share their begin with the next one.
    std::sort(header.entries.begin(), header.entries.end(),
              [](const Entry& a, const Entry& b) { return std::pair(a.begin, a.end) < std::pair(b.begin, b.end); });
    check_tiling(header.entries, file.size() - header.data_offset, file);
    return header;
}

}  // namespace

SafetensorsFile read_safetensors(const std::string& path) {
    const BinaryFile file(path);
    Header header = parse_header(file, path);
    SafetensorsFile result;
    result.metadata = std::move(header.metadata);
    for (Entry& entry : header.entries) {
        auto bytes = file.read(header.data_offset + entry.begin, entry.end - entry.begin);
        result.tensors.emplace(entry.name, Tensor{entry.dtype, std::move(entry.shape), std::move(bytes)});
    }
    return result;
}

StoredTensorMap open_safetensors(const std::string& path) {
    const auto file = std::make_shared<const BinaryFile>(path);
    Header header = parse_header(*file, path);
    StoredTensorMap tensors;
    for (Entry& entry : header.entries) {
        const std::size_t begin = header.data_offset + entry.begin;
        const std::size_t element = dtype_bytes(entry.dtype);
        const auto read = [file, begin, element](std::size_t first, std::size_t count) {
            return file->read(begin + first * element, count * element);
        };
        tensors.emplace(entry.name, StoredTensor{entry.dtype, std::move(entry.shape), read});
    }
    return tensors;
}

SafetensorsFile read_safetensors_header(const std::string& path) {
    const BinaryFile file(path);
    Header header = parse_header(file, path);
    SafetensorsFile result;
    result.metadata = std::move(header.metadata);
    for (Entry& entry : header.entries) {
        result.tensors.emplace(entry.name, Tensor{entry.dtype, std::move(entry.shape), {}});
    }
    return result;
}

namespace {

/// The length and text of a header for tensors (with dtype and shape) whose data follow in this order.
template <class Tensors>
std::string header_bytes(const std::string& path, const Tensors& tensors, const StringMap& metadata) {
    nlohmann::ordered_json header;
    StringMap texts = metadata;
    texts["format"] = "pt";
    header["__metadata__"] = texts;
    std::size_t position = 0;
    for (const auto& [name, tensor] : tensors) {
        const auto row = std::find_if(kTypeNames.begin(), kTypeNames.end(), [&tensor = tensor](const TypeName& known) {
            return known.dtype == tensor.dtype;
        });
        const std::size_t end = position + tensor.elements() * dtype_bytes(tensor.dtype);
        if (header.contains(name)) {
            throw InternalError("cannot write " + path, "two tensors are called " + name);
        }
        header[name] = {{"dtype", row->name}, {"shape", tensor.shape}, {"data_offsets", {position, end}}};
        position = end;
    }
    std::string text = header.dump();
    text.resize((text.size() + 7) / 8 * 8, ' ');
    const std::uint64_t length = text.size();
    std::string bytes(sizeof(length), '\0');
    std::memcpy(bytes.data(), &length, sizeof(length));
    return bytes + text;
}

}  // namespace

void write_safetensors(const std::string& path, const TensorList& tensors, const StringMap& metadata) {
    AtomicFile file(path);
    file.add(header_bytes(path, tensors, metadata));
    for (const auto& [name, tensor] : tensors) {
        file.add(tensor.bytes.data(), tensor.bytes.size());
    }
    file.commit();
}

void write_stored_tensors(const std::string& path, const StoredTensorMap& tensors, const StringMap& metadata) {
    AtomicFile file(path);
    file.add(header_bytes(path, tensors, metadata));
    for (const auto& [name, tensor] : tensors) {
        const Tensor loaded = tensor.load();
        file.add(loaded.bytes.data(), loaded.bytes.size());
    }
    file.commit();
}

}  // namespace ladle
