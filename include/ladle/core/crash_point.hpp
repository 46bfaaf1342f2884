// Named places at which a test can kill the program, to show that nothing is lost there.
#pragma once

namespace ladle {

/// Does nothing, unless the environment variable LADLE_CRASH_AT is "<name>" or "<name>@<n>": then this process sends
/// itself SIGKILL when it passes the place of that name for the n-th time (1 if n is left out). For tests only; names
/// are listed in CONTRIBUTING.md.
void crash_point(const char* name);

}  // namespace ladle
