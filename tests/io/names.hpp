// Predicate for BOOST_CHECK_EXCEPTION: the error's text contains a part.
#pragma once

#include <string>

#include "ladle/core/error.hpp"

inline auto names(const std::string& part) {
    return [part](const ladle::Error& error) { return std::string(error.what()).find(part) != std::string::npos; };
}
