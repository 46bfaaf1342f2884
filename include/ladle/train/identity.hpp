// What decides the bytes of a run, as text that files keep and a resume compares.
#pragma once

#include <string>
#include <vector>

namespace ladle {

/// One "name = value" per line in each part.
struct Identity {
    std::string options;  ///< identity options of the config, with the seed
    std::string inputs;   ///< digests of data and backbone
    std::string machine;  ///< build, kernels and kind of processor: may change where the user allows it
};

/// Lines that differ, as "<name>: <recorded value> then, <current value> now"; "nothing" stands for a missing name.
/// In the order of the recorded text, then names that only the current text has.
std::vector<std::string> identity_differences(const std::string& recorded, const std::string& current);

/// Throws ConfigError naming what differs: any line of options or inputs, and of machine unless allowed. `what` says
/// what was found, e.g. "the run directory runs/a" or "the checkpoint step-20.h5".
void check_identity(const Identity& recorded, const Identity& current, bool allow_new_hardware,
                    const std::string& what);

}  // namespace ladle
