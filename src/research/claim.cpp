// Claims on runs.
#include "ladle/research/claim.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <sstream>
#include <utility>

#include "ladle/core/error.hpp"
#include "ladle/core/json_file.hpp"
#include "ladle/io/files.hpp"

namespace ladle {
namespace {

// Six missed refreshes: longer than any pause of a file server that we want to live with.
constexpr double kFreshSeconds = 180;

std::string this_machine() {
    std::array<char, 256> host{};
    gethostname(host.data(), host.size() - 1);
    std::error_code none;
    return fmt::format("{} {}", host.data(), std::filesystem::read_symlink("/proc/self/ns/pid", none).string());
}

std::string claim_text(const Claim& claim) {
    nlohmann::ordered_json json;
    json["owner"] = claim.owner;
    json["machine"] = claim.machine;
    json["process"] = claim.process;
    json["child"] = claim.child;
    return json.dump() + "\n";
}

[[noreturn]] void fail(const std::string& path) {
    throw CheckpointError("cannot write " + path, std::strerror(errno),
                          "check free space and permissions, then start the sweep again");
}

/// False if the file is already there. Only one process can make it.
bool make_exclusively(const std::string& path, const std::string& text) {
    const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (file < 0 && errno == EEXIST) {
        return false;
    }
    if (file < 0) {
        fail(path);
    }
    const ssize_t written = ::write(file, text.data(), text.size());
    const int reason = written < 0 ? errno : ENOSPC;
    if (::close(file) != 0 || written != static_cast<ssize_t>(text.size())) {
        ::unlink(path.c_str());
        errno = reason;
        fail(path);
    }
    return true;
}

std::string content_of(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

/// Moves away a claim that nobody holds. Of several processes that try, one succeeds with each file.
void remove_stale(const std::string& path, const std::string& seen) {
    const std::string aside = fmt::format("{}.{}.{}", path, getpid(), std::time(nullptr));
    if (std::rename(path.c_str(), aside.c_str()) != 0) {
        return;
    }
    if (content_of(aside) != seen) {
        // Someone took it over between our look and our move: theirs goes back, unless a third one has come.
        if (::link(aside.c_str(), path.c_str()) != 0 && errno != EEXIST) {
            fail(path);
        }
    }
    ::unlink(aside.c_str());
}

}  // namespace

std::string process_mark(int process) {
    std::ifstream file(fmt::format("/proc/{}/stat", process));
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    // The second field is a name in parentheses that may hold anything.
    const std::size_t name_end = text.rfind(')');
    if (name_end == std::string::npos) {
        return "";
    }
    std::istringstream fields(text.substr(name_end + 1));
    std::vector<std::string> words{std::istream_iterator<std::string>(fields), {}};
    constexpr std::size_t kState = 0;
    constexpr std::size_t kStartTime = 19;
    if (words.size() <= kStartTime || words[kState] == "Z") {
        return "";
    }
    return fmt::format("{} {}", process, words[kStartTime]);
}

std::optional<Claim> read_claim(const std::string& path) {
    struct stat facts {};
    nlohmann::json json;
    if (::stat(path.c_str(), &facts) != 0) {
        return std::nullopt;
    }
    Claim claim;
    claim.age_seconds = std::difftime(std::time(nullptr), facts.st_mtime);
    if (try_parse_json(content_of(path), json).empty() && json.is_object()) {
        claim.owner = json.value("owner", "");
        claim.machine = json.value("machine", "");
        claim.process = json.value("process", "");
        claim.child = json.value("child", "");
    }
    return claim;
}

bool is_held(const Claim& claim) {
    if (claim.machine != this_machine()) {
        return claim.age_seconds < kFreshSeconds;
    }
    for (const std::string& mark : {claim.process, claim.child}) {
        if (!mark.empty() && process_mark(std::atoi(mark.c_str())) == mark) {
            return true;
        }
    }
    return false;
}

RunClaim::RunClaim(std::string path, Claim claim) : path_(std::move(path)), claim_(std::move(claim)) {}

RunClaim::RunClaim(RunClaim&& other) noexcept
    : path_(std::exchange(other.path_, "")), claim_(std::move(other.claim_)) {}

std::optional<RunClaim> RunClaim::take(const std::string& path, const std::string& owner, bool owner_has_moved) {
    Claim mine;
    mine.owner = owner;
    mine.machine = this_machine();
    mine.process = process_mark(getpid());
    constexpr int kTries = 3;
    for (int i = 0; i < kTries; ++i) {
        if (make_exclusively(path, claim_text(mine))) {
            return RunClaim(path, mine);
        }
        const std::string seen = content_of(path);
        const std::optional<Claim> theirs = read_claim(path);
        const bool moved = owner_has_moved && theirs && theirs->owner == owner && theirs->machine != mine.machine;
        if (theirs && !moved && is_held(*theirs)) {
            return std::nullopt;
        }
        if (theirs) {
            remove_stale(path, seen);
        }
    }
    return std::nullopt;
}

RunClaim::~RunClaim() {
    if (!path_.empty() && content_of(path_) == claim_text(claim_)) {
        ::unlink(path_.c_str());
    }
}

void RunClaim::set_child(int process) {
    claim_.child = process_mark(process);
    write_file(path_, claim_text(claim_));
}

void RunClaim::refresh() {
    // A failure shows as an old claim, which others may then take: the run directory guards itself.
    ::utimensat(AT_FDCWD, path_.c_str(), nullptr, 0);
}

}  // namespace ladle
