// The page of one run.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <numeric>

#include "ladle/adapters/adapter.hpp"
#include "ladle/config/options.hpp"
#include "ladle/research/html.hpp"
#include "ladle/research/report.hpp"
#include "ladle/research/svg.hpp"
#include "ladle/train/console.hpp"
#include "ladle/train/results_table.hpp"
#include "report_parts.hpp"

namespace ladle {
namespace {

constexpr const char* kStep = "optimizer step";

std::string last_component(const std::string& path) {
    const std::filesystem::path normal = std::filesystem::path(path).lexically_normal();
    return (normal.has_filename() ? normal : normal.parent_path()).filename().string();
}

ChartSeries step_series(const RunFiles& run, const std::string& name, double StepRecord::*field) {
    ChartSeries series{name, {}, {}, false};
    for (const StepRecord& step : run.history.steps) {
        series.x.push_back(static_cast<double>(step.step));
        series.y.push_back(step.*field);
    }
    return series;
}

std::string score_chart(const RunFiles& run) {
    std::vector<ChartSeries> lines;
    const std::string metric = run.finished() ? run.metric() : run.config.eval.metric;
    for (const EvalRecord& record : run.history.evaluations) {
        const std::string name = record.split;
        auto line = std::find_if(lines.begin(), lines.end(), [&](const auto& known) { return known.name == name; });
        if (line == lines.end()) {
            line = lines.insert(lines.end(), {name, {}, {}, true});
        }
        for (const auto& [score, value] : record.scores) {
            if (score == metric) {
                line->x.push_back(static_cast<double>(record.step));
                line->y.push_back(value);
            }
        }
    }
    return line_chart({metric + " by split", kStep, metric}, lines);
}

std::string curves(const RunFiles& run) {
    std::vector<ChartSeries> losses = {step_series(run, "task loss", &StepRecord::task_loss)};
    if (run.config.train.consistency > 0) {
        losses.push_back(step_series(run, "consistency loss, weighted", &StepRecord::consistency_loss));
    }
    return html_charts(
        {line_chart({"Loss", kStep, "mean per sample, nats or squared error"}, losses), score_chart(run),
         line_chart({"Learning rate", kStep, "rate"}, {step_series(run, "learning rate", &StepRecord::learning_rate)}),
         line_chart({"Gradient norm before clipping", kStep, "norm"},
                    {step_series(run, "gradient norm", &StepRecord::grad_norm)}),
         line_chart({"Throughput", kStep, "samples per second"},
                    {step_series(run, "samples per second", &StepRecord::samples_per_second)}),
         line_chart({"Throughput in tokens", kStep, "tokens per second"},
                    {step_series(run, "tokens per second", &StepRecord::tokens_per_second)})});
}

/// Picks of all steps together, by draw.
Named<RoutingCounts> total_counts(const RunFiles& run) {
    Named<RoutingCounts> sums;
    for (const StepRecord& step : run.history.steps) {
        for (std::size_t draw = 0; draw < step.routing_counts.size(); ++draw) {
            const auto& [name, counts] = step.routing_counts[draw];
            if (sums.size() <= draw) {
                sums.emplace_back(name, RoutingCounts());
            }
            RoutingCounts& sum = sums[draw].second;
            sum.resize(std::max(sum.size(), counts.size()));
            for (std::size_t layer = 0; layer < counts.size(); ++layer) {
                sum[layer].resize(std::max(sum[layer].size(), counts[layer].size()));
                for (std::size_t expert = 0; expert < counts[layer].size(); ++expert) {
                    sum[layer][expert] += counts[layer][expert];
                }
            }
        }
    }
    return sums;
}

void add_share_row(const std::string& name, const std::vector<std::int64_t>& counts, ShareMap& map) {
    const std::int64_t total = std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
    map.rows.push_back(name);
    map.shares.emplace_back();
    map.hover.emplace_back();
    for (std::size_t expert = 0; expert < counts.size(); ++expert) {
        map.shares.back().push_back(static_cast<double>(counts[expert]) /
                                    static_cast<double>(std::max<std::int64_t>(total, 1)));
        map.hover.back().push_back(fmt::format("{}, expert {}: {} of {} picks", name, expert, counts[expert], total));
    }
    while (map.columns.size() < counts.size()) {
        map.columns.push_back(fmt::format("expert {}", map.columns.size()));
    }
}

/// Picks per draw and expert, summed over all steps.
std::string routing_map(const RunFiles& run) {
    ShareMap map;
    for (const auto& [draw, layers] : total_counts(run)) {
        for (std::size_t layer = 0; layer < layers.size(); ++layer) {
            if (layers[layer].size() > 1) {  // a shared bank has no choice
                add_share_row(fmt::format("layer {} {}", layer, draw), layers[layer], map);
            }
        }
    }
    return share_map({"Share of picks per bank and expert, all steps", "", ""}, map);
}

/// One chart per bank that has several experts.
std::vector<std::string> distance_charts(const RunFiles& run) {
    std::vector<std::string> charts;
    const std::size_t banks = run.history.epochs.empty() ? 0 : run.history.epochs.front().expert_distances.size();
    for (std::size_t bank = 0; bank < banks; ++bank) {
        const std::vector<double>& first = run.history.epochs.front().expert_distances[bank].second;
        if (std::all_of(first.begin(), first.end(), [](double value) { return std::isnan(value); })) {
            continue;  // a shared bank
        }
        std::vector<ChartSeries> lines;
        for (const EpochRecord& epoch : run.history.epochs) {
            if (epoch.expert_distances.size() != banks) {
                continue;  // of another run: the file was put together by hand
            }
            const std::vector<double>& distances = epoch.expert_distances[bank].second;
            for (std::size_t layer = 0; layer < distances.size(); ++layer) {
                if (lines.size() <= layer) {
                    lines.push_back({fmt::format("layer {}", layer), {}, {}, true});
                }
                lines[layer].x.push_back(static_cast<double>(epoch.epoch));
                lines[layer].y.push_back(distances[layer]);
            }
        }
        charts.push_back(line_chart(
            {fmt::format("Distance between {} experts", run.history.epochs.front().expert_distances[bank].first),
             "epoch", "mean Euclidean distance over pairs"},
            lines));
    }
    return charts;
}

std::string scores_section(const RunFiles& run) {
    if (!run.finished()) {
        return html_note("The run has not finished: there are no final scores yet.");
    }
    const nlohmann::json& scores = run.results.at("scores");
    std::vector<std::string> columns = {"model"};
    for (const auto& [split, values] : scores.at("soup").items()) {
        for (const auto& [name, value] : values.items()) {
            columns.push_back(split + " " + name);
        }
    }
    HtmlTable table(columns);
    const auto add = [&](const std::string& model, const nlohmann::json& splits) {
        std::vector<std::string> cells = {model};
        for (const auto& [split, values] : splits.items()) {
            for (const auto& [name, value] : values.items()) {
                cells.push_back(
                    cell(value.is_number() ? value.get<double>() : std::numeric_limits<double>::quiet_NaN()));
            }
        }
        cells.resize(columns.size(), "-");
        table.add_row(std::move(cells));
    };
    add("base", scores.at("base"));
    for (std::size_t k = 0; k < scores.at("experts").size(); ++k) {
        add(fmt::format("expert {}", k), scores.at("experts")[k]);
    }
    add(scores.at("experts").empty() ? "trained" : "soup", scores.at("soup"));
    return html_note(selection_note(run.results.at("best").at("select").get<std::string>())) + table.text();
}

std::string calibration_chart(const std::string& split, const SplitJudgement& judged) {
    std::vector<ChartSeries> lines;
    const auto add = [&](const std::string& name, const Calibration& calibration) {
        ChartSeries line{name, {}, {}, true};
        for (const CalibrationBin& bin : calibration.bins) {
            if (bin.count > 0) {
                line.x.push_back(bin.confidence);
                line.y.push_back(bin.accuracy);
            }
        }
        lines.push_back(std::move(line));
    };
    add("soup", *judged.soup_calibration);
    if (judged.ensemble_calibration) {
        add("ensemble of experts", *judged.ensemble_calibration);
    }
    lines.push_back({"perfect", {0, 1}, {0, 1}, false});
    return line_chart({"Calibration on " + split, "mean confidence of the bin", "share of right answers"}, lines);
}

std::string judgement_section(const RunFiles& run) {
    if (!run.finished() || !run.predictions) {
        return html_note("There is no predictions.h5, so ensembles and calibration are not known.");
    }
    HtmlTable table({"split", "soup", "mean expert", "best expert", "ensemble", "disagreement", "soup NLL",
                     "soup Brier", "soup ECE", "ensemble NLL", "ensemble ECE"});
    std::vector<std::string> charts;
    for (std::size_t s = 0; s < run.predictions->splits.size(); ++s) {
        const SplitJudgement judged = judge(run, s);
        const auto& soup = judged.soup_calibration;
        const auto& ensemble = judged.ensemble_calibration;
        table.add_row({run.predictions->splits[s].name, cell(judged.soup), cell(judged.mean_expert),
                       cell(judged.best_expert), cell(judged.ensemble), cell(judged.disagreement),
                       soup ? cell(soup->nll) : "-", soup ? cell(soup->brier) : "-", soup ? cell(soup->ece) : "-",
                       ensemble ? cell(ensemble->nll) : "-", ensemble ? cell(ensemble->ece) : "-"});
        if (soup) {
            charts.push_back(calibration_chart(run.predictions->splits[s].name, judged));
        }
    }
    return html_note(fmt::format(
               "Scores are {}. The best expert is the one that is best on {}; the ensemble is the mean of the experts' "
               "logits; disagreement is the {} over pairs of experts. NLL in nats; Brier from 0 to 2; ECE over {} bins "
               "of equal width.",
               run.metric(), run.predictions->splits.front().name,
               run.predictions->regression ? "mean absolute difference" : "share of rows predicted differently",
               kCalibrationBins)) +
           table.text() + html_charts(charts);
}

std::string parameters_section(const RunFiles& run) {
    HtmlTable table({"parameters", "values", "of total"});
    const nlohmann::json& counts = run.results.at("parameters");
    const auto total = counts.at("total").get<std::int64_t>();
    const auto row = [&](const std::string& name, std::int64_t count) {
        table.add_row({name, grouped_digits(count),
                       fmt::format("{:.2f} %", 100 * static_cast<double>(count) / static_cast<double>(total))});
    };
    for (const auto& [group, count] : counts.at("groups").items()) {
        row(group, count.get<std::int64_t>());
    }
    const auto trainable = counts.at("trainable").get<std::int64_t>();
    row("trainable", trainable);
    row("frozen", total - trainable);
    row("total", total);
    return table.text();
}

std::string plain_text(const nlohmann::json& value) {
    return value.is_string() ? value.get<std::string>() : value.dump();
}

std::string provenance_section(const RunFiles& run) {
    std::string html;
    const nlohmann::json starts = run.manifest.value("starts", nlohmann::json::array());
    for (std::size_t i = 0; i < starts.size(); ++i) {
        HtmlTable table({fmt::format("start {}", i + 1), "value"});
        for (const auto& [name, value] : starts[i].items()) {
            table.add_row({name, plain_text(value)});
        }
        html += table.text();
    }
    HtmlTable identity({"identity", "value"});
    // Named, because items() only points into it.
    const nlohmann::json parts = run.manifest.value("identity", nlohmann::json::object());
    for (const auto& [name, value] : parts.items()) {
        identity.add_row({name, plain_text(value)});
    }
    HtmlTable options({"option", "value"});
    for (const std::string& name : option_names()) {
        options.add_row({name, option_value(run.config, *find_option(name))});
    }
    return html + identity.text() + html_heading("Options", 3) + options.text();
}

}  // namespace

std::string run_report(const RunFiles& run) {
    const std::string title = fmt::format("{}: {} on {}, seed {}", last_component(run.path), method_name(run.config),
                                          run.config.data.task, run.config.run.seed);
    std::string body = html_heading("Scores") + scores_section(run) + html_heading("Soup, experts and calibration") +
                       judgement_section(run) + html_heading("Training") + curves(run);
    if (makes_soup(run.config)) {
        std::vector<std::string> charts = distance_charts(run);
        charts.insert(charts.begin(), routing_map(run));
        body += html_heading("Experts") + html_charts(charts);
    }
    if (run.finished()) {
        body += html_heading("Parameters") + parameters_section(run);
    }
    return html_page(title, body + html_heading("Provenance") + provenance_section(run));
}

}  // namespace ladle
