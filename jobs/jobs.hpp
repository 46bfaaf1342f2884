// The jobs of the program: one subcommand each, one file each.
#pragma once

#include <string>
#include <vector>

namespace ladle {

/// A job takes the words after its name and returns the exit code; errors are thrown and reported by main.
struct Job {
    const char* name;
    const char* purpose;  ///< one line for the list of jobs
    int (*run)(const std::vector<std::string>& arguments);
};

}  // namespace ladle
