// Fuzzing target: reports on JSON, JSON lines and TensorBoard events.
#include "io/inspect_text.hpp"
#include "ladle/core/error.hpp"
#include "support.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t count) {
    const ladle_fuzz::TimeLimit limit;
    static const ladle_fuzz::MemoryFile file;
    file.set(ladle_fuzz::text_of(bytes, count));
    ladle::FileReport report;
    try {
        report = ladle::inspect_text(file.path());
    } catch (const ladle::DataError&) {
        return 0;
    }
    ladle_fuzz::require(ladle::facts_text(report) == ladle::facts_text(ladle::inspect_text(file.path())),
                        "the same file is reported alike twice");
    for (const ladle::ReportTable& table : report.tables) {
        for (const auto& row : table.rows) {
            ladle_fuzz::require(row.size() == table.columns.size(), "a row has a cell for each title");
        }
    }
    return 0;
}
