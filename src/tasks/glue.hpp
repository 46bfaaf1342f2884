// The rows of the GLUE table, for the registry.
#pragma once

#include <vector>

#include "ladle/tasks/task.hpp"

namespace ladle {

/// All GLUE tasks in table order.
const std::vector<Task>& glue_tasks();

}  // namespace ladle
