//! Settings from files, and the restrictions of a project's file.

use crate::support::{Api, Cmd, Dir, TOKEN, ZONE, bare, cfcache};

/// Returns the value of a setting in `config show`, and its origin.
fn setting(cmd: Cmd, name: &str) -> (String, String) {
    let ran = cmd.args("config show --json").run();
    ran.exits(0);
    let rows: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let row = rows.as_array().unwrap().iter().find(|row| row["setting"] == name).unwrap();
    let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
    (text("value"), text("from"))
}

#[test]
fn precedence_is_option_environment_project_profile() {
    let dir = Dir::new();
    let file = dir.file(
        "config.toml",
        "zone = \"common.example\"\nplan = \"pro\"\n[profiles.a]\nzone = \"profile.example\"\n",
    );
    let with_file = || bare().arg("--config").arg(&file).current_dir(dir.path());
    let zone = |cmd| setting(cmd, "zone");
    assert_eq!(zone(with_file()).0, "common.example");
    assert_eq!(zone(with_file().args("--profile a")).0, "profile.example");
    assert!(zone(with_file().args("--profile a")).1.contains("profile `a`"));
    assert_eq!(setting(with_file().args("--profile a"), "plan").0, "pro");

    dir.file(".cfcache.toml", "zone = \"project.example\"\n");
    assert_eq!(zone(with_file()).0, "project.example");
    // A profile that was selected for this command takes precedence over the project; settings of all profiles do not.
    assert_eq!(zone(with_file().args("--profile a")).0, "profile.example");
    let told = with_file().args("--profile a config path").run();
    told.exits(0).tells("warning: the zone is `profile.example` of").tells("and not `project.example` of");
    let told = with_file().env("CFCACHE_PROFILE", "a").args("config path").run();
    told.exits(0).tells("warning: the zone is `project.example` of").tells("and not `profile.example` of");
    dir.file("none.toml", "zone = \"common.example\"\n[profiles.a]\nplan = \"pro\"\n");
    let none = || bare().arg("--config").arg(dir.at("none.toml")).current_dir(dir.path());
    assert_eq!(zone(none().args("--profile a")).0, "project.example");
    let with_variable = || with_file().env("CLOUDFLARE_ZONE_ID", "variable.example");
    assert_eq!(zone(with_variable()), ("variable.example".to_owned(), "`CLOUDFLARE_ZONE_ID`".to_owned()));
    assert_eq!(zone(with_variable().args("-z option.example")).0, "option.example");
}

#[test]
fn finds_the_project_in_parent_folders_and_applies_its_restrictions() {
    let api = Api::quick();
    let dir = Dir::new();
    dir.file(".cfcache.toml", "forbid-everything = true\n");
    let below = dir.at("a");
    std::fs::create_dir_all(below.join("b")).unwrap();
    for action in ["purge", "invalidate"] {
        let ran = cfcache(&api).args(action).args("everything --yes").current_dir(&below.join("b")).run();
        ran.exits(2).says_nothing().tells("forbids").tells(".cfcache.toml");
    }
    assert_eq!(api.requests(), 0);
    cfcache(&api).args("purge tags a").current_dir(&below).run().exits(0);
}

#[test]
fn combines_restrictions_of_nested_projects_and_uses_the_nearest_zone() {
    let api = Api::quick();
    let dir = Dir::new();
    let (middle, below) = (dir.at("a"), dir.at("a").join("b"));
    std::fs::create_dir_all(&below).unwrap();
    dir.file(".cfcache.toml", "zone = \"outer.example\"\nforbid-everything = true\n");
    for inner in ["zone = \"inner.example\"\n", "forbid-everything = false\n", ""] {
        std::fs::write(middle.join(".cfcache.toml"), inner).unwrap();
        let ran = cfcache(&api).args("purge everything -y").current_dir(&below).run();
        ran.exits(2).says_nothing().tells("forbids purge of everything");
        let expected = if inner.starts_with("zone") { "inner.example" } else { "outer.example" };
        assert_eq!(setting(bare().current_dir(&below), "zone").0, expected);
        assert_eq!(setting(bare().current_dir(&below), "forbid-everything").0, "true");
    }
    assert_eq!(api.requests(), 0);
    // An unreadable file may contain a restriction.
    dir.file(".cfcache.toml", "forbid-everything = \"yes\"\n");
    cfcache(&api).args("purge everything -y").current_dir(&below).run().exits(2).tells("line 1");
}

