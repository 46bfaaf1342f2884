// The communicator of one process, and what all communicators share.
#include <unistd.h>

#include <array>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "ladle/comm/communicator.hpp"

namespace ladle {
namespace {

class SingleCommunicator final : public Communicator {
public:
    SingleCommunicator() {
        std::array<char, 256> name{};
        if (gethostname(name.data(), name.size() - 1) == 0) {
            place_.host = name.data();
        }
    }
    int world_rank() const override { return 0; }
    int world_size() const override { return 1; }
    const RankPlace& place() const override { return place_; }
    void all_reduce_sum(std::int64_t*, std::size_t) override {}
    void all_reduce_sum(float*, std::size_t) override {}
    void broadcast(void*, std::size_t) override {}
    std::string gather(const std::string& bytes) override { return bytes; }
    void barrier() override {}
    FrozenMemory frozen_memory(std::size_t bytes) override { return planned_frozen_memory(bytes); }
    FrozenMemory planned_frozen_memory(std::size_t /*bytes*/) override {
        return {std::make_unique<PrivateWeights>(), 1, "one rank on this node"};
    }

private:
    RankPlace place_;
};

/// The launcher's variables, in the order of trust: mpirun inside an allocation sets its own beside Slurm's.
struct LaunchVariables {
    const char* width;
    const char* rank;
};
constexpr LaunchVariables kLaunchVariables[] = {
    {"OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"},
    {"PMI_SIZE", "PMI_RANK"},
    {"SLURM_STEP_NUM_TASKS", "SLURM_PROCID"},
};

/// The variable's value if it is a whole number and nothing else.
int number_in(const char* variable, int otherwise) {
    const char* text = std::getenv(variable);
    const std::string_view digits = text == nullptr ? "" : text;
    int number = otherwise;
    const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    return read.ec == std::errc() && read.ptr == digits.data() + digits.size() ? number : otherwise;
}

}  // namespace

std::string Communicator::broadcast_text(const std::string& text) {
    std::uint64_t length = text.size();
    broadcast(&length, sizeof(length));
    std::string copy = text;
    copy.resize(length);
    broadcast(copy.data(), length);
    return copy;
}

std::unique_ptr<Communicator> make_single_communicator() {
    return std::make_unique<SingleCommunicator>();
}

Launch launch_environment() {
    for (const LaunchVariables& variables : kLaunchVariables) {
        const int width = number_in(variables.width, 1);
        if (width > 1) {
            return {width, number_in(variables.rank, 0), variables.width};
        }
    }
    return {};
}

}  // namespace ladle
