//! A small queue in simulated time.

#[path = "../../examples/simulate/world.rs"]
mod world;

use world::{HOUR, Scenario, run};

/// Two hours of ten zones on four accounts, with deployments and an outage.
fn small(seed: u64) -> Scenario {
    Scenario {
        seed,
        duration: 2 * HOUR,
        producers: 40,
        zones: 10,
        accounts: 4,
        change_every: 20_000_000,
        slots: 8,
        deployments: (HOUR / 2, 5),
        deployment_urls: 1000,
        outage: (HOUR, HOUR + HOUR / 4),
    }
}

#[test]
fn loses_nothing_and_gets_no_429() {
    for seed in 0..3 {
        let report = run(&small(seed));
        assert_eq!(report.left, 0, "seed {seed}");
        for (plan, report) in &report.plans {
            let waited: usize = report.waits.iter().map(Vec::len).sum();
            assert_eq!(report.stored, waited as u64, "seed {seed}, {plan}");
            assert_eq!((report.rate_limited, report.dead), (0, 0), "seed {seed}, {plan}");
            assert!(report.same > 0 && report.failed > 0, "seed {seed}, {plan}");
        }
        assert!(report.plans.values().map(|report| report.covered).sum::<u64>() > 0, "seed {seed}");
    }
}

#[test]
fn the_same_seed_gives_the_same_report() {
    let shown = |seed| format!("{:?}", run(&small(seed)));
    assert_eq!(shown(7), shown(7));
    assert_ne!(shown(7), shown(8));
}
