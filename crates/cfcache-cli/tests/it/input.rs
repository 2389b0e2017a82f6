//! Input: arguments, files, standard input.

use crate::support::{Api, Dir, adds_up, cfcache, urls, wait_until};

const A: &str = "https://www.example.com/a";

#[test]
fn reads_arguments_files_and_standard_input_in_order() {
    let api = Api::quick();
    let dir = Dir::new();
    let one = dir.file("one", "https://www.example.com/1\nhttps://www.example.com/2\n");
    let two = dir.file("two", "https://www.example.com/3");
    let ran = cfcache(&api)
        .args("purge urls --json")
        .arg(A)
        .arg("--from")
        .arg(one)
        .args("--from -")
        .arg("--from")
        .arg(two)
        .input("https://www.example.com/in\n")
        .run();
    ran.exits(0);
    assert_eq!(ran.report()["items"], 5);
    let items = api.items();
    let names: Vec<&str> = items.iter().map(|url| url.rsplit('/').next().unwrap()).collect();
    assert_eq!(names, ["a", "1", "2", "in", "3"]);
}

#[test]
fn accepts_lists_with_bom_blanks_and_comments() {
    let api = Api::quick();
    let dir = Dir::new();
    let list = dir.file("list", "\u{feff}tag-1\r\n\r\n# a comment\r\n  \ntag-2\r\n#tag-3\ntag-4");
    cfcache(&api).args("purge tags --from").arg(list).run().exits(0);
    assert_eq!(api.bodies(), [r#"{"tags":["tag-1","tag-2","tag-4"]}"#]);
}

#[test]
fn every_kind_and_verb_sends_the_documented_request() {
    for (line, path, body) in [
        ("purge urls https://www.example.com/a", "purge_cache", r#"{"files":["https://www.example.com/a"]}"#),
        ("purge tags a", "purge_cache", r#"{"tags":["a"]}"#),
        ("purge hosts www.example.com", "purge_cache", r#"{"hosts":["www.example.com"]}"#),
        ("purge prefixes www.example.com/a", "purge_cache", r#"{"prefixes":["www.example.com/a"]}"#),
        ("purge everything --yes", "purge_cache", r#"{"purge_everything":true}"#),
        ("invalidate tags a", "invalidate_cache", r#"{"tags":["a"]}"#),
        (
            "invalidate urls https://www.example.com/a",
            "invalidate_cache",
            r#"{"files":["https://www.example.com/a"]}"#,
        ),
        ("invalidate hosts www.example.com", "invalidate_cache", r#"{"hosts":["www.example.com"]}"#),
        (
            "invalidate prefixes www.example.com/a",
            "invalidate_cache",
            r#"{"prefixes":["www.example.com/a"]}"#,
        ),
        ("invalidate everything --force", "invalidate_cache", r#"{"purge_everything":true}"#),
    ] {
        let api = Api::quick();
        cfcache(&api).args(line).run().exits(0);
        let expected = format!("POST /client/v4/zones/{}/{path}", crate::support::ZONE);
        let paths: Vec<String> =
            api.paths().iter().map(|path| path.trim_end_matches('/').to_owned()).collect();
        assert_eq!(paths, [expected], "{line}");
        assert_eq!(api.bodies(), [body], "{line}");
    }
}

#[test]
fn commas_do_not_separate_entries() {
    let api = Api::quick();
    cfcache(&api).args("purge urls https://www.example.com/a,b;c").run().exits(0);
    assert_eq!(api.bodies(), [r#"{"files":["https://www.example.com/a,b;c"]}"#]);
    // Text that looks like separated by commas is sent unchanged, with a warning.
    let ran =
        cfcache(&api).args("purge urls https://www.example.com/a,https://www.example.com/b --json").run();
    ran.exits(0).tells("a second URL after a comma");
    assert_eq!(ran.report()["items"], 1);
}

#[test]
fn a_line_of_a_url_list_may_be_json_with_headers() {
    let api = Api::quick();
    let input = "https://www.example.com/plain\n\
        {\"url\": \"https://www.example.com/cat.jpg\", \"headers\": {\"CF-Device-Type\": \"mobile\"}}\n";
    cfcache(&api).args("purge urls --from -").input(input).run().exits(0);
    assert_eq!(
        api.bodies(),
        [
            r#"{"files":[{"url":"https://www.example.com/plain"},{"url":"https://www.example.com/cat.jpg","headers":{"CF-Device-Type":"mobile"}}]}"#
        ]
    );
}

#[test]
fn adds_default_headers_without_overriding_existing_ones() {
    let api = Api::quick();
    let input = r#"{"url": "https://www.example.com/b", "headers": {"cf-device-type": "mobile", "CF-IPCountry": "US"}}"#;
    cfcache(&api)
        .args("purge urls --from -")
        .arg(A)
        .arg("--header")
        .arg("CF-Device-Type: tablet")
        .args("--header")
        .arg("Origin: https://shop.example.com")
        .input(input)
        .run()
        .exits(0);
    let body: serde_json::Value = serde_json::from_str(&api.bodies()[0]).unwrap();
    assert_eq!(
        body["files"][0]["headers"],
        serde_json::json!({"CF-Device-Type": "tablet", "Origin": "https://shop.example.com"})
    );
    assert_eq!(
        body["files"][1]["headers"],
        serde_json::json!({
            "cf-device-type": "mobile", "CF-IPCountry": "US", "Origin": "https://shop.example.com"
        })
    );
    // The same header twice is an error.
    let twice = cfcache(&api)
        .args("purge urls")
        .arg(A)
        .args("--header")
        .arg("CF-Device-Type: tablet")
        .args("--header")
        .arg("cf-device-type: mobile")
        .run();
    twice.exits(2).tells("is given twice");
}

#[test]
fn an_empty_input_is_an_error_and_sends_nothing() {
    let dir = Dir::new();
    let empty = dir.file("empty", "");
    let comments = dir.file("comments", "# nothing\n\n   \n");
    for zone in ["023e105f4ecef8ad9ca31a8372d0c353", "example.com"] {
        for kind in ["urls", "tags", "hosts", "prefixes"] {
            let api = Api::quick();
            let purge = || cfcache(&api).arg("purge").arg(kind).args("-z").arg(zone).arg("--json");
            purge().run().exits(2).says_nothing().tells("an empty list does not mean everything");
            purge().arg("--from").arg(&empty).run().exits(2).says_nothing().tells("nothing was sent");
            purge().arg("--from").arg(&comments).run().exits(2).says_nothing();
            purge().args("--from /dev/null").run().exits(2).says_nothing();
            // The end of a pipe shows that it was empty.
            purge().args("--from -").input("").run().exits(2).says_nothing().tells("nothing was sent");
            purge().args("--from -").input("# a\n\n").run().exits(2).says_nothing();
            purge().args("--from - --dry-run").input("").run().exits(2).says_nothing();
            purge().arg("--from").arg(&empty).args("--from -").input("\n").run().exits(2).says_nothing();
            assert_eq!(api.requests(), 0);
        }
    }
}

#[test]
fn an_empty_argument_is_an_invalid_entry() {
    let api = Api::quick();
    for kind in ["urls", "tags", "hosts", "prefixes"] {
        cfcache(&api).arg("purge").arg(kind).arg("").run().exits(2).says_nothing().tells("argument 1");
    }
    assert_eq!(api.requests(), 0);
}

#[test]
fn invalid_entries_in_arguments_or_files_send_nothing_and_are_all_listed() {
    let api = Api::quick();
    let dir = Dir::new();
    let list = dir.file("list", "https://www.example.com/1\nwww.example.com\n\n# c\nftp://example.com/x\n");
    let ran = cfcache(&api).args("purge urls --json").arg("nonsense").arg(A).arg("--from").arg(&list).run();
    ran.exits(2).says_nothing();
    ran.tells("3 entries are invalid; nothing was sent").tells("argument 1: `nonsense`");
    ran.tells(&format!("{}:2: `www.example.com`", list.display()));
    ran.tells(&format!("{}:5: `ftp://example.com/x`", list.display()));
    ran.tells("--on-invalid skip");
    // Even after a pipe: everything that can be checked in advance is checked.
    let ran = cfcache(&api).args("purge urls --from - --from").arg(&list).input(urls(10)).run();
    ran.exits(2).says_nothing();
    assert_eq!(api.requests(), 0);
}

#[test]
fn limits_the_number_of_messages_about_invalid_entries() {
    let api = Api::quick();
    let dir = Dir::new();
    let list = |content: &str| dir.file("list", content);
    let purge = |list| cfcache(&api).args("purge urls --from").arg(list).run();
    // A few entries for each reason, so that later reasons are shown too.
    let words: String = (0..5000).map(|number| format!("word{number}\n")).collect();
    let ran = purge(list(&format!("{words}ftp://example.com/\nhttps:///\n")));
    ran.exits(2).tells("5002 entries are invalid").tells("… and 4990 more").tells(":5001: ").tells(":5002: ");
    assert_eq!(ran.err.matches("does not begin with `https://`").count(), 10, "{}", ran.err);
    // There may be many reasons.
    let ran = purge(list(&(0..300).map(|number| format!("x{number}://example.com/\n")).collect::<String>()));
    ran.exits(2).tells("… and 290 more");
}

#[test]
fn suggests_the_kind_of_a_list_with_other_entries() {
    let api = Api::quick();
    let dir = Dir::new();
    for (entries, meant) in [
        ("release-42\nproduct-1001\n", "these look like tags: did you mean `cfcache invalidate tags`?"),
        ("www.example.com\nexample.net\n", "these look like hosts: did you mean `cfcache invalidate hosts`?"),
        ("www.example.com\nexample.net/blog\n", "`cfcache invalidate prefixes`?), or like a URL without"),
        ("release-42\n", "it looks like a tag: did you mean `cfcache invalidate tags`?"),
        ("release-42\nhttps://example.com/\n", "correct them"),
        ("release-42\nhttps:///\n", "correct them"),
        ("/path/to/image.jpg\n./a\n", "these look like paths of files: `--base https://www.example.com`"),
        ("<urlset>\n  <url>\n", "`--from-sitemap FILE` reads a sitemap"),
        // These lists are ambiguous.
        ("v1.2\nproduct a\n", "correct them"),
        ("image.jpg\n", "correct them"),
        ("css/styles.css\n", "correct them"),
        ("{\n\"release-42\"\n}\n", "correct them"),
        ("release-42\n/about\n", "correct them"),
    ] {
        let list = dir.file("list", entries);
        let ran = cfcache(&api).args("invalidate urls --from").arg(list).run();
        ran.exits(2).tells("nothing was sent").tells(meant);
    }
    assert_eq!(api.requests(), 0);
}

#[test]
fn an_invalid_entry_in_a_pipe_stops_after_sending_earlier_entries() {
    let api = Api::quick();
    let dir = Dir::new();
    let input = format!("{}nonsense\nhttps://www.example.com/after\n", urls(250));
    let ran =
        cfcache(&api).args("purge urls --json --from - --failed-to").arg(dir.at("failed")).input(input).run();
    ran.exits(2).tells("standard input:251: `nonsense`").tells("reading stopped there");
    let report = ran.report();
    assert_eq!(
        (&report["items"], &report["accepted"], &report["invalid"]),
        (&251.into(), &250.into(), &1.into())
    );
    assert_eq!(report["failures"][0]["item"], "nonsense");
    assert_eq!(api.items().len(), 250);
    assert_eq!(dir.read("failed"), "nonsense\n");
}

#[test]
fn an_invalid_first_entry_of_a_pipe_sends_nothing() {
    let api = Api::quick();
    let dir = Dir::new();
    let ran = cfcache(&api)
        .args("purge urls --json -z example.com --from - --failed-to")
        .arg(dir.at("failed"))
        .input("nonsense\nhttps://www.example.com/after\n")
        .run();
    ran.exits(2).says_nothing().tells("standard input:1: `nonsense`").tells("nothing was sent");
    assert_eq!(api.requests(), 0);
    assert_eq!(dir.read("failed"), "nonsense\n");
}

#[test]
fn skips_invalid_entries_on_request() {
    let api = Api::quick();
    let dir = Dir::new();
    let list = dir.file("list", "https://www.example.com/1\nnonsense\nhttps://www.example.com/2\n");
    for from in [list.to_str().unwrap(), "-"] {
        api.log().clear();
        let input = std::fs::read(&list).unwrap();
        let ran =
            cfcache(&api).args("purge urls --json --on-invalid skip --from").arg(from).input(input).run();
        // Not every entry was accepted, and the input is the reason.
        ran.exits(2).tells(":2: `nonsense`");
        let report = ran.report();
        assert_eq!(report["accepted"], 2);
        assert_eq!(report["invalid"], 1);
        assert_eq!(report["failures"][0]["item"], "nonsense");
        assert_eq!(api.items().len(), 2);
    }
    let none = cfcache(&api).args("purge urls --on-invalid skip --json -z example.com a b").run();
    none.exits(2).says_nothing().tells("argument 1").tells("argument 2").tells("nothing was sent");
}

#[test]
fn refuses_lines_that_are_not_text_or_too_long() {
    let api = Api::quick();
    let dir = Dir::new();
    let mut input = b"https://www.example.com/1\nhttps://www.example.com/\xFF\n".to_vec();
    input.extend(format!("https://www.example.com/{}\n", "x".repeat(2 << 20)).bytes());
    input.extend(b"https://www.example.com/2\n");
    let ran = cfcache(&api)
        .args("purge urls --json --on-invalid skip --from - --failed-to")
        .arg(dir.at("failed"))
        .input(input)
        .run();
    ran.exits(2)
        .tells("standard input:2: the line is not UTF-8")
        .tells("standard input:3: the line is longer");
    assert_eq!(ran.report()["accepted"], 2);
    assert!(dir.read("failed").lines().all(|line| line.starts_with('#')), "{}", dir.read("failed"));
}

#[test]
fn suggests_from_for_an_argument_that_names_a_file() {
    let api = Api::quick();
    let dir = Dir::new();
    dir.file("urls.txt", "https://www.example.com/1\n");
    let purge = |kind: &str, argument: &str| {
        cfcache(&api).current_dir(dir.path()).arg("purge").arg(kind).arg(argument).run()
    };
    purge("urls", "urls.txt").exits(2).tells("use `--from` to read it");
    purge("urls", "@urls.txt").exits(2).tells("use `--from` to read it");
    purge("urls", "-").exits(2).tells("`--from -` reads standard input");
    assert_eq!(api.requests(), 0);
    // It could be a tag with that name.
    purge("tags", "urls.txt").exits(0).tells("warning: argument 1: `urls.txt` is also the name of a file");
}

#[test]
fn names_unreadable_input_and_sends_nothing() {
    let api = Api::quick();
    let dir = Dir::new();
    let purge = || cfcache(&api).args("purge urls").arg(A).arg("--from");
    purge().arg(dir.at("missing")).run().exits(2).says_nothing().tells("missing").tells("cannot read");
    purge().arg(dir.path()).run().exits(2).says_nothing().tells("it is a directory");
    purge().args("- --from -").input(A).run().exits(2).tells("standard input can only be read once");
    purge()
        .args("- --api-token-file -")
        .input(A)
        .run()
        .exits(2)
        .tells("standard input can only be read once");
    assert_eq!(api.requests(), 0);
}

#[test]
fn options_that_read_standard_input_exclude_each_other() {
    let api = Api::quick();
    for line in [
        "purge urls --from - --verify-from -",
        "purge urls --from-sitemap - --verify-from -",
        "purge urls https://www.example.com/ --verify-from - --expect -",
        "purge everything --yes --verify-from - --visitor-headers -",
        "purge changed --sitemap - --url https://www.example.com --verify-from -",
        "probe --from - --visitor-headers -",
        "warm --from-sitemap - --visitor-headers -",
    ] {
        let ran = cfcache(&api).args(line).input(A).run();
        ran.exits(2).says_nothing().tells("standard input can only be read once");
    }
    assert_eq!(api.requests(), 0);
}

/// A page that changes twice while a pipe is open is purged twice.
#[test]
fn sends_an_entry_of_a_pipe_again_after_it_was_sent() {
    let api = Api::quick();
    let mut purge = cfcache(&api).args("purge urls --json --from -").start();
    purge.write(&format!("{A}\n{A}\n"));
    wait_until(|| api.items().len() == 1);
    purge.write(&format!("{A}\n"));
    wait_until(|| api.items().len() == 2);
    let ran = purge.finish();
    ran.exits(0);
    let report = ran.report();
    assert_eq!(
        (&report["items"], &report["accepted"], &report["duplicates"]),
        (&3.into(), &2.into(), &1.into())
    );
}

#[test]
fn sends_duplicates_once_and_counts_them() {
    let api = Api::quick();
    let input = format!("{0}{0}{0}", urls(120));
    let dir = Dir::new();
    let list = dir.file("list", input);
    let ran = cfcache(&api).args("purge urls --json --from").arg(list).run();
    ran.exits(0);
    let report = ran.report();
    assert_eq!((&report["items"], &report["accepted"]), (&360.into(), &120.into()));
    assert_eq!(report["duplicates"], 240);
    assert_eq!(report["requests"], 2);
    // The API compares tags without case.
    let ran = cfcache(&api).args("purge tags --json a A b").run();
    assert_eq!(ran.report()["duplicates"], 1);
}

#[test]
fn splits_long_lists_into_several_requests() {
    let api = Api::quick();
    let ran = cfcache(&api).args("purge urls --json --from -").input(urls(250)).run();
    ran.exits(0);
    assert_eq!(ran.report()["requests"], 3);
    let mut items = api.items();
    let mut expected: Vec<String> = urls(250).lines().map(ToOwned::to_owned).collect();
    items.sort();
    expected.sort();
    assert_eq!(items, expected);
    let mut sizes: Vec<usize> = api.bodies().iter().map(|body| body.matches("https://").count()).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [50, 100, 100]);
    api.log().clear();
    let ran = cfcache(&api).args("purge urls --json --batch-size 60 --from -").input(urls(250)).run();
    assert_eq!(ran.report()["requests"], 5);
}

#[test]
fn sends_entries_of_a_slow_pipe_without_waiting() {
    let api = Api::quick();
    let mut process = cfcache(&api).args("purge urls --json --batch-size 2 --from -").start();
    process.write("https://www.example.com/1\nhttps://www.example.com/2\n");
    wait_until(|| api.items().len() == 2);
    process.write("https://www.example.com/3\n");
    process.end();
    let ran = process.finish();
    ran.exits(0);
    adds_up(&ran.report());
    assert_eq!(api.items().len(), 3);
}

#[test]
fn checks_a_file_on_standard_input_in_advance() {
    let api = Api::quick();
    let dir = Dir::new();
    let list = dir.file("list", format!("{}nonsense\n", urls(250)));
    let stdin = std::fs::File::open(&list).unwrap();
    let ran = cfcache(&api).args("purge urls --from -").stdin(stdin).run();
    ran.exits(2).says_nothing().tells("standard input:251").tells("nothing was sent");
    assert_eq!(api.requests(), 0);
}

#[test]
fn warns_about_unusual_entries_and_sends_them_unchanged() {
    let api = Api::quick();
    let ran =
        cfcache(&api).args("purge urls https://www.example.com/*.css https://www.example.com/#top").run();
    ran.exits(0).tells("argument 1: `*` is not a wildcard").tells("argument 2: a browser never sends `#top`");
    assert_eq!(
        api.bodies(),
        [r#"{"files":["https://www.example.com/*.css","https://www.example.com/#top"]}"#]
    );
    let quiet = cfcache(&api).args("-q purge urls https://www.example.com/* --json").run();
    quiet.exits(0).tells("warning: argument 1: `*` is not a wildcard");
    assert_eq!(quiet.report()["warnings"], 1);
    let plain = cfcache(&api).args("-q purge urls https://www.example.com/a --json").run();
    assert_eq!((plain.report().get("warnings"), plain.err.as_str()), (None, ""));
}

#[test]
fn refuses_urls_that_no_visitor_can_request() {
    let api = Api::quick();
    let purge = |kind: &str, argument: &str| {
        let ran = cfcache(&api).args("purge --json").arg(kind).arg(argument).run();
        ran.exits(2).says_nothing().tells("argument 1: ").tells("nothing was sent");
        ran
    };
    let from = "`--from -` reads a list from standard input";
    purge("urls", "https://www.example.com/a\nhttps://www.example.com/b").tells("a line break").tells(from);
    purge("urls", "https://www.example.com/a\r").tells("a line break");
    purge("hosts", "www.example.com\nexample.com").tells("a line break").tells(from);
    purge("prefixes", "www.example.com/a\nexample.com/b").tells("a line break").tells(from);
    purge("tags", "a\nb").tells(from);
    let own = "as a separate argument or line";
    purge("urls", "https://www.example.com/a https://www.example.com/b").tells("a space").tells(own);
    purge("urls", "https://www.example.com/a b").tells("`https://www.example.com/a%20b`");
    for blank in [" ", "\t", "\u{b}", "\u{a0}", "\u{2028}", "\u{3000}"] {
        for (kind, entry) in [
            ("urls", "https://www.example.com/"),
            ("hosts", "www.example.com"),
            ("prefixes", "www.example.com/"),
        ] {
            purge(kind, &format!("{entry}{blank}")).tells("remove the characters around it");
            purge(kind, &format!("{blank}{entry}"));
            purge(kind, &format!("{entry}a{blank}a"));
        }
    }
    purge("urls", "https://www.example.com\\a").tells("a backslash").tells("`https://www.example.com/a`");
    purge("hosts", "https://www.example.com").tells("leave out the scheme: `www.example.com`");
    purge("hosts", "www.example.com/a").tells("leave out the path: `www.example.com`");
    purge("hosts", "*.example.com").tells("each host is purged by its name");
    purge("prefixes", "*.example.com/a").tells("no host name has one");
    assert_eq!(api.requests(), 0);
}

#[test]
fn counts_warnings_and_strict_makes_them_errors() {
    let dir = Dir::new();
    for (kind, entry) in [
        ("urls", "https://www.example.com/*"),
        ("urls", "https://www.example.com/?a=b&amp;c=d"),
        ("urls", "https://www.example.com/#a"),
        ("urls", "https://www.example.com/a,https://www.example.com/b"),
        ("tags", r#"["a-tag"]"#),
        ("tags", "\"a-tag\""),
        ("prefixes", "www.example.com/*"),
        ("hosts", "www.example.com:8443"),
    ] {
        // The first line of the file would be an array.
        let list = dir.file("list", format!("# a comment\n{entry}\n"));
        for from in [list.to_str().unwrap(), "-"] {
            let api = Api::quick();
            let purge = || cfcache(&api).arg("purge").arg(kind).args("--json --from").arg(from);
            let input = || std::fs::read(&list).unwrap();
            let ran = purge().arg("--quiet").input(input()).run();
            ran.exits(0).tells("warning: ");
            assert_eq!(ran.report()["warnings"], 1, "{entry}");
            let dry = purge().args("--dry-run --quiet").input(input()).run();
            dry.exits(0).tells("warning: ");
            api.log().clear();
            purge().arg("--strict").input(input()).run().exits(2).says_nothing().tells("(`--strict`)");
            assert_eq!(api.requests(), 0, "{entry}");
        }
    }
    let api = Api::quick();
    let ran = cfcache(&api)
        .args("purge urls --strict --on-invalid skip --json https://www.example.com/* https://www.example.com/a")
        .run();
    ran.exits(2);
    assert_eq!((&ran.report()["invalid"], &ran.report()["accepted"]), (&1.into(), &1.into()));
    assert_eq!(ran.report().get("warnings"), None);
}

#[test]
fn removes_blanks_and_line_breaks_around_entries() {
    let dir = Dir::new();
    for content in [
        " https://www.example.com/a \n\thttps://www.example.com/b\t\n",
        "https://www.example.com/a\rhttps://www.example.com/b\r",
        "\u{feff}https://www.example.com/a\r\n  # a comment\r\n\u{a0}https://www.example.com/b",
    ] {
        let list = dir.file("list", content);
        for from in [list.to_str().unwrap(), "-"] {
            let api = Api::quick();
            cfcache(&api).args("purge urls --from").arg(from).input(content).run().exits(0);
            assert_eq!(api.items(), [A, "https://www.example.com/b"], "{content:?}");
        }
    }
}

#[test]
fn accepts_entries_that_end_with_nul() {
    let api = Api::quick();
    let input = "a b.html\0#1.html\0ü/100%.html\0./c\nd\0https://www.example.com/e%20f\0";
    let ran = cfcache(&api)
        .args("purge urls --json -0 --from - --base https://www.example.com/site")
        .input(input)
        .run();
    ran.exits(0).tells("`#` is treated as part of the file's name");
    assert_eq!(ran.report()["warnings"], 1);
    assert_eq!(
        api.items(),
        [
            "https://www.example.com/site/a%20b.html",
            "https://www.example.com/site/%231.html",
            "https://www.example.com/site/%C3%BC/100%25.html",
            "https://www.example.com/site/c%0Ad",
            "https://www.example.com/e%20f",
        ]
    );
    // Without the option, NUL is refused; with it, line breaks are refused.
    let refused = |line: &str, input: &str| {
        cfcache(&api).args(line).input(input).run().exits(2);
    };
    api.log().clear();
    refused("purge urls --from -", "https://www.example.com/a\0https://www.example.com/b\0");
    refused("purge urls -0 --from -", "https://www.example.com/a\nhttps://www.example.com/b\n");
    refused("purge urls -0 https://www.example.com/a", "");
    assert_eq!(api.requests(), 0);
}

#[test]
fn base_converts_paths_to_urls_and_failures_can_be_retried() {
    let dir = Dir::new();
    let api = Api::with_fault("status=400,code=9999");
    let purge = || cfcache(&api).args("purge urls --json --base https://www.example.com");
    let ran = purge().args("/about blog/ü.html --failed-to").arg(dir.at("failed")).run();
    ran.exits(1);
    assert_eq!(ran.report()["failures"][1]["item"], "https://www.example.com/blog/%C3%BC.html");
    let failed = "https://www.example.com/about\nhttps://www.example.com/blog/%C3%BC.html\n";
    assert_eq!(dir.read("failed"), failed);
    api.log().clear();
    purge().arg("--from").arg(dir.at("failed")).run().exits(1);
    assert_eq!(
        api.bodies(),
        [r#"{"files":["https://www.example.com/about","https://www.example.com/blog/%C3%BC.html"]}"#]
    );
    api.log().clear();
    purge().arg("../secret").run().exits(2).tells("`..`");
    purge().arg("//cdn.example.com/a").run().exits(2).tells("begins with `//`");
    let bad = |base: &str| cfcache(&api).args("purge urls a --base").arg(base).run();
    bad("www.example.com").exits(2).tells("`--base`: ").tells("write it as the browser shows it");
    bad("https://www.example.com/?a").exits(2).tells("which a folder cannot have");
    cfcache(&api)
        .args("purge tags a --base https://www.example.com")
        .run()
        .exits(2)
        .tells("is only for `urls`");
    assert_eq!(api.requests(), 0);
}

#[test]
fn reads_a_file_with_a_json_array() {
    let dir = Dir::new();
    let json = "\u{feff}\n[\n  \"https://www.example.com/a\",\n  {\n    \"url\": \"https://www.example.com/b\",\n    \
                \"headers\": {\"CF-Device-Type\": \"mobile\"}\n  }\n]\n";
    let list = dir.file("list.json", json);
    for from in [list.to_str().unwrap(), "-"] {
        let api = Api::quick();
        cfcache(&api).args("purge urls --from").arg(from).input(json).run().exits(0);
        assert_eq!(
            api.bodies(),
            [
                r#"{"files":[{"url":"https://www.example.com/a"},{"url":"https://www.example.com/b","headers":{"CF-Device-Type":"mobile"}}]}"#
            ]
        );
    }
    let api = Api::quick();
    let tags = dir.file("tags.json", r#"["a", "b"]"#);
    cfcache(&api).args("purge tags --from").arg(tags).run().exits(0);
    assert_eq!(api.bodies(), [r#"{"tags":["a","b"]}"#]);
    api.log().clear();
    let refused = |kind: &str, json: &str, why: &str| {
        let list = dir.file("bad.json", json);
        for from in [list.to_str().unwrap(), "-"] {
            let ran = cfcache(&api).arg("purge").arg(kind).args("--from").arg(from).input(json).run();
            ran.exits(2).says_nothing().tells(why);
        }
    };
    refused("urls", "[]", "nothing was sent");
    refused("urls", "[\"https://www.example.com/a", "a `]` is missing");
    refused("urls", "[\"nonsense\"]", "element 1: `nonsense`");
    refused("urls", "[{\"uri\": \"https://www.example.com/a\"}]", "unknown field `uri`");
    refused("tags", "[{\"tag\": \"a\"}]", "the element is not a string");
    // An address in brackets is none.
    assert_eq!(api.requests(), 0);
    let hosts = dir.file("hosts", "[2001:db8::1]\n");
    cfcache(&api).args("purge hosts --dry-run --from").arg(hosts).run().exits(0);
}

#[test]
fn inputs_of_another_form_are_refused_by_name() {
    let api = Api::quick();
    let dir = Dir::new();
    let utf16: Vec<u8> =
        "\u{feff}https://www.example.com/a\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (content, why) in [
        (&utf16[..], "it is UTF-16"),
        (&utf16[2..], "it is UTF-16"),
        (b"\x1F\x8B\x08\0", "it is compressed with gzip"),
    ] {
        let list = dir.file("list", content);
        for from in [list.to_str().unwrap(), "-"] {
            let ran = cfcache(&api).args("purge urls --from").arg(from).input(content).run();
            ran.exits(2).says_nothing().tells(why);
        }
    }
    assert_eq!(api.requests(), 0);
}

#[test]
fn stops_if_a_list_changes_after_it_was_checked() {
    let dir = Dir::new();
    let changes: [fn(&std::path::Path); 3] = [
        |list| std::fs::File::options().write(true).open(list).unwrap().set_len(300_010).unwrap(),
        |list| std::fs::write(list, "https://www.example.com/another\n").unwrap(),
        |list| std::fs::remove_file(list).and_then(|()| std::fs::write(list, "x")).unwrap(),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let api = Api::quick();
        let list = dir.file("list", urls(20_000));
        let journal = dir.at(&format!("journal-{number}"));
        let mut process = cfcache(&api)
            .args("purge urls --json --batch-size 100 --from - --from")
            .arg(&list)
            .arg("--journal")
            .arg(&journal)
            .start();
        // The file is checked before entries of the pipe are sent.
        process.write(&(0..100).map(|number| format!("https://example.com/{number}\n")).collect::<String>());
        wait_until(|| api.items().len() == 100);
        change(&list);
        process.end();
        let ran = process.finish();
        if number == 2 && cfg!(unix) {
            // An open file keeps its content. On other systems, another file of the same name counts as a change.
            ran.exits(0);
            assert_eq!(ran.report()["accepted"], 20_100);
            continue;
        }
        ran.exits(2).tells("changed after it was checked");
        let report = ran.report();
        assert_eq!(report["incomplete"], true);
        assert!(report["accepted"].as_u64().unwrap() < 20_100, "{report}");
        let original = urls(20_000);
        let original: std::collections::BTreeSet<&str> = original.lines().collect();
        let of_list = |url: &String| url.starts_with("https://www.example.com/");
        for item in api.items().iter().filter(|url| of_list(url)) {
            assert!(original.contains(item.as_str()), "{item} was in no list that was checked");
        }
    }
}

#[test]
fn reports_an_abandoned_pipe_as_incomplete() {
    let api = Api::quick();
    let input = format!("{}nonsense\nhttps://www.example.com/after\n", urls(250));
    let ran = cfcache(&api).args("purge urls --json --from -").input(input.clone()).run();
    ran.exits(2);
    assert_eq!(ran.report()["incomplete"], true);
    let ran = cfcache(&api).args("purge urls --json --on-invalid skip --from -").input(input).run();
    ran.exits(2);
    assert_eq!(ran.report().get("incomplete"), None);
}

#[cfg(unix)]
#[test]
fn reads_more_lists_than_files_may_be_open() {
    let dir = Dir::new();
    let api = Api::quick();
    let mut command = String::from("ulimit -n 64; exec \"$0\" purge urls --json");
    for number in 0..200 {
        dir.file(&format!("list{number}"), format!("https://www.example.com/{number}\n"));
        command.push_str(&format!(" --from list{number}"));
    }
    let ran = crate::support::shell(&api, &command).current_dir(dir.path()).run();
    ran.exits(0);
    assert_eq!(ran.report()["accepted"], 200);
}
