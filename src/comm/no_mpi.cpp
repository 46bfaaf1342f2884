// The session of a build without MPI: one rank, the same interface.
#include <fmt/format.h>

#include <cstdlib>

#include "ladle/comm/communicator.hpp"
#include "ladle/core/error.hpp"

namespace ladle {

std::string mpi_library() {
    return "none";
}

struct MpiSession::State {};

MpiSession::MpiSession() {
    const Launch launch = launch_environment();
    if (launch.width > 1) {
        throw DeviceError(fmt::format("cannot run on {} ranks ({})", launch.width, launch.variable),
                          "this ladle was built without MPI (LADLE_MPI=OFF)", "build with MPI, or start one process");
    }
}

MpiSession::~MpiSession() = default;

std::unique_ptr<Communicator> MpiSession::make_communicator() {
    return make_single_communicator();
}

std::unique_ptr<Communicator> MpiSession::join_failed_ranks(double) {
    return make_single_communicator();
}

void MpiSession::abort(int exit_code) {
    std::_Exit(exit_code);
}

}  // namespace ladle
