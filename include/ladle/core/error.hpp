// The errors a user can meet. Each says what failed, why, and how to mend it, and carries the program's exit code.
// Broken invariants of our own are InternalError (see check.hpp).
#pragma once

#include <stdexcept>
#include <string>

namespace ladle {

/// Exit codes of the program.
enum class ExitCode : int {
    done = 0,
    usage = 2,
    bad_data = 3,
    device = 4,
    internal = 70,
    checkpoint = 74,
    stalled = 75,
    not_finite = 76,
    requeue = 85,
};

/// Text from files and command lines as it may be shown: control characters but line ends as escapes (no terminal
/// codes), cut after 2000 bytes.
std::string printable(const std::string& text);

/// Base of all reported errors. what() is "<what>: <why>" and, if there is a remedy, a second line "  fix: <fix>".
/// Control characters of the parts are shown as \xNN (line ends stay) and overlong parts are cut.
class Error : public std::runtime_error {
public:
    Error(ExitCode code, const std::string& what, const std::string& why, const std::string& fix);
    /// A whole message as what() of another process gave it.
    Error(ExitCode code, const std::string& message);
    ExitCode exit_code() const { return code_; }
    /// what() without the remedy, for those who know a better one.
    std::string cause() const;

private:
    ExitCode code_;
};

/// Wrong command line, config value or combination of values (exit 2).
class ConfigError : public Error {
public:
    ConfigError(const std::string& what, const std::string& why, const std::string& fix)
        : Error(ExitCode::usage, what, why, fix) {}
};

/// Bad input data or model file (exit 3).
class DataError : public Error {
public:
    DataError(const std::string& what, const std::string& why, const std::string& fix)
        : Error(ExitCode::bad_data, what, why, fix) {}
    explicit DataError(const std::string& message) : Error(ExitCode::bad_data, message) {}
};

/// Device or communication failure (exit 4); why carries the library's own text.
class DeviceError : public Error {
public:
    DeviceError(const std::string& what, const std::string& why, const std::string& fix)
        : Error(ExitCode::device, what, why, fix) {}
};

/// A checkpoint, soup or other result could not be written (exit 74).
class CheckpointError : public Error {
public:
    CheckpointError(const std::string& what, const std::string& why, const std::string& fix)
        : Error(ExitCode::checkpoint, what, why, fix) {}
};

/// The loss or a gradient is not finite (exit 76).
class NotFiniteError : public Error {
public:
    NotFiniteError(const std::string& what, const std::string& why, const std::string& fix)
        : Error(ExitCode::not_finite, what, why, fix) {}
};

/// A broken invariant of the program itself (exit 70).
class InternalError : public Error {
public:
    InternalError(const std::string& what, const std::string& why);
};

}  // namespace ladle
