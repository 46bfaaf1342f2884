// MPI behind the Communicator interface; the only file that includes MPI.
#include <mpi.h>

#include <algorithm>
#include <vector>

#include "ladle/comm/communicator.hpp"
#include "ladle/core/check.hpp"

namespace ladle {
namespace {

// Counts are int in MPI: longer arrays go in pieces.
constexpr std::size_t kPiece = std::size_t{1} << 28U;

class MpiCommunicator final : public Communicator {
public:
    MpiCommunicator() {
        MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
        MPI_Comm_size(MPI_COMM_WORLD, &size_);
    }
    int world_rank() const override { return rank_; }
    int world_size() const override { return size_; }
    void all_reduce_sum(std::int64_t* values, std::size_t count) override { sum(values, count, MPI_INT64_T); }
    void all_reduce_sum(float* values, std::size_t count) override { sum(values, count, MPI_FLOAT); }
    void broadcast(void* data, std::size_t bytes) override {
        for (std::size_t begin = 0; begin < bytes; begin += kPiece) {
            MPI_Bcast(static_cast<std::byte*>(data) + begin, static_cast<int>(std::min(kPiece, bytes - begin)),
                      MPI_BYTE, 0, MPI_COMM_WORLD);
        }
    }
    std::string gather(const std::string& bytes) override {
        check(bytes.size() < kPiece, "a gathered text fits one message");
        const int mine = static_cast<int>(bytes.size());
        std::vector<int> counts(static_cast<std::size_t>(size_));
        MPI_Gather(&mine, 1, MPI_INT, counts.data(), 1, MPI_INT, 0, MPI_COMM_WORLD);
        std::vector<int> starts(counts.size(), 0);
        for (std::size_t r = 1; r < starts.size(); ++r) {
            starts[r] = starts[r - 1] + counts[r - 1];
        }
        std::string all(is_root() ? static_cast<std::size_t>(starts.back() + counts.back()) : 0, '\0');
        MPI_Gatherv(bytes.data(), mine, MPI_BYTE, all.data(), counts.data(), starts.data(), MPI_BYTE, 0,
                    MPI_COMM_WORLD);
        return all;
    }
    void barrier() override { MPI_Barrier(MPI_COMM_WORLD); }

private:
    template <class T>
    void sum(T* values, std::size_t count, MPI_Datatype type) {
        for (std::size_t begin = 0; begin < count; begin += kPiece) {
            MPI_Allreduce(MPI_IN_PLACE, values + begin, static_cast<int>(std::min(kPiece, count - begin)), type,
                          MPI_SUM, MPI_COMM_WORLD);
        }
    }

    int rank_ = 0;
    int size_ = 1;
};

}  // namespace

MpiSession::MpiSession() {
    int provided = 0;
    MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided);
}

MpiSession::~MpiSession() {
    MPI_Finalize();
}

std::unique_ptr<Communicator> MpiSession::make_communicator() {
    return std::make_unique<MpiCommunicator>();
}

void MpiSession::abort(int exit_code) {
    MPI_Abort(MPI_COMM_WORLD, exit_code);
    std::abort();
}

}  // namespace ladle
