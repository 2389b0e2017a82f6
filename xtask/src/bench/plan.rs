//! How many URLs a second one core reads, plans and writes.

use anyhow::{Context as _, Result, ensure};

use crate::repo;

/// At least so many million URLs a second.
const TARGET: f64 = 3.0;

/// Runs the bench of the model, and reads what criterion prints.
pub(super) fn run() -> Result<()> {
    let arguments = ["bench", "--quiet", "--package=cfcache-model", "--bench=plan", "--", "--noplot"];
    let printed = repo::capture("cargo", arguments)?;
    println!("parse, plan and encode batches of 100 URLs, one core, million URLs a second:");
    let mut worst = f64::INFINITY;
    let mut name = "";
    for line in printed.lines() {
        if let Some(rest) = line.strip_prefix("parse+plan+encode/") {
            name = rest.split("  ").next().unwrap_or_default().trim();
        }
        // In percent it says how far that is from the run before.
        let range = line.split_once("thrpt:").map(|(_, range)| range).filter(|range| !range.contains('%'));
        let Some(range) = range else { continue };
        let rate = million(range).with_context(|| format!("criterion prints `{line}`"))?;
        println!("  {name}: {rate:.2}");
        worst = worst.min(rate);
    }
    ensure!(worst.is_finite(), "criterion printed no throughput:\n{printed}");
    ensure!(worst >= TARGET, "MISSED: the target is {TARGET:.0} million");
    println!("  target {TARGET:.0}: met");
    Ok(())
}

/// The middle of `[3.8802 Melem/s 3.9129 Melem/s 3.9390 Melem/s]`, in millions.
fn million(range: &str) -> Option<f64> {
    let words: Vec<&str> = range.trim().trim_matches(['[', ']']).split(' ').collect();
    let [_, _, number, unit, ..] = words[..] else { return None };
    let times = match unit {
        "Gelem/s" => 1e3,
        "Melem/s" => 1.0,
        "Kelem/s" => 1e-3,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_criterion_prints() {
        assert_eq!(million("  [3.8802 Melem/s 3.9129 Melem/s 3.9390 Melem/s]"), Some(3.9129));
        assert_eq!(million("[812.1 Kelem/s 900.0 Kelem/s 1.01 Melem/s]"), Some(0.9));
        assert_eq!(million("[1 ms 2 ms 3 ms]"), None);
    }
}
