//! `--journal`: accepted entries are not sent again, and nothing else is skipped.

use std::path::Path;

use crate::support::{Api, Cmd, Dir, Ran, TOKEN, ZONE, cfcache, urls, wait_until};

fn purge(api: &Api, journal: &Path) -> Cmd {
    cfcache(api).args("purge urls --json --journal").arg(journal)
}

fn count(ran: &Ran, name: &str) -> u64 {
    ran.report()[name].as_u64().unwrap()
}

#[test]
fn skips_accepted_entries_and_sends_the_rest() {
    let dir = Dir::new();
    let journal = dir.at("journal");
    for (name, from_file) in [("a pipe", false), ("a file", true)] {
        let _fresh = std::fs::remove_file(&journal);
        let api = Api::with_fault("status=400,code=9999,at=2,5");
        let list = dir.file("list", urls(950));
        let run = || {
            let purge = purge(&api, &journal);
            if from_file {
                purge.arg("--from").arg(&list).run()
            } else {
                purge.args("--from -").input(urls(950)).run()
            }
        };
        let first = run();
        first.exits(1);
        assert_eq!((count(&first, "accepted"), count(&first, "failed")), (750, 200), "{name}");
        api.log().clear();
        let second = run();
        second.exits(0);
        assert_eq!((count(&second, "accepted"), count(&second, "skipped")), (200, 750), "{name}");
        assert_eq!(api.items().len(), 200);
        api.log().clear();
        let third = run();
        third.exits(0).tells(&format!(
            "warning: all 950 URLs were accepted by an earlier run, according to the journal `{}`; remove it to send them \
             again\n",
            journal.display()
        ));
        assert_eq!((count(&third, "skipped"), count(&third, "requests")), (950, 0), "{name}");
        assert_eq!(api.requests(), 0);
        // Even quiet runs report it, because it looks like a success although nothing was sent.
        let quiet = purge(&api, &journal).arg("-q").arg("--from").arg(&list).run();
        assert_eq!(quiet.err, third.err, "{name}");
        // In the output for people too.
        let told = cfcache(&api).args("purge urls --journal").arg(&journal).arg("--from").arg(&list).run();
        assert!(told.out.starts_with(&format!("nothing left: purge on zone {ZONE}")), "{told:?}");
    }
}

#[test]
fn a_journal_consists_of_readable_lines() {
    let api = Api::quick();
    let dir = Dir::new();
    let journal = dir.at("journal");
    purge(&api, &journal).args("--concurrency 1 --from -").input(urls(250)).run().exits(0);
    let text = dir.read("journal").replace(api.base(), "[API]");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[0],
        format!(
            "{{\"journal\":\"cfcache\",\"version\":1,\"api\":\"[API]\",\"operation\":\"purge\",\"kind\":\"files\",\
             \"zone\":\"{ZONE}\",\"environment\":null,\"headers\":[],\"input\":null}}"
        )
    );
    assert!(lines[1].starts_with("{\"accepted\":[0,100],\"read\":"), "{text}");
    assert!(lines[3].starts_with("{\"accepted\":[200,250],\"read\":250,\"digest\":\""), "{text}");
    assert_eq!(lines.len(), 4);
}

