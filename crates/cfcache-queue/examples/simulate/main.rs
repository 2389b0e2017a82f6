//! Simulates a day of a large queue, and prints the results: `cargo xtask simulate queue [SEED]`.

#![expect(clippy::print_stdout, reason = "the program prints its results")]

mod world;

use world::{HOUR, PlanReport, Scenario, run};

fn main() {
    let seed = std::env::args().nth(1).map_or(1, |seed| seed.parse().expect("a seed is a number"));
    let scenario = Scenario {
        seed,
        duration: 24 * HOUR,
        producers: 1000,
        zones: 100,
        accounts: 20,
        change_every: 40_000_000,
        slots: 32,
        deployments: (9 * HOUR, 40),
        deployment_urls: 5000,
        outage: (14 * HOUR, 14 * HOUR + HOUR / 2),
    };
    let report = run(&scenario);
    println!(
        "seed {seed}: {} producers, {} zones of {} accounts, 24 h; {} zones deployed from 09:00 on, {} URLs by each \
         of 10 producers; the API is down from 14:00 to 14:30; {} requests in flight at most\n",
        scenario.producers,
        scenario.zones,
        scenario.accounts,
        scenario.deployments.1,
        scenario.deployment_urls,
        scenario.slots,
    );
    println!(
        "| plan | requests | sent as entries | in API requests | merged: same | covered | failed attempts | 429 | dead | most waiting | flexible budget used | URL budget used |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|");
    for (plan, report) in &report.plans {
        let PlanReport { stored, sent_entries, sent_requests, same, covered, failed, .. } = report;
        let share = |(used, given): (u64, f64)| format!("{:.2} %", used as f64 / given * 100.0);
        println!(
            "| {plan} | {stored} | {sent_entries} | {sent_requests} | {same} | {covered} | {failed} | {} | {} | {} | {} | {} |",
            report.rate_limited,
            report.dead,
            report.most_waiting,
            share(report.flexible),
            share(report.urls),
        );
    }
    println!("\n| plan | waited, of requests from | p50 | p99 | longest |");
    println!("|---|---|---|---|---|");
    for (plan, report) in report.plans {
        let times = ["ordinary hours", "the 15 minutes of the deployments", "the outage"];
        for (time, mut waits) in times.into_iter().zip(report.waits) {
            waits.sort_unstable();
            let at = |share: f64| {
                let index = (waits.len().saturating_sub(1) as f64 * share) as usize;
                waits
                    .get(index)
                    .map_or("–".to_owned(), |wait| format!("{:.3} s", f64::from(*wait) / 1000.0))
            };
            println!("| {plan} | {time} | {} | {} | {} |", at(0.5), at(0.99), at(1.0));
        }
    }
    println!("\nleft in the queue: {}", report.left);
}