#[test]
fn a_map_has_one_zone_per_domain_in_any_spelling() {
    let dir = Dir::new();
    let (one, other) = ("1".repeat(32), "2".repeat(32));
    for (first, second) in [
        ("Example.com", "example.com"),
        ("example.com.", "example.com"),
        ("with-\u{fc}mlaut.de", "xn--with-mlaut-eeb.de"),
    ] {
        let map =
            |second_id: &str| format!("[zones]\n\"{first}\" = \"{one}\"\n\"{second}\" = \"{second_id}\"\n");
        let file = dir.file("config.toml", map(&other));
        let ran = bare().arg("--config").arg(&file).args("config show").run();
        ran.exits(2).says_nothing().tells("`[zones]` names two zones for");
        let file = dir.file("config.toml", map(&one));
        bare().arg("--config").arg(&file).args("config show").run().exits(0);
    }
}

#[test]
fn limits_the_size_of_every_file() {
    let dir = Dir::new();
    let sparse = dir.file("sparse", "");
    std::fs::OpenOptions::new().write(true).open(&sparse).unwrap().set_len(4 << 30).unwrap();
    let sparse = sparse.to_str().unwrap();
    let urls = "purge urls https://www.example.com/a";
    for (line, code) in [
        (format!("--config {sparse} config show"), 2),
        ("--config /dev/zero config show".to_owned(), 2),
        (format!("--ca-file {sparse} -z {ZONE} {urls}"), 2),
        (format!("--ca-file /dev/zero -z {ZONE} {urls}"), 2),
        (format!("--api-token-file {sparse} -z {ZONE} {urls}"), 3),
        (format!("--api-token-file /dev/zero -z {ZONE} {urls}"), 3),
        (format!("--emulator variants set --from {sparse}"), 2),
        ("--emulator origin-regions import /dev/zero".to_owned(), 2),
    ] {
        let ran = bare().env("CLOUDFLARE_API_TOKEN", TOKEN).args(&line).run();
        ran.exits(code).says_nothing();
        assert!(ran.err.contains("longer than") || ran.err.contains("more than a token"), "{line}: {ran:?}");
    }
    let project = dir.file(".cfcache.toml", "");
    std::fs::OpenOptions::new().write(true).open(&project).unwrap().set_len(4 << 30).unwrap();
    bare().args("config show").current_dir(dir.path()).run().exits(2).tells("longer than");
}

#[cfg(unix)]
#[test]
fn names_of_files_and_profiles_are_terminal_safe() {
    let dir = Dir::new();
    let evil = "a\u{1b}[2J\u{9b}2J\u{202e}\nerror: b";
    let file = dir.file(evil, "rubbish");
    let good = dir.file("config.toml", "[profiles.\"x\\u001b[2J\"]\n");
    let clean = |cmd: Cmd| {
        let ran = cmd.run();
        assert!(ran.err.lines().filter(|line| line.starts_with("error: ")).count() <= 1, "{ran:?}");
        let is_bad = |char: char| cfcache_model::text::is_invisible(char) && char != '\n';
        assert!(!ran.err.contains(is_bad), "{ran:?}");
        assert!(!ran.err.is_empty(), "{ran:?}");
    };
    clean(bare().arg("--config").arg(&file).args("config show"));
    clean(bare().arg("--config").arg(dir.at("\u{1b}[2J")).args("config show"));
    clean(bare().arg("--config").arg(&good).args("--profile").arg(evil).args("config show"));
    clean(bare().args("--emulator purge everything -y -e").arg(evil));
    clean(bare().args("--emulator purge tags -z").arg(evil));
    clean(bare().arg("--api-token-file").arg(dir.at("t\u{1b}[2J")).arg("-z").arg(ZONE).args("purge tags a"));
    clean(bare().args("--emulator purge tags --from").arg(dir.at("b\u{1b}[2J")));
    clean(bare().args("--emulator purge tags --from").arg(&file).args("--journal").arg(&file));
    clean(bare().args("--emulator purge tags a --failed-to").arg(dir.at("c\u{1b}[2J").join("d")));
    clean(bare().args("--emulator variants set --from").arg(&file));
    clean(bare().args("man").arg(dir.at("m\u{1b}[2J\n")));
    clean(bare().arg("purge\u{1b}[2J"));
    clean(bare().arg("--o\u{1b}[2J"));
    clean(bare().args("--emulator --plan").arg("\u{1b}[2J"));
    let below = dir.at("p\u{1b}[2J");
    std::fs::create_dir_all(&below).unwrap();
    std::fs::write(below.join(".cfcache.toml"), "forbid-everything = true\n").unwrap();
    clean(bare().args("--emulator purge everything -y").current_dir(&below));
}

