// Attributes of HDF5 files by the type of a C++ field, so that one list of fields serves writing and reading.
// Internal to src/io.
#pragma once

#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

#include "ladle/io/hdf5.hpp"

namespace ladle {

/// Writes attribute `name` of a group or data set; integers of any type become int64.
template <class Value>
void write_field(Hdf5Writer& file, const std::string& object, const std::string& name, const Value& value) {
    if constexpr (std::is_same_v<Value, std::string>) {
        file.text(object, name, value);
    } else if constexpr (std::is_same_v<Value, std::vector<std::string>>) {
        file.texts(object, name, value);
    } else if constexpr (std::is_same_v<Value, std::vector<double>>) {
        file.reals(object, name, value);
    } else if constexpr (std::is_same_v<Value, bool>) {
        file.flag(object, name, value);
    } else if constexpr (std::is_floating_point_v<Value>) {
        file.real(object, name, value);
    } else {
        file.integer(object, name, static_cast<std::int64_t>(value));
    }
}

/// Reads what write_field wrote; throws DataError naming file, object and attribute.
template <class Value>
void read_field(const Hdf5Reader& file, const std::string& object, const std::string& name, Value& value) {
    if constexpr (std::is_same_v<Value, std::string>) {
        value = file.text(object, name);
    } else if constexpr (std::is_same_v<Value, std::vector<std::string>>) {
        value = file.texts(object, name);
    } else if constexpr (std::is_same_v<Value, std::vector<double>>) {
        value = file.reals(object, name);
    } else if constexpr (std::is_same_v<Value, bool>) {
        value = file.flag(object, name);
    } else if constexpr (std::is_floating_point_v<Value>) {
        value = file.real(object, name);
    } else {
        value = static_cast<Value>(file.integer(object, name));
    }
}

}  // namespace ladle
