//! The sources of credentials.

use cfcache_emulator::{ApiKey, Config, Token};
use cfcache_model::Plan;

use crate::support::{Api, Dir, TOKEN, bare, cfcache};

const KEY: &str = "0123456789abcdef0123456789abcdef01234";
const EMAIL: &str = "user@example.com";
const VARIABLE: &str = "CLOUDFLARE_API_TOKEN";

fn known() -> Api {
    let config = Config::new(Plan::Free).with_limits(false);
    Api::start(config.with_token(Token::new(TOKEN)).with_key(ApiKey::new(EMAIL, KEY)))
}

#[test]
fn without_credentials_nothing_is_sent() {
    let api = Api::quick();
    for line in ["purge tags a", "purge everything -y", "zones list", "environments list", "token verify"] {
        let ran = cfcache(&api).without(VARIABLE).args(line).run();
        ran.exits(3).says_nothing().tells("no credentials").tells(VARIABLE).tells("--api-token-file");
    }
    // An unset secret of a CI job gives a variable that is set and empty.
    let empty = cfcache(&api).env(VARIABLE, "").args("purge tags a").run();
    empty.exits(3).tells("`CLOUDFLARE_API_TOKEN` is set but empty");
    let half = cfcache(&api).without(VARIABLE).env("CLOUDFLARE_API_KEY", KEY).args("purge tags a").run();
    half.exits(3).tells("CLOUDFLARE_EMAIL");
    assert_eq!(api.requests(), 0);
}

#[test]
fn names_credential_variables_that_are_not_read() {
    let api = Api::quick();
    for (variable, advice) in [
        ("CF_API_TOKEN", "the variable is `CLOUDFLARE_API_TOKEN`"),
        ("CLOUDFLARE_API_TOKEN_FILE", "name the file with `--api-token-file`"),
        ("CF_API_KEY", "the variable is `CLOUDFLARE_API_KEY`"),
        ("CF_API_EMAIL", "the variable is `CLOUDFLARE_EMAIL`"),
    ] {
        let ran = cfcache(&api).without(VARIABLE).env(variable, TOKEN).args("purge tags a").run();
        ran.exits(3).tells("no credentials").tells(&format!("`{variable}` is set but not used: {advice}"));
        assert!(!ran.err.contains(TOKEN), "{ran:?}");
        let quiet = cfcache(&api).env(variable, TOKEN).args("purge tags a").run();
        assert!(!quiet.err.contains(variable), "{quiet:?}");
    }
    for variable in ["CF_ZONE_ID", "CLOUDFLARE_ZONE"] {
        let purge = || cfcache(&api).without("CLOUDFLARE_ZONE_ID").env(variable, "example.com");
        let told = format!("`{variable}` is set but not used: the variable is `CLOUDFLARE_ZONE_ID`");
        purge().args("purge tags a").run().exits(2).tells("no zone given").tells(&told);
        purge().args("purge urls https://www.example.com/a").run().exits(0).tells(&told);
    }
    let ran = bare().env(VARIABLE, TOKEN).env("CF_API_BASE_URL", api.base()).args("config show").run();
    ran.exits(0).tells("`CF_API_BASE_URL` is set but not used");
}

#[test]
fn reports_quotes_around_a_token() {
    let api = known();
    let dir = Dir::new();
    for quoted in [
        format!("\"{TOKEN}\""),
        format!("'{TOKEN}'"),
        format!("\u{201c}{TOKEN}\u{201d}"),
        format!("\"{TOKEN}"),
    ] {
        let ran = cfcache(&api).env(VARIABLE, &quoted).args("token verify").run();
        ran.exits(3).says_nothing().tells("`CLOUDFLARE_API_TOKEN` has quotes around it");
        assert!(!ran.err.contains(TOKEN) && !ran.err.contains("account"), "{ran:?}");
        let file = dir.file("token", &quoted);
        cfcache(&api).args("purge tags a --api-token-file").arg(&file).run().exits(3).tells("has quotes");
    }
    assert_eq!(api.requests(), 0);
    for other in [format!("Bearer {TOKEN}"), format!("{TOKEN} # mine")] {
        let ran = cfcache(&api).env(VARIABLE, other).args("token verify").run();
        ran.exits(3).tells("a token is one word");
    }
    let marked = dir.file("token", format!("\u{feff}{TOKEN}\r\n"));
    cfcache(&api).args("purge tags a --api-token-file").arg(&marked).run().exits(0);
}

