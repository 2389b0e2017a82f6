//! Usage errors and their messages.

use crate::support::{Api, Dir, bare, cfcache};

#[test]
fn version_and_help_go_to_standard_output() {
    let version = bare().arg("--version").run();
    version.exits(0);
    assert_eq!(version.out, format!("cfcache {}\n", env!("CARGO_PKG_VERSION")));
    assert_eq!(version.err, "");
    let help = bare().arg("--help").run();
    help.exits(0);
    assert!(help.out.contains("Exit codes: 0 all accepted"), "{}", help.out);
    let help = bare().args("purge urls --help").run();
    help.exits(0);
    for option in ["--from <FILE>", "--header <NAME: VALUE>", "--on-invalid", "--failed-to", "--dry-run"] {
        assert!(help.out.contains(option), "{option}: {}", help.out);
    }
}

#[test]
fn without_a_command_prints_the_help() {
    bare().run().exits(2).says_nothing().tells("Usage: cfcache");
    bare().arg("purge").run().exits(2).says_nothing().tells("Usage: cfcache purge");
}

#[test]
fn suggests_a_command_for_an_entry_without_its_kind() {
    let told = |line: &str| {
        let ran = bare().env("CLOUDFLARE_API_TOKEN", "x").args(line).run();
        ran.exits(2).says_nothing();
        ran.err
    };
    let url = told("purge https://www.example.com/a");
    assert!(url.contains("tip: did you mean `cfcache purge urls https://www.example.com/a`?"), "{url}");
    let url = told("-z example.com invalidate https://www.example.com/a");
    assert!(url.contains("`cfcache invalidate urls https://www.example.com/a`"), "{url}");
    let top = told("https://www.example.com/a");
    assert!(top.contains("`cfcache purge urls https://www.example.com/a`"), "{top}");
    let prefix = told("purge www.example.com/blog");
    assert!(prefix.contains("`cfcache purge prefixes www.example.com/blog`"), "{prefix}");
    assert!(told("purge www.example.com").contains("`cfcache purge hosts www.example.com`"));
    assert!(told("purge all").contains("`cfcache purge everything`"));
    assert!(told("purge tag a").contains("'tags'"));
    assert!(told("purg urls https://www.example.com/a").contains("'purge'"));
}

#[test]
fn refuses_a_host_name_as_the_address_of_a_listener() {
    for line in ["emulator --listen localhost:8787", "emulator --origin . --edge-listen 8788"] {
        bare().args(line).run().exits(2).says_nothing().tells("not an IP address with a port, such as");
    }
}

#[test]
fn checks_values_before_anything_is_sent() {
    let api = Api::quick();
    for (line, found) in [
        ("--batch-size 0", "at least 1"),
        ("--concurrency -1", "--concurrency"),
        ("--timeout soon", "a number of seconds"),
        ("--timeout 0", "expected a number of seconds above 0"),
        ("--max-wait -5", "--max-wait"),
        ("--timeout NaN", "a number of seconds"),
        ("--max-retries 1.5", "--max-retries"),
        ("--plan gold", "[possible values: auto, free, pro, business, enterprise]"),
        ("--output xml", "[possible values: human, json, ndjson]"),
        ("--output json --json", "cannot be used with"),
        ("--quiet --verbose", "cannot be used with"),
        ("--on-invalid ask", "[possible values: fail, skip]"),
        ("--color sometimes", "[possible values: auto, always, never]"),
        ("--emulator", "`--emulator` and `--base-url` exclude each other"),
        ("--base-url ftp://example.com", "`--base-url` is not a base URL"),
        ("--header nonsense", "it is written `NAME: VALUE`"),
        ("--no-such-option", "unexpected argument '--no-such-option'"),
    ] {
        let base = if line == "--emulator" { format!("--base-url {}", api.base()) } else { String::new() };
        let ran = cfcache(&api).args("purge urls https://www.example.com/a").args(line).args(&base).run();
        ran.exits(2).says_nothing().tells(found);
    }
    assert_eq!(api.requests(), 0);
}

#[test]
fn checks_the_plan_variable_and_ignores_an_empty_one() {
    let purge = || bare().args("--emulator purge tags a");
    purge().env("CFCACHE_PLAN", "gold").run().exits(2).tells("`gold` is not a plan").tells("CFCACHE_PLAN");
    purge().env("CFCACHE_PLAN", "").env("CLOUDFLARE_ACCOUNT_ID", "").run().exits(0);
    purge().env("CFCACHE_PLAN", "enterprise").run().exits(0);
    // An option takes precedence.
    purge().env("CFCACHE_PLAN", "gold").args("--plan pro").run().exits(0);
}

#[test]
fn names_a_value_that_is_not_unicode() {
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt as _;
        let value = std::ffi::OsStr::from_bytes(b"\xFF\xFE");
        let ran = bare().env("CLOUDFLARE_API_TOKEN", value).args("--emulator purge tags a").run();
        ran.exits(2).tells("the value of `CLOUDFLARE_API_TOKEN` is not Unicode");
    }
}

#[test]
fn explains_invalid_zones() {
    for (zone, told) in [
        ("https://example.com/path", "did you mean `example.com`?"),
        ("not a zone", "give the zone's id, or its domain"),
        ("023e105f4ecef8ad9ca31a8372d0c35/", "give the zone's id, or its domain"),
    ] {
        bare().args("purge tags a --dry-run --zone").arg(zone).run().exits(2).says_nothing().tells(told);
    }
    bare().args("purge tags a --dry-run").run().exits(2).tells("no zone given").tells("CLOUDFLARE_ZONE_ID");
    bare().args("purge tags a --dry-run -z").arg("").run().exits(2).tells("empty");
}

