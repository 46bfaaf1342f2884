// What became of the runs of a sweep: attempts, states, last messages.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "ladle/core/error.hpp"
#include "ladle/core/json_file.hpp"
#include "ladle/io/files.hpp"
#include "ladle/research/claim.hpp"
#include "ladle/research/sweep.hpp"

namespace ladle {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::streamoff kTailBytes = 1 << 16;
constexpr std::size_t kLongestMessage = 300;

/// The whole lines in the last bytes of a file that may be long; empty if it cannot be read.
std::vector<std::string> last_lines(const std::string& path) {
    std::ifstream file(path, std::ios::binary | std::ios::ate);
    std::vector<std::string> lines;
    if (!file) {
        return lines;
    }
    const std::streamoff size = file.tellg();
    file.seekg(std::max<std::streamoff>(0, size - kTailBytes));
    std::string line;
    if (size > kTailBytes) {
        std::getline(file, line);  // begins somewhere in a line
    }
    while (std::getline(file, line)) {
        lines.push_back(line);
    }
    return lines;
}

/// One line at the end of a file; a single write, so that a reader sees all of it or nothing.
void append_line(const std::string& path, const std::string& line) {
    const auto fail = [&](const std::string& why) {
        throw CheckpointError("cannot write " + path, why, "free space on that disk and start the sweep again");
    };
    const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (file < 0) {
        fail(std::strerror(errno));
    }
    const ssize_t written = ::write(file, line.data(), line.size());
    const std::string why = written < 0 ? std::strerror(errno) : "the disk is full";
    const bool closed = ::close(file) == 0;
    if (written != static_cast<ssize_t>(line.size()) || !closed) {
        fail(why);
    }
}

std::vector<Attempt> read_attempts(const std::string& path) {
    std::vector<Attempt> attempts;
    for (const std::string& line : last_lines(path)) {
        nlohmann::json json;
        if (!try_parse_json(line, json).empty() || !json.is_object()) {
            continue;  // cut off by a crash while it was written
        }
        if (json.value("event", "") == "start") {
            attempts.push_back({json.value("host", ""), json.value("job", ""), -1, ""});
        } else if (!attempts.empty()) {
            attempts.back().host = json.value("host", attempts.back().host);
            attempts.back().exit_code = json.value("exit_code", -1);
            attempts.back().why = json.value("why", "");
        }
    }
    return attempts;
}

std::int64_t last_step(const std::string& metrics_path) {
    const std::vector<std::string> lines = last_lines(metrics_path);
    for (auto line = lines.rbegin(); line != lines.rend(); ++line) {
        nlohmann::json json;
        if (try_parse_json(*line, json).empty() && json.is_object() && json.contains("step")) {
            return json.value("step", std::int64_t{0});
        }
    }
    return 0;
}

void read_score(const std::string& results_path, RunStatus& status) {
    const nlohmann::json json = read_json_file(results_path);
    try {
        json.at("best").at("metric").get_to(status.metric);
        if (!json["best"].at("score").is_null()) {
            status.score = json["best"]["score"].get<double>();
        }
    } catch (const nlohmann::json::exception& error) {
        throw DataError("cannot read " + results_path, error.what(), "remove it; the run then writes it again");
    }
}

}  // namespace

const char* state_name(RunState state) {
    switch (state) {
        case RunState::waiting:
            return "waiting";
        case RunState::running:
            return "running";
        case RunState::interrupted:
            return "interrupted";
        case RunState::failed:
            return "failed";
        case RunState::finished:
            return "finished";
    }
    return "";
}

RunStatus run_status(const Sweep& sweep, const SweepRun& run) {
    RunStatus status;
    status.attempts = read_attempts(sweep.attempts_path(run));
    status.steps_done = last_step(sweep.run_directory(run) + "/metrics.jsonl");
    const std::string results = sweep.run_directory(run) + "/results.json";
    const std::optional<Claim> claim = read_claim(sweep.claim_path(run));
    const int last_exit = status.attempts.empty() ? 0 : status.attempts.back().exit_code;
    if (file_exists(results)) {
        status.state = RunState::finished;
        read_score(results, status);
    } else if (claim && is_held(*claim)) {
        status.state = RunState::running;
        status.owner = claim->owner;
    } else if (status.attempts.empty()) {
        status.state = RunState::waiting;
    } else if (last_exit == static_cast<int>(ExitCode::requeue) || last_exit <= 0) {
        status.state = RunState::interrupted;
    } else {
        status.state = RunState::failed;
    }
    return status;
}

void record_start(const Sweep& sweep, const SweepRun& run, const Attempt& attempt) {
    Json json;
    json["event"] = "start";
    json["host"] = attempt.host;
    json["job"] = attempt.job;
    append_line(sweep.attempts_path(run), json.dump() + "\n");
}

void record_end(const Sweep& sweep, const SweepRun& run, const Attempt& attempt) {
    Json json;
    json["event"] = "end";
    json["host"] = attempt.host;
    json["exit_code"] = attempt.exit_code;
    json["why"] = attempt.why;
    append_line(sweep.attempts_path(run), json.dump(-1, ' ', true, Json::error_handler_t::replace) + "\n");
}

std::string last_message(const std::string& log_path) {
    const std::string name = "ladle: ";
    std::string message;
    for (const std::string& line : last_lines(log_path)) {
        if (line.starts_with(kAttemptMark)) {
            message.clear();
            continue;
        }
        const bool names_program = line.starts_with(name);
        // mpirun draws lines of dashes around what it says.
        const bool speaks = line.find_first_not_of("- ") != std::string::npos;
        if (names_program || (speaks && !message.starts_with(name))) {
            message = line;
        }
    }
    return printable(message.starts_with(name) ? message.substr(name.size()) : message).substr(0, kLongestMessage);
}

std::vector<std::string> bad_hosts(const Sweep& sweep, int least) {
    std::map<std::string, int> failures;
    for (const SweepRun& run : sweep.runs) {
        for (const Attempt& attempt : read_attempts(sweep.attempts_path(run))) {
            const bool of_host = attempt.exit_code == static_cast<int>(ExitCode::device) ||
                                 attempt.exit_code == static_cast<int>(ExitCode::stalled);
            // Slurm knows its nodes by short names, and refuses a submission that excludes a host it does not know.
            if (of_host && !attempt.job.empty()) {
                ++failures[attempt.host.substr(0, attempt.host.find('.'))];
            }
        }
    }
    std::vector<std::string> hosts;
    for (const auto& [host, count] : failures) {
        if (least > 0 && count >= least) {
            hosts.push_back(host);
        }
    }
    return hosts;
}

}  // namespace ladle
