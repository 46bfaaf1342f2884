// Message layout of the reported errors.
#include "ladle/core/error.hpp"

namespace ladle {

std::string printable(const std::string& text) {
    constexpr std::size_t kLongest = 2000;
    constexpr const char* kDigits = "0123456789abcdef";
    std::string shown;
    for (const char c : text.substr(0, kLongest)) {
        const auto byte = static_cast<unsigned char>(c);
        if ((byte < 0x20 && c != '\n') || byte == 0x7f) {
            shown += std::string("\\x") + kDigits[byte >> 4U] + kDigits[byte & 15U];
        } else {
            shown += c;
        }
    }
    return text.size() > kLongest ? shown + "..." : shown;
}

namespace {

std::string compose(const std::string& what, const std::string& why, const std::string& fix) {
    std::string text = printable(what);
    if (!why.empty()) {
        text += ": " + printable(why);
    }
    if (!fix.empty()) {
        text += "\n  fix: " + printable(fix);
    }
    return text;
}

}  // namespace

Error::Error(ExitCode code, const std::string& what, const std::string& why, const std::string& fix)
    : std::runtime_error(compose(what, why, fix)), code_(code) {}

Error::Error(ExitCode code, const std::string& message) : std::runtime_error(message), code_(code) {}

InternalError::InternalError(const std::string& what, const std::string& why)
    : Error(ExitCode::internal, what, why, "this is a defect of ladle; please report it with the command line") {}

}  // namespace ladle
