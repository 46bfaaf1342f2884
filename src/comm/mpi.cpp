// MPI behind the Communicator interface; the only file that includes MPI.
#include <fmt/format.h>
#include <mpi.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "ladle/comm/communicator.hpp"
#include "ladle/core/check.hpp"
#include "ladle/core/error.hpp"

namespace ladle {
namespace {

// Counts are int in MPI: longer arrays go in pieces.
constexpr std::size_t kPiece = std::size_t{1} << 28U;
constexpr auto kPollInterval = std::chrono::milliseconds(10);
// Where MPI libraries keep the memory that processes share.
constexpr const char* kSharedMemoryDirectory = "/dev/shm";
// For MPI's own segments and for other programs.
constexpr std::size_t kSharedMemoryReserve = std::size_t{32} << 20U;
constexpr std::size_t kCacheLine = 64;

std::string error_text(int code) {
    std::array<char, MPI_MAX_ERROR_STRING> text{};
    int length = 0;
    MPI_Error_string(code, text.data(), &length);
    return {text.data(), static_cast<std::size_t>(length)};
}

void check_mpi(int code, const char* call) {
    if (code == MPI_SUCCESS) {
        return;
    }
    throw DeviceError(fmt::format("{} failed", call), error_text(code),
                      "look for a rank or a network link that died; a run continues from its last checkpoint");
}

/// What the session frees before MPI ends: freeing is collective, so no destructor on the way of an error may do it.
struct Owned {
    std::vector<MPI_Comm> nodes;
    std::vector<MPI_Win> windows;
};

/// A window of the node's memory, filled by its first rank.
class SharedWeights final : public WeightStore {
public:
    SharedWeights(MPI_Comm node, MPI_Win window, std::size_t bytes) : node_(node), window_(window), bytes_(bytes) {
        int rank = 0;
        check_mpi(MPI_Comm_rank(node_, &rank), "MPI_Comm_rank");
        writes_ = rank == 0;
        MPI_Aint size = 0;
        int unit = 1;
        check_mpi(MPI_Win_shared_query(window_, 0, &size, &unit, &start_), "MPI_Win_shared_query");
        // The same distance on all ranks: each maps the window at a page boundary.
        const auto past = reinterpret_cast<std::uintptr_t>(start_) % kCacheLine;
        start_ += past == 0 ? 0 : kCacheLine - past;
    }
    std::shared_ptr<void> take(std::size_t bytes) override {
        const std::size_t needed = stored_bytes(bytes);
        check(needed <= bytes_ - taken_, "a model takes as much as it has planned");
        std::byte* array = start_ + taken_;
        taken_ += needed;
        // The session owns the window.
        return {std::shared_ptr<void>(), array};
    }
    bool writes() const override { return writes_; }
    void publish() override {
        check_mpi(MPI_Win_sync(window_), "MPI_Win_sync");
        check_mpi(MPI_Barrier(node_), "MPI_Barrier");
        check_mpi(MPI_Win_sync(window_), "MPI_Win_sync");
    }

private:
    MPI_Comm node_;
    MPI_Win window_;
    std::byte* start_ = nullptr;
    std::size_t bytes_;
    std::size_t taken_ = 0;
    bool writes_ = false;
};

class MpiCommunicator final : public Communicator {
public:
    MpiCommunicator(MPI_Comm comm, Owned& owned) : comm_(comm), owned_(owned) {
        check_mpi(MPI_Comm_rank(comm_, &rank_), "MPI_Comm_rank");
        check_mpi(MPI_Comm_size(comm_, &size_), "MPI_Comm_size");
        std::array<char, MPI_MAX_PROCESSOR_NAME> host{};
        int length = 0;
        check_mpi(MPI_Get_processor_name(host.data(), &length), "MPI_Get_processor_name");
        place_.host.assign(host.data(), static_cast<std::size_t>(length));
        // The launcher's variables for the local rank differ between launchers; shared memory does not lie.
        check_mpi(MPI_Comm_split_type(comm_, MPI_COMM_TYPE_SHARED, rank_, MPI_INFO_NULL, &node_),
                  "MPI_Comm_split_type");
        owned_.nodes.push_back(node_);
        check_mpi(MPI_Comm_set_errhandler(node_, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
        check_mpi(MPI_Comm_rank(node_, &place_.local_rank), "MPI_Comm_rank");
        check_mpi(MPI_Comm_size(node_, &place_.local_size), "MPI_Comm_size");
    }
    int world_rank() const override { return rank_; }
    int world_size() const override { return size_; }
    const RankPlace& place() const override { return place_; }
    void all_reduce_sum(std::int64_t* values, std::size_t count) override { sum(values, count, MPI_INT64_T); }
    void all_reduce_sum(float* values, std::size_t count) override { sum(values, count, MPI_FLOAT); }
    void broadcast(void* data, std::size_t bytes) override {
        for (std::size_t begin = 0; begin < bytes; begin += kPiece) {
            check_mpi(MPI_Bcast(static_cast<std::byte*>(data) + begin, piece(begin, bytes), MPI_BYTE, 0, comm_),
                      "MPI_Bcast");
        }
    }
    std::string gather(const std::string& bytes) override {
        check(bytes.size() < kPiece / static_cast<std::size_t>(size_), "the gathered texts fit one message");
        const int mine = static_cast<int>(bytes.size());
        std::vector<int> counts(static_cast<std::size_t>(size_));
        check_mpi(MPI_Gather(&mine, 1, MPI_INT, counts.data(), 1, MPI_INT, 0, comm_), "MPI_Gather");
        std::vector<int> starts(counts.size(), 0);
        for (std::size_t r = 1; r < starts.size(); ++r) {
            starts[r] = starts[r - 1] + counts[r - 1];
        }
        std::string all(is_root() ? static_cast<std::size_t>(starts.back() + counts.back()) : 0, '\0');
        check_mpi(
            MPI_Gatherv(bytes.data(), mine, MPI_BYTE, all.data(), counts.data(), starts.data(), MPI_BYTE, 0, comm_),
            "MPI_Gatherv");
        return all;
    }
    void barrier() override { check_mpi(MPI_Barrier(comm_), "MPI_Barrier"); }
    FrozenMemory frozen_memory(std::size_t bytes) override {
        std::string obstacle = obstacle_to_sharing(bytes);
        MPI_Win window = MPI_WIN_NULL;
        if (obstacle.empty()) {
            obstacle = make_window(bytes + kCacheLine, window);
        }
        if (!obstacle.empty()) {
            return {std::make_unique<PrivateWeights>(), 1, obstacle};
        }
        return {std::make_unique<SharedWeights>(node_, window, bytes), place_.local_size, ""};
    }
    FrozenMemory planned_frozen_memory(std::size_t bytes) override {
        const std::string obstacle = obstacle_to_sharing(bytes);
        return {std::make_unique<PrivateWeights>(), obstacle.empty() ? place_.local_size : 1, obstacle};
    }

private:
    std::string obstacle_to_sharing(std::size_t bytes) {
        return place_.local_size == 1 ? "one rank on this node" : lack_of_room(bytes);
    }
    /// Asks before MPI does: where its first rank cannot make the memory, Open MPI leaves the others waiting for it.
    std::string lack_of_room(std::size_t bytes) {
        struct statvfs system {};
        std::uint64_t room = 0;
        if (place_.local_rank == 0 && statvfs(kSharedMemoryDirectory, &system) == 0) {
            room = static_cast<std::uint64_t>(system.f_bavail) * system.f_frsize;
        }
        check_mpi(MPI_Bcast(&room, 1, MPI_UINT64_T, 0, node_), "MPI_Bcast");
        if (room >= kSharedMemoryReserve && bytes <= room - kSharedMemoryReserve) {
            return "";
        }
        return fmt::format("{} has {} MiB left, too few for {} MiB", kSharedMemoryDirectory, room >> 20U, bytes >> 20U);
    }

    /// Returns MPI's text if any rank of the node gets no window.
    std::string make_window(std::size_t bytes, MPI_Win& window) {
        void* mine = nullptr;
        int code = MPI_Win_allocate_shared(place_.local_rank == 0 ? static_cast<MPI_Aint>(bytes) : 0, 1, MPI_INFO_NULL,
                                           node_, &mine, &window);
        check_mpi(MPI_Allreduce(MPI_IN_PLACE, &code, 1, MPI_INT, MPI_MAX, node_), "MPI_Allreduce");
        if (code != MPI_SUCCESS) {
            return "MPI makes no shared window: " + error_text(code);
        }
        owned_.windows.push_back(window);
        check_mpi(MPI_Win_lock_all(MPI_MODE_NOCHECK, window), "MPI_Win_lock_all");
        return "";
    }

    static int piece(std::size_t begin, std::size_t count) { return static_cast<int>(std::min(kPiece, count - begin)); }

    template <class T>
    void sum(T* values, std::size_t count, MPI_Datatype type) {
        for (std::size_t begin = 0; begin < count; begin += kPiece) {
            check_mpi(MPI_Allreduce(MPI_IN_PLACE, values + begin, piece(begin, count), type, MPI_SUM, comm_),
                      "MPI_Allreduce");
        }
    }

    MPI_Comm comm_;
    MPI_Comm node_ = MPI_COMM_NULL;  ///< the ranks that share this host's memory
    Owned& owned_;
    int rank_ = 0;
    int size_ = 1;
    RankPlace place_;
};

/// N processes that MPI did not join would each train alone and write the same files.
void refuse_singletons() {
    int size = 0;
    check_mpi(MPI_Comm_size(MPI_COMM_WORLD, &size), "MPI_Comm_size");
    const Launch launch = launch_environment();
    if (size > 1 || launch.width == 1) {
        return;
    }
    MPI_Finalize();
    throw DeviceError(
        fmt::format("this process is alone, but {} says that {} were started", launch.variable, launch.width),
        "the launcher and the MPI library do not know each other",
        launch.variable == std::string("SLURM_STEP_NUM_TASKS")
            ? "start with `srun --mpi=pmix`, or with mpirun inside the allocation; one rank on purpose: `srun -n 1`"
            : "start with the mpirun of the MPI that ladle was built with (`ladle --version` names it)");
}

}  // namespace

std::string mpi_library() {
    std::array<char, MPI_MAX_LIBRARY_VERSION_STRING> text{};
    int length = 0;
    MPI_Get_library_version(text.data(), &length);
    const std::string all(text.data(), static_cast<std::size_t>(length));
    // Open MPI goes on about its packager; other libraries add lines.
    return all.substr(0, all.find_first_of(",\n"));
}

/// Failed ranks meet on a communicator of their own, where no collective of the job can be pending.
struct MpiSession::State {
    MPI_Comm failed = MPI_COMM_NULL;
    Owned owned;
};

MpiSession::MpiSession() : state_(std::make_unique<State>()) {
    int provided = 0;
    check_mpi(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided), "MPI_Init_thread");
    refuse_singletons();
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    check_mpi(MPI_Comm_dup(MPI_COMM_WORLD, &state_->failed), "MPI_Comm_dup");
}

MpiSession::~MpiSession() {
    for (MPI_Win& window : state_->owned.windows) {
        MPI_Win_unlock_all(window);
        MPI_Win_free(&window);
    }
    for (MPI_Comm& node : state_->owned.nodes) {
        MPI_Comm_free(&node);
    }
    MPI_Comm_free(&state_->failed);
    MPI_Finalize();
}

std::unique_ptr<Communicator> MpiSession::make_communicator() {
    return std::make_unique<MpiCommunicator>(MPI_COMM_WORLD, state_->owned);
}

std::unique_ptr<Communicator> MpiSession::join_failed_ranks(double seconds) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
    MPI_Request request = MPI_REQUEST_NULL;
    if (MPI_Ibarrier(state_->failed, &request) != MPI_SUCCESS) {
        return nullptr;
    }
    int done = 0;
    while (true) {
        if (MPI_Test(&request, &done, MPI_STATUS_IGNORE) != MPI_SUCCESS) {
            return nullptr;
        }
        if (done != 0) {
            return std::make_unique<MpiCommunicator>(state_->failed, state_->owned);
        }
        if (std::chrono::steady_clock::now() >= deadline) {
            return nullptr;
        }
        std::this_thread::sleep_for(kPollInterval);
    }
}

void MpiSession::abort(int exit_code) {
    MPI_Abort(MPI_COMM_WORLD, exit_code);
    std::abort();
}

}  // namespace ladle
