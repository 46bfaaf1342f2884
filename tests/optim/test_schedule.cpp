// Steps, windows and learning rates.
#define BOOST_TEST_MODULE optim
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <numeric>

#include "ladle/optim/schedule.hpp"

using namespace ladle;

BOOST_AUTO_TEST_CASE(rates_rise_from_zero_and_fall_to_the_last_step) {
    // The golden fixtures' schedule: 100 steps, warm-up ratio 0.06.
    const Schedule schedule = make_schedule(ScheduleShape::linear, 3e-4, 0.06, 100);
    BOOST_TEST(schedule.warmup_steps == 6);
    const double expected[] = {0, 5e-5, 1e-4, 1.5e-4, 2e-4, 2.5e-4, 3e-4};
    for (int step = 0; step < 7; ++step) {
        BOOST_TEST(std::abs(schedule.rate(step) - expected[step]) < 1e-18);
    }
    BOOST_TEST(std::abs(schedule.rate(99) - 3e-4 / 94) < 1e-18);
    BOOST_TEST(schedule.rate(100) == 0.0);
    BOOST_TEST(schedule.rate(101) == 0.0);
    // 18 samples, batch 4: five steps an epoch, ceil(15 * 0.06) = 1 step of warm-up.
    BOOST_TEST(make_schedule(ScheduleShape::linear, 1, 0.06, 15).warmup_steps == 1);
    BOOST_TEST(make_schedule(ScheduleShape::linear, 1, 0, 15).rate(0) == 1.0);
}

BOOST_AUTO_TEST_CASE(a_constant_rate_stays_after_its_warm_up) {
    const Schedule schedule = make_schedule(ScheduleShape::constant, 2e-3, 0.1, 100);
    BOOST_TEST(schedule.rate(5) == 1e-3);
    BOOST_TEST(schedule.rate(10) == 2e-3);
    BOOST_TEST(schedule.rate(99) == 2e-3);
}

BOOST_AUTO_TEST_CASE(half_a_cosine_leads_from_the_warm_up_to_zero) {
    // The published MoA run: 2 epochs of which one is warm-up.
    const Schedule schedule = make_schedule(ScheduleShape::half_cosine, 7.5e-4, 0.5, 200);
    BOOST_TEST(schedule.rate(0) == 0.0);
    BOOST_TEST(schedule.rate(50) == 3.75e-4);
    // Rounding of pi and of one cosine.
    constexpr double kRounding = 1e-18;
    for (const int step : {100, 125, 150, 190, 200}) {
        const double progress = (step - 100) / 100.0;
        const double expected = 7.5e-4 * 0.5 * (1 + std::cos(std::acos(-1.0) * progress));
        BOOST_TEST(std::abs(schedule.rate(step) - expected) < kRounding);
    }
}

BOOST_AUTO_TEST_CASE(steps_are_counted_from_batches_and_windows) {
    StepPlan plan;
    plan.batches_per_epoch = 5;
    BOOST_TEST(plan.total_steps(3, 0) == 15);
    BOOST_TEST(plan.total_steps(2.5, 0) == 13);
    BOOST_TEST(plan.total_steps(3, 7) == 7);
    plan.accumulate = 2;
    BOOST_TEST(plan.steps_per_epoch() == 2);
    plan.accumulate = 8;
    BOOST_TEST(plan.steps_per_epoch() == 1);
    plan.accumulate = 2;
    plan.leftover = LeftoverBatches::own_window;
    BOOST_TEST(plan.steps_per_epoch() == 3);
    BOOST_TEST(plan.ends_epoch(3));
    BOOST_TEST(!plan.ends_epoch(2));
    BOOST_TEST(plan.shown_epoch(1) == 1);
    BOOST_TEST(plan.shown_epoch(3) == 1);
    BOOST_TEST(plan.shown_epoch(4) == 2);
    BOOST_TEST(plan.epoch_of_batch(4) == 0);
    BOOST_TEST(plan.epoch_of_batch(5) == 1);
}

namespace {

void expect_window(const StepPlan& plan, std::int64_t step, const BatchWindow& expected) {
    const BatchWindow window = plan.window(step);
    BOOST_TEST(window.first_batch == expected.first_batch);
    BOOST_TEST(window.end_batch == expected.end_batch);
    BOOST_TEST(window.divisor == expected.divisor);
}

}  // namespace

BOOST_AUTO_TEST_CASE(leftover_batches_are_carried_dropped_or_kept_apart) {
    StepPlan plan;
    plan.batches_per_epoch = 5;
    plan.accumulate = 2;
    expect_window(plan, 0, {0, 2, 2});
    expect_window(plan, 1, {2, 4, 2});
    expect_window(plan, 2, {4, 7, 2});
    expect_window(plan, 3, {7, 9, 2});
    expect_window(plan, 4, {9, 12, 2});

    plan.leftover = LeftoverBatches::drop;
    expect_window(plan, 1, {2, 4, 2});
    expect_window(plan, 2, {5, 7, 2});

    plan.leftover = LeftoverBatches::own_window;
    expect_window(plan, 2, {4, 5, 1});
    expect_window(plan, 3, {5, 7, 2});
}

BOOST_AUTO_TEST_CASE(an_epoch_shorter_than_a_window_is_one_step) {
    StepPlan plan;
    plan.batches_per_epoch = 3;
    plan.accumulate = 8;
    expect_window(plan, 0, {0, 3, 8});
    expect_window(plan, 1, {3, 6, 8});
    plan.leftover = LeftoverBatches::own_window;
    expect_window(plan, 1, {3, 6, 3});
}
