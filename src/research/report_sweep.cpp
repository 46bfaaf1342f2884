// The page of a sweep.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "ladle/adapters/adapter.hpp"
#include "ladle/research/html.hpp"
#include "ladle/research/report.hpp"
#include "ladle/research/statistics.hpp"
#include "ladle/research/svg.hpp"
#include "report_parts.hpp"

namespace ladle {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

/// Runs that differ in the seed only, by rising seed.
struct Group {
    std::string label;
    std::vector<const RunFiles*> runs;
};

/// Groups of one task, in order of their first run.
using TaskGroups = std::vector<Group>;

std::map<std::string, TaskGroups> group_runs(const std::vector<RunFiles>& runs) {
    std::map<std::string, TaskGroups> tasks;
    for (const RunFiles& run : runs) {
        if (!run.finished()) {
            continue;
        }
        TaskGroups& groups = tasks[run.config.data.task];
        auto group = std::find_if(groups.begin(), groups.end(), [&](const Group& g) { return g.label == run.label; });
        if (group == groups.end()) {
            group = groups.insert(groups.end(), {run.label, {}});
        }
        group->runs.push_back(&run);
    }
    for (auto& [task, groups] : tasks) {
        std::sort(groups.begin(), groups.end(), [](const Group& a, const Group& b) { return a.label < b.label; });
        for (Group& group : groups) {
            std::stable_sort(group.runs.begin(), group.runs.end(), [](const RunFiles* a, const RunFiles* b) {
                return a->config.run.seed < b->config.run.seed;
            });
        }
    }
    return tasks;
}

double best_score(const RunFiles& run) {
    return run.score("soup", run.dev_split(), run.metric());
}

/// The metric at the last evaluation, on the dev split that is reported first.
double last_score(const RunFiles& run) {
    double score = kNan;
    for (const EvalRecord& record : run.history.evaluations) {
        for (const auto& [name, value] : record.scores) {
            if (record.split == run.dev_split() && name == run.metric()) {
                score = value;
            }
        }
    }
    return score;
}

std::vector<double> collect(const Group& group, double (*score)(const RunFiles&)) {
    std::vector<double> values;
    for (const RunFiles* run : group.runs) {
        values.push_back(score(*run));
    }
    return values;
}

std::string mean_and_deviation(const std::vector<double>& values) {
    const Summary summary = summarize(values);
    if (summary.count == 0) {
        return "-";
    }
    return summary.count == 1 ? cell(summary.mean) : fmt::format("{:.4f} ± {:.4f}", summary.mean, summary.deviation);
}

std::string scores_table(const TaskGroups& groups) {
    HtmlTable table({"method", "n", "mean", "std", "median", "min", "max", "last epoch", "chosen on"});
    for (const Group& group : groups) {
        const Summary best = summarize(collect(group, best_score));
        std::set<std::string> chosen;
        for (const RunFiles* run : group.runs) {
            chosen.insert(run->results.at("best").at("select").get<std::string>());
        }
        table.add_row({group.label, std::to_string(best.count), cell(best.mean), cell(best.deviation),
                       cell(best.median), cell(best.least), cell(best.most),
                       mean_and_deviation(collect(group, last_score)), chosen.size() == 1 ? *chosen.begin() : "mixed"});
    }
    return table.text();
}

std::string dots(const std::string& task, const TaskGroups& groups) {
    std::vector<DotRow> rows;
    for (const Group& group : groups) {
        DotRow row{group.label, {}};
        for (const RunFiles* run : group.runs) {
            row.dots.emplace_back(best_score(*run),
                                  fmt::format("{}, seed {}: {}\n{}", group.label, run->config.run.seed,
                                              cell(best_score(*run)), run->path));
        }
        rows.push_back(std::move(row));
    }
    const std::string metric = groups.front().runs.front()->metric();
    return dot_chart({task + ": one dot per seed, mean and deviation",
                      metric + " on " + groups.front().runs.front()->dev_split(), ""},
                     rows);
}

/// Each seed counts once: its first run.
std::map<std::uint64_t, double> score_by_seed(const Group& group) {
    std::map<std::uint64_t, double> scores;
    for (const RunFiles* run : group.runs) {
        scores.emplace(run->config.run.seed, best_score(*run));
    }
    return scores;
}

PairedTest compare(const Group& first, const Group& second) {
    std::vector<double> a;
    std::vector<double> b;
    const auto others = score_by_seed(second);
    for (const auto& [seed, score] : score_by_seed(first)) {
        if (const auto other = others.find(seed); other != others.end()) {
            a.push_back(score);
            b.push_back(other->second);
        }
    }
    return paired_test(a, b);
}

std::string tests_table(const TaskGroups& groups) {
    HtmlTable table({"first", "second", "n", "mean difference", "effect size d", "t", "p of t", "p of signs"});
    std::size_t least_pairs = kMostExactPairs;
    for (std::size_t a = 0; a < groups.size(); ++a) {
        for (std::size_t b = a + 1; b < groups.size(); ++b) {
            const PairedTest test = compare(groups[a], groups[b]);
            if (test.pairs < 2) {
                continue;
            }
            least_pairs = std::min(least_pairs, test.pairs);
            table.add_row({groups[a].label, groups[b].label, std::to_string(test.pairs),
                           fmt::format("{:+.4f}", test.mean_difference), cell(test.effect), cell(test.t),
                           cell(test.t_p), cell(test.permutation_p)});
        }
    }
    if (table.empty()) {
        return html_note("No two methods have two seeds in common, so nothing is compared.");
    }
    return html_note(fmt::format(
               "Pairs are runs of the same seed, of which each counts once. d is the mean difference over the standard "
               "deviation of the "
               "differences. p of t: two-sided paired t-test; p of signs: exact test over all changes of sign, made up "
               "to {} pairs, which with {} pairs cannot be below {:.4f}. No p is corrected for the number of "
               "comparisons.",
               kMostExactPairs, least_pairs, std::min(1.0, std::pow(2.0, 1 - static_cast<double>(least_pairs))))) +
           table.text();
}

std::string soups_table(const TaskGroups& groups) {
    const bool regression =
        groups.front().runs.front()->predictions && groups.front().runs.front()->predictions->regression;
    HtmlTable table(
        {"method", "n", "soup", "mean expert", "best expert", "best expert on dev", "ensemble", "disagreement"});
    HtmlTable calibration({"method", "n", "soup NLL", "soup Brier", "soup ECE", "ensemble NLL", "ensemble ECE"});
    for (const Group& group : groups) {
        std::map<std::string, std::vector<double>> columns;
        for (const RunFiles* run : group.runs) {
            if (!run->predictions) {
                continue;
            }
            const SplitJudgement judged = judge(*run, dev_index(*run->predictions));
            const auto& soup = judged.soup_calibration;
            columns["soup"].push_back(judged.soup);
            columns["mean"].push_back(judged.mean_expert);
            columns["best"].push_back(judged.best_expert);
            columns["top"].push_back(judged.top_expert);
            columns["ensemble"].push_back(judged.ensemble);
            columns["disagreement"].push_back(judged.disagreement);
            columns["nll"].push_back(soup ? soup->nll : kNan);
            columns["brier"].push_back(soup ? soup->brier : kNan);
            columns["ece"].push_back(soup ? soup->ece : kNan);
            columns["ensemble_nll"].push_back(judged.ensemble_calibration ? judged.ensemble_calibration->nll : kNan);
            columns["ensemble_ece"].push_back(judged.ensemble_calibration ? judged.ensemble_calibration->ece : kNan);
        }
        const auto add_row = [&](HtmlTable& to, const std::vector<std::string>& names) {
            std::vector<std::string> cells = {group.label, std::to_string(columns["soup"].size())};
            for (const std::string& name : names) {
                cells.push_back(mean_and_deviation(columns[name]));
            }
            to.add_row(std::move(cells));
        };
        add_row(table, {"soup", "mean", "best", "top", "ensemble", "disagreement"});
        add_row(calibration, {"nll", "brier", "ece", "ensemble_nll", "ensemble_ece"});
    }
    return html_note(fmt::format(
               "Mean and standard deviation over seeds. The best expert is chosen on the rows that chose the step; the "
               "best expert on dev is chosen on the very rows it is scored on, and no fair rival. The ensemble is the "
               "mean of the experts' logits; disagreement is the {} over pairs of experts.",
               regression ? "mean absolute difference" : "share of rows predicted differently")) +
           table.text() +
           (regression ? ""
                       : html_note(fmt::format("Calibration: NLL in nats; Brier from 0 to 2; ECE over {} bins of equal "
                                               "width.",
                                               kCalibrationBins)) +
                             calibration.text());
}

/// Forward and backward passes over samples until the end of the run.
double compute_of(const RunFiles& run) {
    const auto steps = run.results.at("steps_done").get<double>();
    const double passes = run.config.train.consistency > 0 ? 2 : 1;
    return steps * run.config.train.batch * run.config.train.accumulate * passes;
}

const AdapterKind& kind_of(const Group& group) {
    return adapter_kind(group.runs.front()->config.adapter.kind);
}

/// Single adapters of the same family as the mixture: at the same place, with or without factors.
bool are_its_singles(const Group& group, const Group& mixture) {
    const AdapterKind& kind = kind_of(group);
    return !kind.mixture && kind.site == kind_of(mixture).site && kind.has_factors == kind_of(mixture).has_factors;
}

/// Scores of sets of single adapters: mean over the sets.
struct SetScores {
    std::vector<double> mean;
    std::vector<double> best;  ///< of the run with the best deciding score
    std::vector<double> ensemble;
};

SetScores score_sets(const Group& singles, std::size_t size) {
    SetScores scores;
    for (std::size_t begin = 0; begin + size <= singles.runs.size(); begin += size) {
        std::vector<double> members;
        std::vector<const std::vector<float>*> logits;
        double deciding = -std::numeric_limits<double>::infinity();
        double best = kNan;
        for (std::size_t i = begin; i < begin + size; ++i) {
            const RunFiles& run = *singles.runs[i];
            const PredictionsFile& file = *run.predictions;
            members.push_back(best_score(run));
            logits.push_back(&file.splits[dev_index(file)].logits.front());
            const nlohmann::json& chosen = run.results.at("best").at("score");
            if (chosen.is_number() && chosen.get<double>() > deciding) {
                deciding = chosen.get<double>();
                best = members.back();
            }
        }
        const RunFiles& first = *singles.runs[begin];
        const SplitLogits& split = first.predictions->splits[dev_index(*first.predictions)];
        scores.mean.push_back(summarize(members).mean);
        scores.best.push_back(best);
        scores.ensemble.push_back(
            find_score(score_stored(*first.predictions, split, mean_logits(logits)), first.metric()));
    }
    return scores;
}

bool share_rows(const Group& group) {
    const auto rows = [](const RunFiles* run) -> const SplitLogits& {
        return run->predictions->splits[dev_index(*run->predictions)];
    };
    return std::all_of(group.runs.begin(), group.runs.end(), [&](const RunFiles* run) {
        return run->predictions && rows(run).labels == rows(group.runs.front()).labels &&
               rows(run).logits.front().size() == rows(group.runs.front()).logits.front().size();
    });
}

std::string equal_compute_table(const TaskGroups& groups) {
    HtmlTable table({"mixture", "soup", "single adapter", "adapters per set", "sets", "mean of set", "best of set",
                     "ensemble of set"});
    std::string notes;
    for (const Group& mixture : groups) {
        if (!kind_of(mixture).mixture) {
            continue;
        }
        for (const Group& singles : groups) {
            if (!are_its_singles(singles, mixture) || !singles.runs.front()->predictions || !share_rows(singles)) {
                continue;
            }
            const double ratio = compute_of(*mixture.runs.front()) / compute_of(*singles.runs.front());
            const auto size = static_cast<std::size_t>(std::max(1.0, std::round(ratio)));
            if (size > singles.runs.size()) {
                notes += html_note(fmt::format("{} against {}: equal compute needs sets of {} seeds, and there are {}.",
                                               mixture.label, singles.label, size, singles.runs.size()));
                continue;
            }
            const SetScores sets = score_sets(singles, size);
            table.add_row({mixture.label, mean_and_deviation(collect(mixture, best_score)), singles.label,
                           std::to_string(size), std::to_string(sets.mean.size()), mean_and_deviation(sets.mean),
                           mean_and_deviation(sets.best), mean_and_deviation(sets.ensemble)});
        }
    }
    if (table.empty()) {
        return html_note("There is no mixture beside single adapters of its family with stored predictions.") + notes;
    }
    return html_note(
               "Compute is counted in passes over samples: steps x batch x 2 with consistency loss. As many single "
               "adapters (seeds in order) as cost one mixture run form a set; the best of a set is the run with the "
               "best score on the rows that chose its step; the ensemble is the mean of their logits.") +
           table.text() + notes;
}

std::string unfinished_section(const std::vector<RunFiles>& runs) {
    HtmlTable table({"run that has not finished", "steps done"});
    for (const RunFiles& run : runs) {
        if (!run.finished()) {
            const std::int64_t steps = run.history.steps.empty() ? 0 : run.history.steps.back().step;
            table.add_row(
                {fmt::format("{}, {}, seed {} ({})", run.config.data.task, run.label, run.config.run.seed, run.path),
                 std::to_string(steps)});
        }
    }
    return table.empty() ? "" : html_heading("Not finished") + table.text();
}

}  // namespace

