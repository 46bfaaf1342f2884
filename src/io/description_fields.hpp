// Fields of JSON descriptions by the type of a C++ field. Internal to src/io.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <type_traits>

#include "ladle/core/error.hpp"

namespace ladle {

/// Reads the value at `key` into a field of its type. Numbers beyond the type, and fractions, are not cut to size: they
/// throw DataError naming `label` and the key. A value of another type throws nlohmann's exception.
template <class Value>
void read_description_field(const nlohmann::json& value, const char* key, const std::string& label, Value& field) {
    if constexpr (std::is_same_v<Value, double>) {
        // JSON has no NaN.
        field = value.is_null() ? std::numeric_limits<double>::quiet_NaN() : value.get<double>();
    } else if constexpr (std::is_integral_v<Value> && !std::is_same_v<Value, bool>) {
        constexpr auto kMost = static_cast<std::uint64_t>(std::numeric_limits<Value>::max());
        constexpr auto kLeast = static_cast<std::int64_t>(std::numeric_limits<Value>::min());
        const bool negative = value.is_number_integer() && !value.is_number_unsigned() && value.get<std::int64_t>() < 0;
        const bool fits = value.is_number_integer() &&
                          (negative ? value.get<std::int64_t>() >= kLeast : value.get<std::uint64_t>() <= kMost);
        if (!fits) {
            throw DataError("cannot read " + label, fmt::format("its {} is {}", key, value.dump()),
                            "use a file that ladle or the published code wrote");
        }
        field = value.get<Value>();
    } else {
        value.get_to(field);
    }
}

}  // namespace ladle
