// The communicator of the tests under mpirun.
#pragma once

#include "ladle/comm/communicator.hpp"

/// Set by main() before the first test.
extern ladle::Communicator* world;
