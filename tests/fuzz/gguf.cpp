// Fuzzing target: GGUF files, and what is made of their metadata.
#include "ladle/io/gguf.hpp"

#include "ladle/core/error.hpp"
#include "ladle/models/decoder_weights.hpp"
#include "ladle/text/decoder_tokenizer.hpp"
#include "support.hpp"
#include "support/gguf_bytes.hpp"

namespace {

using gguf_bytes::raw;
using gguf_bytes::text;
using nlohmann::json;

std::uint32_t type_of(const json& value) {
    return value.is_boolean()           ? 7
           : value.is_string()          ? 8
           : value.is_array()           ? 9
           : value.is_number_unsigned() ? 10
           : value.is_number_integer()  ? 11
                                        : 12;
}

std::string single(const json& value, std::uint32_t type) {
    switch (type) {
        case 7:
            return raw(static_cast<std::uint8_t>(value.get<bool>() ? 1 : 0));
        case 8:
            return text(value.get<std::string>());
        case 10:
            return raw(value.get<std::uint64_t>());
        case 11:
            return raw(value.get<std::int64_t>());
        default:
            return raw(value.get<double>());
    }
}

std::string value_bytes(const json& value) {
    if (!value.is_array()) {
        return single(value, type_of(value));
    }
    const std::uint32_t type = value.empty() ? 8 : type_of(value.front());
    std::string bytes = raw(type) + raw(static_cast<std::uint64_t>(value.size()));
    for (const json& item : value) {
        bytes += single(item, type);
    }
    return bytes;
}

std::uint32_t tensor_type(ladle::DType dtype) {
    return dtype == ladle::DType::f32 ? 0 : dtype == ladle::DType::f16 ? 1 : 30;
}

/// The same file with wide numbers, unquantised tensors and the standard alignment.
std::string written(json metadata, const ladle::TensorMap& tensors) {
    constexpr std::size_t kAlignment = 32;
    const auto pad = [](std::string& bytes) {
        bytes.resize((bytes.size() + kAlignment - 1) / kAlignment * kAlignment);
    };
    metadata.erase("general.alignment");
    std::string bytes = "GGUF" + raw(std::uint32_t{3}) + raw(static_cast<std::uint64_t>(tensors.size())) +
                        raw(static_cast<std::uint64_t>(metadata.size()));
    for (const auto& [key, value] : metadata.items()) {
        bytes += text(key) + raw(type_of(value)) + value_bytes(value);
    }
    std::string data;
    for (const auto& [name, tensor] : tensors) {
        pad(data);
        bytes += text(name) + raw(static_cast<std::uint32_t>(tensor.shape.size()));
        for (auto extent = tensor.shape.rbegin(); extent != tensor.shape.rend(); ++extent) {
            bytes += raw(static_cast<std::uint64_t>(*extent));
        }
        bytes += raw(tensor_type(tensor.dtype)) + raw(static_cast<std::uint64_t>(data.size()));
        data.append(reinterpret_cast<const char*>(tensor.bytes.data()), tensor.bytes.size());
    }
    pad(bytes);
    return bytes + data;
}

/// Not a number and malformed UTF-8 included.
std::string shown(json metadata) {
    metadata.erase("general.alignment");
    return metadata.dump(-1, ' ', false, json::error_handler_t::replace);
}

void try_model(const ladle::GgufFile& file) {
    try {
        ladle::load_tensors(ladle::gguf_decoder(file.metadata, file.tensors, "input").tensors);
    } catch (const ladle::DataError&) {
    }
}

void try_tokenizer(const json& metadata) {
    try {
        const auto tokenizer = ladle::make_gguf_tokenizer(metadata, "input");
        tokenizer->decode(tokenizer->encode("a 12 it's\n\xff <x>", {.begin = true, .end = true}), true);
    } catch (const ladle::DataError&) {
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t count) {
    const ladle_fuzz::TimeLimit limit;
    static const ladle_fuzz::MemoryFile file;
    static const ladle_fuzz::MemoryFile again;
    file.set(ladle_fuzz::text_of(bytes, count));
    ladle::GgufFile read;
    ladle::TensorMap tensors;
    try {
        read = ladle::open_gguf(file.path());
        tensors = ladle::load_tensors(read.tensors);
    } catch (const ladle::DataError&) {
        return 0;
    }
    for (const auto& [name, tensor] : tensors) {
        if (tensor.elements() == 0) {
            return 0;  // its other extents are limited by the size of the file, which changes
        }
    }
    again.set(written(read.metadata, tensors));
    const ladle::GgufFile second = ladle::open_gguf(again.path());
    ladle_fuzz::require(shown(second.metadata) == shown(read.metadata), "the metadata come back");
    ladle_fuzz::require_same(ladle::load_tensors(second.tensors), tensors);
    try_model(read);
    try_tokenizer(read.metadata);
    return 0;
}
