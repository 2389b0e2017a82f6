//! The command `emulator`, as a process.

use crate::support::{Started, TOKEN, ZONE, bare};

/// Starts an emulator on a free port. Returns its base URL.
fn serve(line: &str) -> (Started, String) {
    let mut process = bare().args("emulator --listen 127.0.0.1:0").args(line).start();
    let said = process.line();
    let base = said.trim_end().strip_prefix("listening on ").unwrap().to_owned();
    assert!(base.starts_with("http://127.0.0.1:") && base.ends_with("/client/v4"), "{base}");
    (process, base)
}

fn client(base: &str) -> crate::support::Cmd {
    bare().env("CLOUDFLARE_API_TOKEN", TOKEN).env("CLOUDFLARE_BASE_URL", base)
}

#[cfg(unix)]
#[test]
fn serves_until_stopped() {
    for signal in ["INT", "TERM"] {
        let (process, base) = serve("");
        client(&base).args("-z example.com purge urls https://www.example.com/a").run().exits(0);
        client(&base).args("-z").arg(ZONE).args("purge everything -y").run().exits(0);
        process.signal(signal);
        let ran = process.finish();
        ran.exits(0);
        assert_eq!(ran.out.lines().count(), 1);
        assert!(ran.err.contains("any token of a valid form is accepted"), "{ran:?}");
        assert!(ran.err.contains(ZONE), "{ran:?}");
    }
}

/// Whoever has read the address may stop it at once.
#[cfg(unix)]
#[test]
fn handles_signals_from_its_first_line_on() {
    for _ in 0..8 {
        let (process, _) = serve("");
        process.terminate();
        process.finish().exits(0);
    }
}

#[test]
fn refuses_a_zone_id_that_cannot_be_in_a_path() {
    for (line, what) in [
        ("--zone-id a/b", "`--zone-id`: `a/b` is not a zone id"),
        ("--zone-id 0123456789abcdef0123456789abcdef0", "`--zone-id`"),
        ("--zone-name https://example.com", "`--zone-name`"),
        ("--zone-name example.com/a", "`--zone-name`"),
    ] {
        let ran = bare().args("emulator --listen 127.0.0.1:0").args(line).run();
        ran.exits(2).tells(what);
        assert_eq!(ran.out, "");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn ends_if_standard_output_is_closed() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let ran = bare().args("emulator --listen 127.0.0.1:0").stdout(full).run();
    ran.exits(1).tells("cannot write to standard output");
}

#[test]
fn uses_the_configured_zone_and_token() {
    let id = "0123456789abcdef0123456789abcdef";
    let (process, base) =
        serve(&format!("--zone-name shop.example --zone-id {id} --token {TOKEN} --plan business"));
    let zones = client(&base).args("zones list").run();
    assert!(zones.out.contains("shop.example") && zones.out.contains(id), "{zones:?}");
    assert!(zones.out.contains("business"), "{zones:?}");
    client(&base).args("-z shop.example purge tags a").run().exits(0);
    let other = client(&base).env("CLOUDFLARE_API_TOKEN", "another-token-of-a-valid-form-000000000");
    other.args("-z").arg(id).args("purge tags a").run().exits(3);
    client(&base).args("-z").arg(ZONE).args("purge tags a --json").run();
    process.kill();
}

#[test]
fn reports_the_end_of_development_mode_as_a_time() {
    let (process, base) = serve("");
    client(&base).args("-z").arg(ZONE).args("development-mode set on").run().exits(0);
    for command in ["development-mode get", "settings"] {
        let ran = client(&base).args("-z").arg(ZONE).args(command).run();
        let (_, time) = ran.out.split_once("on, for another ").unwrap();
        assert!(time.starts_with("3 h 0 min") || time.starts_with("2 h 59 min"), "{ran:?}");
    }
    process.kill();
}

#[test]
fn applies_configured_faults() {
    let (process, base) = serve("--fault status=400,code=9999,at=2 --no-rate-limit");
    let purge = || client(&base).args("-z").arg(ZONE).args("purge tags a").run();
    purge().exits(0);
    purge().exits(1);
    purge().exits(0);
    process.kill();
    bare()
        .args("emulator --listen 127.0.0.1:0 --fault nonsense")
        .run()
        .exits(2)
        .says_nothing()
        .tells("nonsense");
}

#[test]
fn names_a_port_in_use() {
    let (process, base) = serve("");
    let address = base.strip_prefix("http://").unwrap().strip_suffix("/client/v4").unwrap();
    bare().args("emulator --listen").arg(address).run().exits(2).says_nothing().tells(address);
    process.kill();
}

#[test]
fn checks_its_arguments() {
    bare().args("emulator --listen nonsense").run().exits(2).says_nothing();
    bare().args("emulator --clear-seconds -1").run().exits(2).says_nothing().tells("a number of seconds");
    for (pattern, reason) in
        [("other.com/*", "no URL of the zone matches"), ("a b/*", "is in no host of a URL")]
    {
        let run = bare().args("emulator --origin . --cache").arg(pattern).run();
        run.exits(2).says_nothing().tells(reason);
    }
}
