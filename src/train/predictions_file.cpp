// predictions.h5.
#include "ladle/train/predictions_file.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "ladle/core/check.hpp"
#include "ladle/core/error.hpp"
#include "ladle/io/hdf5.hpp"

namespace ladle {
namespace {

constexpr const char* kSchema = "ladle.predictions";
constexpr int kMajor = 1;
constexpr int kMinor = 0;

SplitLogits read_split(const Hdf5Reader& file, const PredictionsFile& predictions, const std::string& name) {
    SplitLogits split;
    split.name = name;
    const std::string group = "/" + name + "/";
    if (predictions.regression) {
        split.targets = file.floats(group + "targets");
    } else {
        split.labels = file.int32s(group + "labels");
        const auto classes = static_cast<std::int32_t>(predictions.outputs());
        if (std::any_of(split.labels.begin(), split.labels.end(),
                        [&](std::int32_t label) { return label < 0 || label >= classes; })) {
            throw DataError("cannot read " + file.path(), fmt::format("a label of {} is no class of the task", name),
                            "finish the run again, which writes it anew");
        }
    }
    const std::size_t models = predictions.models.size();
    const Shape shape = {static_cast<std::int64_t>(models), static_cast<std::int64_t>(split.samples()),
                         static_cast<std::int64_t>(predictions.outputs())};
    const std::vector<float> all = file.tensor(group + "logits", DType::f32, shape).to_floats();
    const std::size_t size = split.samples() * predictions.outputs();
    for (std::size_t m = 0; m < models; ++m) {
        const auto begin = all.begin() + static_cast<std::ptrdiff_t>(m * size);
        split.logits.emplace_back(begin, begin + static_cast<std::ptrdiff_t>(size));
    }
    return split;
}

}  // namespace

PredictionsFile PredictionsFile::begin(const Task& task, bool clips_at_zero, const std::vector<const Split*>& splits) {
    PredictionsFile predictions;
    predictions.task = task.name;
    predictions.label_names = task.label_names;
    predictions.regression = task.regression;
    predictions.clips_at_zero = clips_at_zero;
    for (const Split* split : splits) {
        predictions.splits.push_back({split->name, split->labels, split->targets, {}});
    }
    return predictions;
}

void PredictionsFile::add_model(const std::string& name, const std::vector<std::vector<float>>& logits) {
    check(logits.size() == splits.size(), "a model has logits for every split");
    models.push_back(name);
    for (std::size_t s = 0; s < splits.size(); ++s) {
        splits[s].logits.push_back(logits[s]);
    }
}

void write_predictions(const std::string& path, const PredictionsFile& predictions) {
    Hdf5Writer file(kSchema, kMajor, kMinor);
    file.text("/", "task", predictions.task);
    file.texts("/", "label_names", predictions.label_names);
    file.flag("/", "regression", predictions.regression);
    file.flag("/", "clips_at_zero", predictions.clips_at_zero);
    file.texts("/", "models", predictions.models);
    std::vector<std::string> names;
    for (const SplitLogits& split : predictions.splits) {
        names.push_back(split.name);
    }
    file.texts("/", "splits", names);
    for (const SplitLogits& split : predictions.splits) {
        const std::string group = "/" + split.name;
        file.group(group);
        if (predictions.regression) {
            file.dataset(group + "/targets", split.targets);
        } else {
            file.dataset(group + "/labels", split.labels);
        }
        std::vector<float> all;
        for (const std::vector<float>& logits : split.logits) {
            all.insert(all.end(), logits.begin(), logits.end());
        }
        file.dataset(group + "/logits", DType::f32,
                     {static_cast<std::int64_t>(predictions.models.size()), static_cast<std::int64_t>(split.samples()),
                      static_cast<std::int64_t>(predictions.outputs())},
                     all.data());
    }
    file.save(path);
}

PredictionsFile read_predictions(const std::string& path) {
    const Hdf5Reader file(path);
    file.require_schema(kSchema, kMajor);
    PredictionsFile predictions;
    predictions.task = file.text("/", "task");
    predictions.label_names = file.texts("/", "label_names");
    predictions.regression = file.flag("/", "regression");
    predictions.clips_at_zero = file.flag("/", "clips_at_zero");
    predictions.models = file.texts("/", "models");
    for (const std::string& name : file.texts("/", "splits")) {
        predictions.splits.push_back(read_split(file, predictions, name));
    }
    if (predictions.models.empty() || predictions.splits.empty()) {
        throw DataError("cannot read " + path, "it holds no model or no split",
                        "finish the run again, which writes it anew");
    }
    return predictions;
}

}  // namespace ladle