#[test]
#[cfg(unix)]
fn warns_about_a_readable_secret_only_if_the_owner_can_fix_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let api = known();
    let dir = Dir::new();
    let file = dir.file("token", TOKEN);
    for (mode, is_told) in
        [(0o644, true), (0o640, true), (0o600, false), (0o400, false), (0o444, false), (0o440, false)]
    {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        let ran = cfcache(&api).args("purge tags a --api-token-file").arg(&file).run();
        ran.exits(0);
        assert_eq!(ran.err.contains("other users can read"), is_told, "{mode:o} {ran:?}");
    }
}

/// A configuration with a command that prints the token.
#[cfg(unix)]
fn with_command(dir: &Dir, script: &str) -> std::path::PathBuf {
    let script = dir.file("script", script);
    let (zone, script) = (crate::support::ZONE, script.display());
    dir.file("config.toml", format!("zone = \"{zone}\"\ntoken-command = [\"sh\", \"{script}\"]\n"))
}

#[test]
#[cfg(unix)]
fn a_token_command_does_not_read_standard_input() {
    let api = known();
    let dir = Dir::new();
    let config = with_command(
        &dir,
        &format!("cat >/dev/null; echo {TOKEN}; echo note; echo 'touch \u{1b}[2J it' >&2"),
    );
    let ran = bare()
        .env("CLOUDFLARE_BASE_URL", api.base())
        .arg("--config")
        .arg(&config)
        .args("purge tags --json --from -")
        .input("a\nb\nc\n")
        .run();
    ran.exits(0).tells("sh: touch \\u{1b}[2J it");
    assert_eq!(ran.report()["accepted"], 3);
}

#[test]
#[cfg(unix)]
fn reports_a_failed_token_command() {
    let api = known();
    let dir = Dir::new();
    let refused = |script: &str, why: &str| {
        let config = with_command(&dir, script);
        let base = api.base();
        let ran =
            bare().env("CLOUDFLARE_BASE_URL", base).arg("--config").arg(&config).args("purge tags a").run();
        ran.exits(3).says_nothing().tells(why);
        assert!(!ran.err.contains(TOKEN), "{ran:?}");
    };
    refused("exec yes", "`sh` printed more than a token");
    refused("echo no store is unlocked >&2; exit 7", "sh: no store is unlocked");
    refused("exit 7", "`sh` printed no token (exit status: 7)");
    refused("exit 0", "the token is empty");
    refused("printf '\\377\\376'", "is not text");
    refused(&format!("echo '\"{TOKEN}\"'"), "has quotes around it");
    refused(&format!("echo cfut_{TOKEN}aabbccdd >&2; exit 1"), "sh: [secret]");
    let file = dir.file("config.toml", "token-command = [\"/nonexistent/program\"]\n");
    bare()
        .arg("--config")
        .arg(&file)
        .args("zones list")
        .run()
        .exits(3)
        .tells("cannot run `/nonexistent/program`");
    assert_eq!(api.requests(), 0);
}

#[test]
fn accepts_email_and_key_but_prefers_a_token() {
    let api = known();
    let pair = || {
        cfcache(&api)
            .without(VARIABLE)
            .env("CLOUDFLARE_API_KEY", KEY)
            .env("CLOUDFLARE_EMAIL", EMAIL)
            .args("purge tags a")
    };
    pair().run().exits(0);
    let headers = |index: usize| api.log().entries()[index].headers.clone();
    assert_eq!(headers(0)["x-auth-email"], EMAIL);
    assert!(headers(0).contains_key("x-auth-key") && !headers(0).contains_key("authorization"));
    pair().env(VARIABLE, TOKEN).run().exits(0);
    assert!(headers(1).contains_key("authorization") && !headers(1).contains_key("x-auth-key"));
    // An empty token counts as no token.
    pair().env(VARIABLE, "").run().exits(0);
    assert!(headers(2).contains_key("x-auth-key"));
}

