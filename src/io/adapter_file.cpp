// Adapter files: /model, /experts, /data and /provenance carry attributes, /tensors holds the tensors by their names.
#include "ladle/io/adapter_file.hpp"

#include <fmt/format.h>

#include "adapter_parts.hpp"
#include "hdf5_fields.hpp"
#include "ladle/core/error.hpp"

namespace ladle {
namespace {

constexpr const char* kSchema = "ladle.adapter";
constexpr int kMajor = 1;
constexpr int kMinor = 0;
constexpr const char* kTensors = "/tensors/";

[[noreturn]] void refuse(const std::string& path, const std::string& why) {
    throw DataError("cannot read " + path, why, "use an adapter file that ladle wrote");
}

/// A number read as 64 bits must fit before it is narrowed.
void check_sizes(const Hdf5Reader& file) {
    visit_adapter_limits([&](const char* group, const char* name, int most) {
        const std::int64_t value = file.integer(group, name);
        if (value < 0 || value > most) {
            refuse(file.path(), fmt::format("{} of {} is {}", name, group, value));
        }
    });
}

}  // namespace

void write_adapter_file(const std::string& path, AdapterFile& adapter) {
    Hdf5Writer file(kSchema, kMajor, kMinor);
    for (const char* group : {"/model", "/experts", "/data", "/provenance", "/tensors"}) {
        file.group(group);
    }
    visit_adapter_fields(adapter, [&](const char* group, const char* name, const auto& value) {
        write_field(file, group, name, value);
    });
    for (const auto& [name, word] : option_words(adapter.experts)) {
        file.text("/experts", name, word);
    }
    for (const auto& [name, tensor] : adapter.tensors) {
        file.tensor(kTensors + name, tensor);
    }
    adapter.digest = file.save(path);
}

AdapterFile read_adapter_file(const std::string& path) {
    return adapter_of(Hdf5Reader(path));
}

AdapterFile adapter_of(const Hdf5Reader& file) {
    file.require_schema(kSchema, kMajor);
    check_sizes(file);
    AdapterFile adapter;
    visit_adapter_fields(
        adapter, [&](const char* group, const char* name, auto& value) { read_field(file, group, name, value); });
    settle_adapter(
        adapter, [&](const char* name) { return file.text("/experts", name); }, file.path());
    adapter.digest = file.digest();
    const ParameterTable table = expert_table(adapter, file.members("/tensors").size(), file.path());
    for (const Parameter& parameter : table.all()) {
        adapter.tensors.emplace_back(parameter.name,
                                     file.tensor(kTensors + parameter.name, DType::f32, parameter.shape));
    }
    return adapter;
}

}  // namespace ladle
