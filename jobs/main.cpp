// The table of jobs.
#include <cstdio>

int main() {
    std::puts("ladle");
    return 0;
}
