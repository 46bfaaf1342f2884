// Message layout of the reported errors.
#include "ladle/core/error.hpp"

namespace ladle {
namespace {

std::string compose(const std::string& what, const std::string& why, const std::string& fix) {
    std::string text = what;
    if (!why.empty()) {
        text += ": " + why;
    }
    if (!fix.empty()) {
        text += "\n  fix: " + fix;
    }
    return text;
}

}  // namespace

Error::Error(ExitCode code, const std::string& what, const std::string& why, const std::string& fix)
    : std::runtime_error(compose(what, why, fix)), code_(code) {}

InternalError::InternalError(const std::string& what, const std::string& why)
    : Error(ExitCode::internal, what, why, "this is a defect of ladle; please report it with the command line") {}

}  // namespace ladle