#[test]
fn a_project_cannot_set_commands_addresses_or_secrets() {
    let api = Api::quick();
    let dir = Dir::new();
    for line in [
        "token-command = [\"touch\", \"stolen\"]",
        "token-file = \"/etc/hostname\"",
        "token-env = \"HOME\"",
        "token = \"a-word-that-is-a-secret\"",
        "base-url = \"https://elsewhere.example/\"",
        "[profiles.a]",
        "[zones]",
    ] {
        dir.file(".cfcache.toml", format!("zone = \"example.com\"\n{line}\n"));
        let ran = cfcache(&api).args("purge tags a").current_dir(dir.path()).run();
        ran.exits(2).says_nothing().tells("line 2").tells("unknown field");
        assert!(!ran.err.contains("a-word-that-is-a-secret"), "{ran:?}");
    }
    assert!(!dir.at("stolen").exists());
    assert_eq!(api.requests(), 0);
}

#[cfg(unix)]
#[test]
fn reads_the_token_of_a_profile() {
    let api = Api::quick();
    let dir = Dir::new();
    let secret = dir.file("token", format!("{TOKEN}\n"));
    let purge = |line: &str| {
        let file = dir.file("config.toml", format!("zone = \"{ZONE}\"\n{line}\n"));
        bare()
            .env("CLOUDFLARE_BASE_URL", api.base())
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("MINE", TOKEN)
            .arg("--config")
            .arg(file)
            .args("purge tags a")
    };
    let run = |line: &str| purge(line).run();
    for line in [
        format!("token-file = {:?}", secret.display().to_string()),
        "token-env = \"MINE\"".to_owned(),
        format!("token-command = [\"echo\", \"{TOKEN}\"]"),
    ] {
        run(&line).exits(0);
    }
    let inline = run(&format!("token = \"{TOKEN}\""));
    inline.exits(0).tells("warning").tells("contains a token");
    assert!(!inline.err.contains(TOKEN), "{inline:?}");

    // A key without its address is not a credential, but the user may think that it is used.
    let key = purge("token-env = \"MINE\"").env("CLOUDFLARE_API_KEY", "half").run();
    key.exits(0).tells("`CLOUDFLARE_API_KEY` is set without `CLOUDFLARE_EMAIL` and is not used");
    assert!(!key.err.contains("half"), "{key:?}");

    run("token-env = \"OTHER\"").exits(3).tells("`OTHER`, which is not set");
    run("token-command = [\"false\"]").exits(3).tells("`false` printed no token");
    run("token-command = []").exits(2).tells("`token-command` is empty");
    run("token-env = \"MINE\"\ntoken-file = \"x\"").exits(2).tells("more than one token setting");
    let told = run(&format!("token-command = \"{TOKEN}\""));
    told.exits(2).tells("line 2");
    assert!(!told.err.contains(TOKEN), "{told:?}");
}

#[cfg(unix)]
#[test]
fn warns_about_a_secret_that_others_may_read() {
    use std::os::unix::fs::PermissionsExt;
    let api = Api::quick();
    let dir = Dir::new();
    let secret = dir.file("token", TOKEN);
    let run = |mode| {
        std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(mode)).unwrap();
        cfcache(&api).arg("--api-token-file").arg(&secret).args("purge tags a").run()
    };
    run(0o644).exits(0).tells("other users can read");
    assert_eq!(run(0o600).exits(0).err, "");
}

#[test]
fn errors_in_a_file_contain_the_line() {
    let dir = Dir::new();
    let run = |text: &str| {
        let file = dir.file("config.toml", text);
        bare().arg("--config").arg(file).args("config show").run()
    };
    run("zone = \"a\"\n\nzoen = \"b\"\n").exits(2).says_nothing().tells("line 3").tells("`zoen`");
    run("zone = \"a\"\nplan").exits(2).says_nothing().tells("line 2");
    run("\u{1}").exits(2).says_nothing();
    bare().args("--config /nowhere/c.toml config show").run().exits(2).tells("there is no file");
    bare().args("--profile a config show").run().exits(2).tells("no profile `a`");
    let ran = bare().env("HOME", "/nowhere").args("config path").run();
    let expected = ["/nowhere", ".config", "cfcache", "config.toml"].iter().collect::<std::path::PathBuf>();
    assert_eq!(std::path::Path::new(ran.exits(0).out.trim_end()), expected);
}