#[test]
fn a_token_file_takes_precedence_over_the_environment() {
    let api = known();
    let dir = Dir::new();
    let file = dir.file("token", format!("{TOKEN}\n"));
    let purge = || cfcache(&api).env(VARIABLE, "not-the-token-that-is-known-0000000000").args("purge tags a");
    purge().run().exits(3);
    purge().arg("--api-token-file").arg(&file).run().exits(0);
    purge().args("--api-token-file -").input(format!("  {TOKEN}\r\n")).run().exits(0);
}

#[test]
fn an_invalid_token_file_is_named_but_not_shown() {
    let api = known();
    let dir = Dir::new();
    let refused = |path: &std::path::Path| {
        let ran = cfcache(&api).args("purge tags a --api-token-file").arg(path).run();
        ran.exits(3).says_nothing();
        ran.err
    };
    assert!(refused(&dir.at("missing")).contains("missing"));
    refused(&dir.file("empty", "\n"));
    let err = refused(&dir.file("two", format!("{TOKEN}\nsecond-line\n")));
    assert!(!err.contains(TOKEN) && !err.contains("second-line"), "{err}");
    assert!(refused(&dir.file("long", "x".repeat(10_000))).contains("more than a token"));
    refused(&dir.file("binary", b"\xFF\xFE\x00"));
    refused(dir.path());
    assert_eq!(api.requests(), 0);
}

#[test]
fn removes_line_breaks_around_the_token() {
    let api = known();
    cfcache(&api).env(VARIABLE, format!("\n{TOKEN}\r\n")).args("purge tags a").run().exits(0);
}

#[test]
fn the_built_in_emulator_never_gets_the_users_credentials() {
    let ran = bare().args("--emulator purge tags a --json").run();
    ran.exits(0);
    assert_eq!(ran.report()["accepted"], 1);
    bare().env(VARIABLE, "not even of a valid form").args("--emulator purge tags a").run().exits(0);
}

#[test]
fn no_option_accepts_a_secret() {
    let help = bare().arg("--help").run().out;
    for name in ["--api-token ", "--token ", "--api-key", "--email"] {
        assert!(!help.contains(name), "{name}");
    }
    bare().args("--api-token x purge tags a").run().exits(2);
}

#[test]
fn precedence_of_the_base_url() {
    let api = Api::quick();
    let nowhere = "http://127.0.0.1:9/client/v4";
    let purge = || cfcache(&api).without("CLOUDFLARE_BASE_URL").args("purge tags a --max-retries 0");
    let here = api.base();
    purge().env("CLOUDFLARE_API_BASE_URL", here).run().exits(0);
    purge().env("CLOUDFLARE_API_BASE_URL", here).env("CLOUDFLARE_BASE_URL", "").run().exits(0);
    purge().env("CLOUDFLARE_API_BASE_URL", nowhere).env("CLOUDFLARE_BASE_URL", here).run().exits(0);
    purge().env("CLOUDFLARE_BASE_URL", nowhere).arg("--base-url").arg(here).run().exits(0);
    purge()
        .env("CLOUDFLARE_BASE_URL", "nonsense")
        .run()
        .exits(2)
        .tells("`CLOUDFLARE_BASE_URL` is not a base URL");
}

#[test]
fn credentials_are_sent_in_cleartext_only_on_request() {
    let ran = bare()
        .env(VARIABLE, TOKEN)
        .args("-z 023e105f4ecef8ad9ca31a8372d0c353 --base-url http://api.example.com/client/v4 purge tags a")
        .run();
    ran.exits(2).says_nothing().tells("--allow-insecure-http");
}

#[test]
fn removes_a_byte_order_mark_from_a_token_file() {
    let api = Api::quick();
    let dir = Dir::new();
    let token = dir.file("token", format!("\u{feff}{}\r\n", TOKEN));
    let purge = || cfcache(&api).without("CLOUDFLARE_API_TOKEN").args("purge tags a --api-token-file");
    purge().arg(&token).run().exits(0);
    purge().arg("-").input(std::fs::read(&token).unwrap()).run().exits(0);
}