std::string sweep_report(const std::string& title, const std::vector<RunFiles>& runs) {
    const auto tasks = group_runs(runs);
    const auto finished = std::count_if(runs.begin(), runs.end(), [](const RunFiles& run) { return run.finished(); });
    std::string body = html_note(fmt::format("{} of {} runs have finished.", finished, runs.size()));
    for (const auto& [task, groups] : tasks) {
        const RunFiles& first = *groups.front().runs.front();
        const bool on_dev = std::any_of(groups.begin(), groups.end(), [](const Group& group) {
            return std::any_of(group.runs.begin(), group.runs.end(),
                               [](const RunFiles* run) { return run->results.at("best").at("select") == "dev"; });
        });
        body += html_heading(task) +
                html_note(fmt::format("{} on {}, at the best step of each run.{}", first.metric(), first.dev_split(),
                                      on_dev ? " Where the step was chosen on dev (eval.select = dev, as published), "
                                               "dev scores are optimistic."
                                             : " The step was chosen on rows held out of train; dev only reports.")) +
                scores_table(groups) + html_charts({dots(task, groups)}) + html_heading("Paired tests", 3) +
                tests_table(groups) + html_heading("Soup against its experts", 3) + soups_table(groups) +
                html_heading("Single adapters of equal compute", 3) + equal_compute_table(groups);
    }
    return html_page(title, body + unfinished_section(runs));
}

}  // namespace ladle