#[test]
fn suggests_the_key_for_a_table_of_the_same_name() {
    let dir = Dir::new();
    let run = |name: &str, text: &str| {
        dir.file(name, text);
        bare().args("--config config.toml config show").current_dir(dir.path()).run()
    };
    for (text, key, meant) in [
        ("[zone]\n\"a.example\" = \"x\"", "line 1: `zone`: invalid type: map", "`[zones]`"),
        ("plan = \"pro\"\n[profile.a]\nplan = \"free\"", "line 2: `profile`: invalid type", "`[profiles.a]`"),
    ] {
        let ran = run("config.toml", text);
        ran.exits(2).says_nothing().tells(key).tells(&format!("hint: did you mean {meant}?"));
    }
    let ran = run("config.toml", "zone = 5\n");
    ran.exits(2).tells("line 1: `zone`: invalid type: integer");
    // It would end with the same error.
    assert!(!ran.err.contains("config show"), "{ran:?}");
    run("config.toml", "").exits(0);
    let ran = run(".cfcache.toml", "[zone]\n");
    ran.exits(2).tells("`zone`: invalid type: map");
    assert!(!ran.err.contains("[zones]"), "{ran:?}");
}

#[test]
fn unset_settings_have_defaults() {
    let default = |name: &str| setting(bare(), name);
    let from_nowhere = |value: &str| (value.to_owned(), "default".to_owned());
    assert_eq!(default("plan"), from_nowhere("auto"));
    assert_eq!(default("base-url"), from_nowhere("https://api.cloudflare.com/client/v4"));
    assert_eq!(default("forbid-everything"), from_nowhere("false"));
    let dir = Dir::new();
    dir.file(".cfcache.toml", "forbid-everything = true\n");
    let (value, from) = setting(bare().current_dir(dir.path()), "forbid-everything");
    assert_eq!(value, "true");
    assert!(from.contains(".cfcache.toml"), "{from}");
}

#[test]
fn reports_errors_in_unused_parts_of_a_file() {
    let api = Api::quick();
    let dir = Dir::new();
    for (text, told) in [
        ("base-url = \"htps:/api\"", "line 1: `base-url` is not a base URL"),
        (
            "zone = \"a.example\"\n[profiles.a]\nbase-url = \"https://u:hunter22@api.example/\"",
            "line 3: `base-url`",
        ),
        ("plan = \"gold\"", "line 1: a plan is one of"),
        ("[profiles.a]\nplan = \"hunter22\"", "line 2: a plan is one of"),
        ("token-env = \"A\"\ntoken-file = \"b\"", "more than one token setting"),
        (
            "[profiles.a]\ntoken-env = \"A\"\ntoken = \"hunter22\"",
            "profile `a` has more than one token setting",
        ),
        ("[profiles.a]\ntoken-command = []", "profile `a`: `token-command` is empty"),
        ("[zones]\n\"a.example\" = \"\"", "line 2: the zone id is empty"),
        ("[zones]\n\n\"a.example\" = \"hunter22/b\"", "line 3: not a zone id: its character 9"),
        (
            "[zones]\n\"a.example\" = \"hunter22hunter22hunter22hunter22z\"",
            "line 2: not a zone id: it has 33",
        ),
    ] {
        let file = dir.file("config.toml", text);
        // Zone, base URL and token come from the environment, and no profile is selected.
        for line in ["config show", "purge tags a"] {
            let ran = cfcache(&api).env("CFCACHE_PLAN", "free").arg("--config").arg(&file).args(line).run();
            ran.exits(2).says_nothing().tells(told);
            assert!(!ran.err.contains("hunter22"), "{ran:?}");
        }
    }
    assert_eq!(api.requests(), 0);
    for plan in ["auto", "free", "enterprise"] {
        let file = dir.file("config.toml", format!("plan = \"{plan}\""));
        assert_eq!(setting(bare().arg("--config").arg(&file), "plan").0, plan);
    }
}

#[test]
fn warns_about_an_unusual_zone_id() {
    let api = Api::quick();
    let dir = Dir::new();
    let with_map = |id: &str| {
        let file = dir.file("config.toml", format!("[zones]\n\"example.com\" = \"{id}\"\n"));
        cfcache(&api).without("CLOUDFLARE_ZONE_ID").arg("--config").arg(file).args("--dry-run purge")
    };
    let odd = "does not look like a zone id";
    for id in ["abc", "023e105f4ecef8ad9ca31a8372d0c35z", "my-zone"] {
        with_map(id)
            .args("urls https://example.com/a")
            .run()
            .exits(0)
            .tells("`[zones]`, `example.com`")
            .tells(odd);
        with_map(id)
            .args("tags a -z example.com")
            .run()
            .exits(0)
            .tells("`[zones]`, `example.com`")
            .tells(odd);
        cfcache(&api).args("--dry-run purge tags a -z").arg(id).run().exits(0).tells("`--zone`").tells(odd);
    }
    let usual = [
        with_map(ZONE).args("urls https://example.com/a").run(),
        with_map(ZONE).args("tags a -z example.com").run(),
        cfcache(&api).args("--dry-run purge tags a").run(),
    ];
    for ran in usual {
        assert!(!ran.exits(0).err.contains("warning"), "{ran:?}");
    }
}
