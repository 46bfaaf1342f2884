// Message layout of the reported errors.
#include "ladle/core/error.hpp"

namespace ladle {

std::string printable(const std::string& text) {
    constexpr std::size_t kLongest = 2000;
    constexpr const char* kDigits = "0123456789abcdef";
    std::string shown;
    unsigned char before = 0;
    for (const char c : text.substr(0, kLongest)) {
        const auto byte = static_cast<unsigned char>(c);
        // U+0080 .. U+009F are control characters as well: U+009B starts a terminal code.
        const bool is_late_control = before == 0xc2 && byte >= 0x80 && byte < 0xa0;
        before = byte;
        if (is_late_control) {
            shown.replace(shown.size() - 1, 1, "\\xc2");
        }
        if ((byte < 0x20 && c != '\n') || byte == 0x7f || is_late_control) {
            shown += std::string("\\x") + kDigits[byte >> 4U] + kDigits[byte & 15U];
        } else {
            shown += c;
        }
    }
    return text.size() > kLongest ? shown + "..." : shown;
}

namespace {

constexpr const char* kFix = "\n  fix: ";

std::string compose(const std::string& what, const std::string& why, const std::string& fix) {
    std::string text = printable(what);
    if (!why.empty()) {
        text += ": " + printable(why);
    }
    if (!fix.empty()) {
        text += kFix + printable(fix);
    }
    return text;
}

}  // namespace

Error::Error(ExitCode code, const std::string& what, const std::string& why, const std::string& fix)
    : std::runtime_error(compose(what, why, fix)), code_(code) {}

Error::Error(ExitCode code, const std::string& message) : std::runtime_error(message), code_(code) {}

std::string Error::cause() const {
    const std::string text = what();
    return text.substr(0, text.rfind(kFix));
}

InternalError::InternalError(const std::string& what, const std::string& why)
    : Error(ExitCode::internal, what, why, "this is a defect of ladle; please report it with the command line") {}

}  // namespace ladle
