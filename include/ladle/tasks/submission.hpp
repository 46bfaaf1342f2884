// Predictions in the form in which the GLUE benchmark takes them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ladle/tasks/task.hpp"

namespace ladle {

/// Name of the file: CoLA.tsv, SST-2.tsv, MRPC.tsv, STS-B.tsv, QQP.tsv, MNLI-m.tsv, MNLI-mm.tsv, QNLI.tsv, RTE.tsv,
/// WNLI.tsv, AX.tsv for a test split; with the split's name before the ending for any other split, e.g.
/// MRPC.validation.tsv, so that several splits fit one directory. A user's own task gives "<task>.<split>.tsv".
std::string submission_file_name(const Task& task, const std::string& split);

/// The file's text: header "index<TAB>prediction", one row per sample. `index` [samples] is the benchmark's own row
/// number. Classes are numbers or words as the task says; regression values are clipped to 0..5 for stsb and have
/// three decimals. Throws InternalError when the lists differ in length.
std::string submission_text(const Task& task, const std::vector<std::int32_t>& index, const Predictions& predictions);

}  // namespace ladle
