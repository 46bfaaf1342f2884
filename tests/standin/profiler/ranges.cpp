// A profiler for tests: what NVTX_INJECTION64_PATH names is loaded by NVTX. Writes the name of every range that ends
// and those around it ("step/micro-batch/forward") to the file that LADLE_RANGE_LOG names, a line each.
#include <nvtx3/nvToolsExt.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

namespace {

thread_local std::vector<std::string> open_ranges;

std::FILE* log_file() {
    static const char* const path = std::getenv("LADLE_RANGE_LOG");
    static std::FILE* file = path == nullptr ? nullptr : std::fopen(path, "a");
    return file;
}

int push(const char* name) {
    open_ranges.emplace_back(name);
    return static_cast<int>(open_ranges.size()) - 1;
}

int pop() {
    if (open_ranges.empty()) {
        std::fputs("ended without a beginning\n", log_file());
        return -1;
    }
    std::string path;
    for (const std::string& name : open_ranges) {
        path += (path.empty() ? "" : "/") + name;
    }
    std::fprintf(log_file(), "%s\n", path.c_str());
    open_ranges.pop_back();
    return static_cast<int>(open_ranges.size());
}

template <class Function>
void take(NvtxFunctionTable table, NvtxCallbackIdCore place, Function function) {
    *table[place] = reinterpret_cast<NvtxFunctionPointer>(function);
}

}  // namespace

extern "C" int InitializeInjectionNvtx2(NvtxGetExportTableFunc_t export_table) {
    const auto* callbacks = static_cast<const NvtxExportTableCallbacks*>(export_table(NVTX_ETID_CALLBACKS));
    NvtxFunctionTable table = nullptr;
    unsigned int size = 0;
    if (callbacks == nullptr || callbacks->GetModuleFunctionTable(NVTX_CB_MODULE_CORE, &table, &size) == 0 ||
        size <= NVTX_CBID_CORE_RangePop || log_file() == nullptr) {
        return 0;
    }
    take(table, NVTX_CBID_CORE_RangePushA, push);
    take(table, NVTX_CBID_CORE_RangePop, pop);
    return 1;
}
