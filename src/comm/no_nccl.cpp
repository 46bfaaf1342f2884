// What a build without NCCL answers when ranks are to sum arrays on GPUs.
#include "ladle/comm/reducer.hpp"
#include "ladle/core/error.hpp"

namespace ladle {

std::unique_ptr<Reducer> make_nccl_reducer(Communicator& /*comm*/, DeviceMemory& /*memory*/) {
    throw DeviceError("cannot sum over GPUs", "this build of ladle has no NCCL",
                      "configure with -DLADLE_GPU=cuda where NCCL is installed, or use one rank");
}

}  // namespace ladle