#[test]
fn refuses_list_options_for_everything_even_in_a_dry_run() {
    let api = Api::quick();
    let dir = Dir::new();
    for option in ["--journal", "--failed-to"] {
        for line in ["purge everything -y", "invalidate everything -y", "purge everything --dry-run"] {
            let ran = cfcache(&api).arg(option).arg(dir.at("file")).args(line).run();
            ran.exits(2).says_nothing().tells(&format!("`{option}` is for lists"));
        }
    }
    assert!(!dir.at("file").exists());
    assert_eq!(api.requests(), 0);
}

#[test]
fn yes_has_three_names_and_none_reads_a_file() {
    for yes in ["-y", "--yes", "-f", "--force", "-f -y"] {
        let api = Api::quick();
        cfcache(&api).args("purge everything").args(yes).run().exits(0);
        assert_eq!(api.requests(), 1, "{yes}");
    }
    let help = bare().args("purge tags --help").run();
    assert!(help.out.contains("-y, --yes") && help.out.contains("-f, --force"), "{}", help.out);
    let dir = Dir::new();
    dir.file("tags.txt", "a\nb\n");
    std::fs::create_dir(dir.at("folder")).unwrap();
    let api = Api::quick();
    let purge = |line: &str| cfcache(&api).current_dir(&dir.at(".")).args("purge tags").args(line).run();
    for line in ["-f tags.txt", "--force tags.txt", "tags.txt -f", "x -f tags.txt -y", "-f @tags.txt"] {
        purge(line).exits(2).says_nothing().tells("`--from FILE`").tells("`tags.txt` looks like a file name");
    }
    purge("-f -").exits(2).says_nothing().tells("`-` looks like a file name");
    assert_eq!(api.requests(), 0);
    // Without such a file it is a tag, and so is an entry without `-f`.
    for line in ["-f other.txt", "-f folder", "-y tags.txt", "-f --from tags.txt"] {
        purge(line).exits(0);
    }
    assert_eq!(api.items(), ["other.txt", "folder", "tags.txt", "a", "b"]);
}

#[test]
fn help_is_a_command_and_an_option() {
    for (typed, option) in [
        ("help", "--help"),
        ("help purge", "purge --help"),
        ("help purge urls", "purge urls --help"),
        ("help token verify", "token verify --help"),
    ] {
        let (word, option) = (bare().args(typed).run(), bare().args(option).run());
        word.exits(0);
        assert_eq!((word.out, word.err), (option.out, option.err), "{typed}");
    }
    bare().args("help nonsense").run().exits(2).tells("'nonsense'");
    for typed in ["login", "verify", "status", "auth"] {
        bare().args(typed).run().exits(2).tells("`cfcache token verify`");
    }
}

#[test]
fn warns_about_a_batch_size_above_every_plan() {
    let api = Api::quick();
    let warns = |line: &str, told: &str| {
        let ran = cfcache(&api).args("purge tags a --batch-size").args(line).run();
        ran.exits(0).tells(told);
        assert_eq!(ran.err.is_empty(), told.is_empty(), "{line}: {ran:?}");
    };
    warns(
        "101",
        "warning: `--batch-size 101`: no plan is given, and `free` allows at most 100 tags a request",
    );
    warns("200 --plan pro", "the plan `pro` allows at most 100 tags a request");
    warns("100", "");
    warns("101 -q", "");
    let urls = |plan: &str| {
        cfcache(&api).args("purge urls https://www.example.com/a --batch-size 500 --plan").arg(plan).run().err
    };
    assert_eq!(urls("enterprise"), "");
    assert!(urls("business").contains("at most 100 URLs a request"));
    cfcache(&api).args("purge tags a --dry-run --batch-size 101").run().exits(0).tells("at most 100 tags");
}

#[test]
fn refuses_options_without_effect_for_everything_and_the_emulator() {
    let api = Api::quick();
    for option in
        ["--on-invalid skip", "--strict", "--batch-size 5", "--concurrency 2", "--journal j", "--failed-to f"]
    {
        for verb in ["purge", "invalidate"] {
            let ran = cfcache(&api).arg(verb).args("everything --yes").args(option).run();
            ran.exits(2).says_nothing().tells("not for `everything`");
        }
    }
    assert_eq!(api.requests(), 0);
    for option in [
        "--zone example.com",
        "--environment Production",
        "--api-token-file token",
        "--base-url http://127.0.0.1:1",
        "--emulator",
        "--proxy none",
        "--profile a",
        "--config a",
        "--roots bundled",
        "--ca-file a",
        "--allow-insecure-http",
        "--batch-size 1",
        "--concurrency 1",
        "--max-retries 1",
        "--timeout 1",
        "--max-wait 1",
        "--output json",
        "--json",
        "--dry-run",
        "--yes",
        "--force",
        "--on-invalid skip",
        "--strict",
        "--journal j",
        "--failed-to f",
    ] {
        let name = option.split(' ').next().unwrap();
        for line in [
            format!("emulator --listen 127.0.0.1:0 {option}"),
            format!("{option} emulator --listen 127.0.0.1:0"),
        ] {
            let ran = bare().args(&line).run();
            ran.exits(2).says_nothing().tells(&format!("`{name}` has no effect"));
        }
    }
}