#[test]
fn the_digest_of_a_run_never_changes() {
    // Written by the first version with journals. With another digest, all existing journals would be refused.
    let dir = Dir::new();
    let api = Api::quick();
    let journal = dir.at("journal");
    let list = dir.file("list", "https://www.example.com/a\nhttps://www.example.com/b\n");
    purge(&api, &journal).arg("--from").arg(list).run().exits(0);
    let text = dir.read("journal");
    assert!(text.contains(r#""input":{"read":2,"digest":"db71da08a45ea7bb"}"#), "{text}");
    assert!(text.ends_with("{\"accepted\":[0,2],\"read\":2,\"digest\":\"db71da08a45ea7bb\"}\n"), "{text}");
}

#[test]
fn refuses_the_journal_of_another_run_without_changing_it() {
    let dir = Dir::new();
    let journal = dir.at("journal");
    let api = Api::quick();
    let list = dir.file("list", urls(250));
    let others = dir.file("others", urls(250).replace("/0\n", "/x\n"));
    let more = dir.file("more", urls(251));
    purge(&api, &journal).arg("--from").arg(&list).run().exits(0);
    let before = dir.read("journal");
    api.log().clear();
    let refused = |cmd: Cmd, why: &str| {
        let ran = cmd.run();
        ran.exits(2).says_nothing().tells(why).tells("another journal");
        assert_eq!(dir.read("journal"), before);
    };
    let with = |line: &str| cfcache(&api).arg("--journal").arg(&journal).args(line);
    refused(
        with("invalidate urls --from").arg(&list),
        "its operation is `purge`, this run's is `invalidate`",
    );
    refused(with("purge tags a"), "its kind is `files`, this run's is `tags`");
    refused(
        with("purge urls -z 11111111111111111111111111111111 --from").arg(&list),
        &format!("its zone is `{ZONE}`"),
    );
    refused(with("purge urls -e Staging --from").arg(&list), "it is for the zone, and no environment");
    refused(
        with("purge urls --header").arg("CF-Device-Type: mobile").arg("--from").arg(&list),
        "its headers are none",
    );
    refused(with("purge urls --from").arg(&more), "its input had 250 entries, this one has 251");
    refused(with("purge urls --from").arg(&others), "not the same ones");
    let other = Api::quick();
    refused(
        cfcache(&other).args("purge urls --journal").arg(&journal).arg("--from").arg(&list),
        "its API is",
    );
    assert_eq!(api.bodies(), [""; 0]);
    assert_eq!(other.requests(), 0);
}

#[test]
fn detects_different_input_from_a_pipe_and_skips_nothing() {
    let dir = Dir::new();
    let journal = dir.at("journal");
    let api = Api::quick();
    let piped = |input: String| purge(&api, &journal).args("--from -").input(input).run();
    piped(urls(950)).exits(0);
    api.log().clear();
    let other = urls(950).replace("/7\n", "/x\n");
    let ran = piped(other);
    ran.exits(2).says_nothing().tells("was made with another input").tells("of this input have changed");
    assert_eq!(api.requests(), 0);
    let ran = piped(urls(940));
    ran.exits(2).tells("it had at least 950 entries, this one has 940");
    let ran = piped(String::new());
    ran.exits(2).says_nothing();
    // A difference after the known part cannot be detected.
    let ran = piped(urls(1000));
    ran.exits(0);
    assert_eq!((count(&ran, "skipped"), count(&ran, "accepted")), (950, 50));
}

#[test]
fn a_file_and_a_pipe_with_the_same_content_are_the_same_input() {
    let dir = Dir::new();
    let api = Api::with_fault("status=400,code=9999,at=3");
    let list = dir.file("list", urls(500));
    for turn in 0..2 {
        let journal = dir.at(&format!("journal-{turn}"));
        let file = || purge(&api, &journal).arg("--from").arg(&list).run();
        let pipe = || purge(&api, &journal).args("--from -").input(urls(500)).run();
        let (first, second) = if turn == 0 { (file(), pipe()) } else { (pipe(), file()) };
        assert_eq!(count(&second, "skipped"), count(&first, "accepted"));
        assert_eq!(count(&second, "accepted"), count(&first, "failed"));
    }
}

#[test]
fn handles_duplicates_headers_and_other_batch_sizes() {
    let dir = Dir::new();
    let journal = dir.at("journal");
    let api = Api::with_fault("status=400,code=9999,every=3,times=4");
    let mut input = String::new();
    for number in 0..600 {
        input.push_str(&format!("https://www.example.com/{}\n", number % 400));
        if number % 5 == 0 {
            input.push_str(&format!(
                "{{\"url\":\"https://www.example.com/{number}\",\"headers\":{{\"CF-Device-Type\":\"mobile\"}}}}\n"
            ));
        }
    }
    let list = dir.file("list", input);
    let run =
        |size: &str| purge(&api, &journal).args("--batch-size").arg(size).arg("--from").arg(&list).run();
    let first = run("17");
    first.exits(1);
    let second = run("40");
    second.exits(0);
    assert_eq!(count(&first, "duplicates"), count(&second, "duplicates"));
    assert_eq!(count(&second, "skipped"), count(&first, "accepted"));
    assert_eq!(count(&second, "accepted"), count(&first, "failed"));
    let third = run("1");
    assert_eq!(count(&third, "requests"), 0);
}

#[test]
fn repairs_an_incomplete_line_and_sends_its_entries_again() {
    let dir = Dir::new();
    let journal = dir.at("journal");
    let api = Api::quick();
    let run = || purge(&api, &journal).args("--concurrency 1 --from -").input(urls(400)).run();
    run().exits(0);
    let whole = dir.read("journal");
    let last = whole.trim_end().rfind('\n').unwrap() + 1;
    for cut in [last + 1, last + 20, whole.len() - 1] {
        dir.file("journal", &whole[..cut]);
        let ran = run();
        ran.exits(0).tells("1 line that cannot be read");
        assert_eq!((count(&ran, "skipped"), count(&ran, "accepted")), (300, 100));
        assert_eq!(dir.read("journal").lines().count(), whole.lines().count());
        assert!(dir.read("journal").lines().all(|line| line.starts_with('{') && line.ends_with('}')));
        assert_eq!(count(&run(), "skipped"), 400);
    }
    // A power loss can leave a block of zeros.
    dir.file("journal", format!("{whole}{}", "\0".repeat(4096)));
    run().exits(0).tells("1 line that cannot be read");
    assert_eq!(dir.read("journal"), whole);
    // A damaged line in the middle does not affect other lines.
    let broken: Vec<&str> =
        whole.lines().enumerate().map(|(at, line)| if at == 2 { "\0\0rubbish" } else { line }).collect();
    dir.file("journal", broken.join("\n") + "\n");
    let ran = run();
    ran.exits(0).tells("1 line that cannot be read");
    assert_eq!((count(&ran, "skipped"), count(&ran, "accepted")), (300, 100));
}

#[test]
fn restarts_a_journal_with_an_incomplete_header() {
    let dir = Dir::new();
    let api = Api::quick();
    for content in ["", "{\"jour", "{\"journal\":\"cfcache\",\"version\":1,\"op", "\0\0\0\0"] {
        let journal = dir.file("journal", content);
        let ran = purge(&api, &journal).arg("https://www.example.com/a").run();
        ran.exits(0);
        assert_eq!(count(&ran, "accepted"), 1);
        assert_eq!(dir.read("journal").lines().count(), 2);
    }
}

#[test]
fn refuses_a_file_that_is_not_a_journal() {
    let dir = Dir::new();
    let api = Api::quick();
    let newer = "{\"journal\":\"cfcache\",\"version\":2,\"api\":\"\",\"operation\":\"\",\"kind\":\"\",\"zone\":\"\",\"environment\":null,\"headers\":[],\"input\":null}\n";
    for content in ["https://www.example.com/1\n", "no line break", "{\"a\": 1}\n", "\n\n", newer] {
        let file = dir.file("file", content);
        purge(&api, &file).arg("https://www.example.com/a").run().exits(2).says_nothing();
        assert_eq!(dir.read("file"), content);
    }
    purge(&api, dir.path()).arg("https://www.example.com/a").run().exits(2).says_nothing();
    purge(&api, Path::new("/dev/null")).arg("https://www.example.com/a").run().exits(2).says_nothing();
    purge(&api, &dir.at("no/such/folder")).arg("https://www.example.com/a").run().exits(2);
    let list = dir.file("list", urls(3));
    purge(&api, &list).arg("--from").arg(&list).run().exits(2).tells("names a file that is read as input");
    let both = dir.at("both");
    let ran = purge(&api, &both).arg("https://www.example.com/a").arg("--failed-to").arg(&both).run();
    ran.exits(2).tells("name the same file");
    assert_eq!(api.requests(), 0);
}

#[test]
fn refuses_a_journal_for_everything_and_dry_runs() {
    let dir = Dir::new();
    let api = Api::quick();
    let with = |line: &str| cfcache(&api).args(line).arg("--journal").arg(dir.at("journal")).run();
    with("purge everything -y").exits(2).says_nothing().tells("not for `everything`");
    with("purge tags a --dry-run").exits(2).says_nothing().tells("exclude each other");
    // A run that could not start leaves nothing behind.
    with("purge urls nonsense").exits(2);
    assert!(!dir.at("journal").exists());
    assert_eq!(api.requests(), 0);
}

#[test]
fn warns_about_a_journal_that_was_removed_during_the_run() {
    let dir = Dir::new();
    let journal = dir.at("journal");
    let api = Api::quick();
    let mut process = purge(&api, &journal).args("--from -").start();
    process.write("https://www.example.com/0\n");
    wait_until(|| api.items().len() == 1);
    std::fs::remove_file(&journal).unwrap();
    process.end();
    process.finish().exits(0).tells("was removed during the run, so no run can continue from it");
}

#[test]
fn refuses_a_journal_in_use() {
    let dir = Dir::new();
    let journal = dir.at("journal");
    let api = Api::with_fault("stall,at=2");
    let mut first = purge(&api, &journal).args("--batch-size 1 --from -").start();
    first.write("https://www.example.com/0\n");
    wait_until(|| api.items().len() == 1);
    let second = purge(&api, &journal).args("--from -").input(urls(1)).run();
    second.exits(2).says_nothing().tells("another run is using the journal");
    first.kill();
    // A lock ends with its process.
    let third = purge(&api, &journal).args("--from -").input(urls(1)).run();
    third.exits(0);
    assert_eq!(count(&third, "skipped"), 1);
}

#[cfg(unix)]
#[test]
fn continues_an_interrupted_run() {
    let dir = Dir::new();
    let journal = dir.at("journal");
    let api = Api::with_fault("delay=300ms");
    let list = dir.file("list", urls(1000));
    let first = purge(&api, &journal).args("--concurrency 3 --from").arg(&list).start();
    wait_until(|| api.items().len() >= 300);
    first.signal("INT");
    let first = first.finish();
    first.exits(130).tells("the same command with the same journal continues from here");
    let accepted = count(&first, "accepted");
    assert_eq!(accepted, api.items().len() as u64);
    api.log().clear();
    let second = purge(&api, &journal).arg("--from").arg(&list).run();
    second.exits(0);
    assert_eq!(count(&second, "skipped"), accepted);
    assert_eq!(api.items().len() as u64, 1000 - accepted);
}

/// Writes fail when the file has a kilobyte.
#[cfg(target_os = "linux")]
#[test]
fn entries_that_cannot_be_recorded_do_not_count_as_accepted() {
    let dir = Dir::new();
    let api = Api::quick();
    let list = dir.file("list", urls(3000));
    let ran = on_a_full_disk(&api, &dir, "--concurrency 1", &list);
    ran.exits(1).tells("cannot write the journal").tells("nothing more is sent");
    let recorded = dir.read("journal").lines().filter(|line| line.ends_with('}')).count() as u64 - 1;
    assert!(recorded > 0);
    assert_eq!(count(&ran, "accepted"), recorded * 100);
    let second = purge(&api, &dir.at("journal")).arg("--from").arg(&list).run();
    second.exits(0);
    assert_eq!(count(&second, "skipped"), recorded * 100);
    assert_eq!(count(&second, "accepted"), 3000 - recorded * 100);
}

/// Purges a list with a limit of one block for the size of files.
fn on_a_full_disk(api: &Api, dir: &Dir, options: &str, list: &Path) -> Ran {
    let ran = std::process::Command::new("sh")
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("CLOUDFLARE_BASE_URL", api.base())
        .env("CLOUDFLARE_ZONE_ID", ZONE)
        .env("CLOUDFLARE_API_TOKEN", TOKEN)
        .arg("-c")
        .arg("trap '' XFSZ; ulimit -f 1; exec \"$0\" purge urls --json $3 --journal \"$1\" --from \"$2\"")
        .arg(env!("CARGO_BIN_EXE_cfcache"))
        .arg(dir.at("journal"))
        .args([list, Path::new(options)])
        .output()
        .unwrap();
    Ran {
        code: ran.status.code(),
        out: String::from_utf8(ran.stdout).unwrap(),
        err: String::from_utf8(ran.stderr).unwrap(),
    }
}

#[cfg(unix)]
#[test]
fn a_write_error_is_reported_last() {
    // The first request is still in flight when the disk is full.
    let api = Api::with_fault("status=429,retry-after=3600,delay=700ms,at=1");
    let dir = Dir::new();
    let list = dir.file("list", urls(3000));
    let ran = on_a_full_disk(&api, &dir, "--concurrency 4 --max-wait 5", &list);
    ran.exits(4).tells("status 429");
    let last = ran.err.lines().last().unwrap();
    assert!(last.starts_with("error: cannot write the journal"), "{}", ran.err);
    assert!(last.ends_with("the next run sends accepted entries that are not in it again"), "{last}");
}

#[test]
fn ndjson_reports_a_batch_after_it_is_recorded() {
    let dir = Dir::new();
    let api = Api::quick();
    let journal = dir.at("journal");
    let ran =
        cfcache(&api).args("purge urls -o ndjson --from - --journal").arg(&journal).input(urls(1000)).run();
    ran.exits(0);
    assert_eq!(ran.out.lines().count(), 11);
    assert_eq!(ran.out.matches("\"event\":\"batch\"").count(), 10);
    assert_eq!(ran.out.matches("\"accepted\":true").count(), 10);
}
