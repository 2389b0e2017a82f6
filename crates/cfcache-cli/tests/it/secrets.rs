//! No output contains a secret.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;

use crate::support::{Api, Dir, TOKEN, ZONE, bare, cfcache};

const KEY: &str = "c2547eb745079dac9320b638f5e225cf483cc5cfdda41";

/// Servers and proxies that return what they received.
fn echoing(secret: &str) -> Vec<String> {
    let envelope = format!(
        r#"{{"success":false,"errors":[{{"code":6111,"message":"Invalid: Bearer {secret}","error_chain":[{{"code":1,"message":"{secret}"}}]}}],"messages":[{{"code":2,"message":"{secret}"}}],"result":null}}"#
    );
    // A normal answer, except for the names in it.
    let data = format!(
        r#"{{"success":true,"errors":[],"messages":[],"result":{{"id":"{secret}","status":"active","{secret}":1}}}}"#
    );
    let list = data.replace(r#""result":{"#, r#""result":[{"name":"example.com","#).replace("1}}", "1}]}");
    vec![
        format!("status=200,on=all,body={data}"),
        format!("status=200,on=all,body={list}"),
        format!("status=400,body={envelope}"),
        format!("status=403,body={envelope}"),
        format!("status=503,body={envelope}"),
        format!("status=429,body={envelope}"),
        format!("status=502,body=<html>{secret}</html>"),
        format!("status=200,body={secret}"),
        format!("status=200,body={}", envelope.replace("false", "true")),
        format!("status=200,on=all,body={secret}"),
        format!("status=403,on=all,body={envelope}"),
        "malformed".to_owned(),
        "reset-after".to_owned(),
    ]
}

#[test]
fn no_output_and_no_error_contains_a_secret() {
    let dir = Dir::new();
    for (secret, older) in [(TOKEN, false), (KEY, true)] {
        for fault in echoing(secret) {
            let api = Api::with_fault(&fault);
            for line in [
                "purge urls https://www.example.com/a -vv",
                "purge urls https://www.example.com/a -vv --json",
                "purge urls https://www.example.com/a -vv -o ndjson",
                "purge everything -y -vv",
                "purge tags a b c -vv --log-format json",
                "zones list -vv --log-format text",
                "-z example.com purge tags a -vv",
                "purge tags a -e Staging -vv",
                "zones list -vv",
                "zones list --json -vv",
                "environments list -vv",
                "token verify -vv",
                "token verify --json -vv",
            ] {
                let cmd = cfcache(&api).args(line).args("--max-retries 0 --timeout 2 --max-wait 1");
                // With all spans.
                let cmd = cmd.env("CFCACHE_LOG", "trace");
                let cmd = if older {
                    cmd.without("CLOUDFLARE_API_TOKEN")
                        .env("CLOUDFLARE_API_KEY", KEY)
                        .env("CLOUDFLARE_EMAIL", "user@example.com")
                } else {
                    cmd
                };
                let failed = dir.at("failed");
                let cmd = if line.contains("everything") || !line.contains("purge") {
                    cmd
                } else {
                    cmd.arg("--failed-to").arg(&failed)
                };
                let ran = cmd.run();
                for text in [&ran.out, &ran.err] {
                    assert!(!text.contains(secret), "{fault}: {line}: {text}");
                }
                if let Ok(list) = std::fs::read_to_string(&failed) {
                    assert!(!list.contains(secret));
                }
            }
        }
    }
}

#[test]
fn a_secret_of_the_wrong_form_is_not_repeated() {
    let api = Api::quick();
    for secret in ["has a blank in it 0123456789", "quote\"quote'0123456789", "ünïcode-0123456789"] {
        let ran = cfcache(&api).env("CLOUDFLARE_API_TOKEN", secret).args("purge tags a -vv").run();
        assert!(!ran.err.contains(secret) && !ran.out.contains(secret), "{ran:?}");
        assert!(!ran.err.contains("0123456789"), "{ran:?}");
    }
    let ran = cfcache(&api)
        .args("purge tags a --base-url")
        .arg(format!("https://user:{TOKEN}@api.example.com/client/v4"))
        .run();
    ran.exits(2);
    assert!(!ran.err.contains(TOKEN), "{ran:?}");
}

/// Answers one request with these bytes. Returns the address.
fn answering(answer: String) -> (String, std::thread::JoinHandle<()>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let base = format!("http://{}/client/v4", listener.local_addr().unwrap());
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let (mut line, mut length) = (String::new(), 0);
        while reader.read_line(&mut line).unwrap() > 2 {
            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            line.clear();
        }
        reader.read_exact(&mut vec![0; length]).unwrap();
        stream.write_all(answer.as_bytes()).unwrap();
    });
    (base, thread)
}

#[test]
fn shows_headers_without_secrets() {
    let far = "x".repeat(185);
    let headers = format!(
        "x-echo: Bearer {TOKEN}\r\nx-middle: a={TOKEN};b=1\r\nx-far: {far} {TOKEN}\r\ncf-ray: {TOKEN}\r\n\
         x-terminal: \u{9b}31m\u{202e}red\tblue\r\nset-cookie: session=12345\r\n\
         location: https://www.example.com/a-path-that-is-long-enough-to-be-clipped?t={TOKEN}\r\n"
    );
    let body = r#"{"success":true,"errors":[],"messages":[],"result":{"id":"1"}}"#;
    for status in ["200 OK", "302 Found", "403 Forbidden"] {
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
        );
        let (base, thread) = answering(answer);
        let ran = bare()
            .env("CLOUDFLARE_BASE_URL", base)
            .env("CLOUDFLARE_ZONE_ID", ZONE)
            .env("CLOUDFLARE_API_TOKEN", TOKEN)
            .args("purge everything -y -vv --max-retries 0")
            .run();
        thread.join().unwrap();
        ran.tells("< x-echo: Bearer [secret]\n")
            .tells("< x-middle: a=[secret];b=1\n")
            .tells(&format!("< x-far: {far} [secret]\n"))
            .tells("< x-terminal: \\u{9b}31m\\u{202e}red\\tblue\n")
            .tells("< set-cookie: [secret]\n")
            .tells("cf-ray [secret]");
        // Not even its beginning, which truncation could leave.
        for text in [&ran.out, &ran.err] {
            assert!(!text.contains(&TOKEN[..6]) && !text.contains("12345"), "{status}: {text}");
        }
    }
}

#[test]
fn does_not_show_a_token_in_place_of_an_id_or_name() {
    let body = "0123456789abcdefghijABCDEFGHIJ0123456789";
    let secrets = [
        format!("cfut_{body}aabbccdd"),
        format!("cfat_{body}aabbccdd"),
        format!("cfk_{body}1a2b3c4d5e"),
        format!("\"cfut_{body}aabbccdd\""),
        TOKEN.to_owned(),
        "144c9defac04969c7bfad8efaa8ea194144c9d".to_owned(),
        "144c9defac04969c7bfad8efaa8ea194144c9deadbeef".to_owned(),
        "a-token-of-a-form-that-nobody-has-seen-yet".to_owned(),
    ];
    let api = Api::quick();
    let dir = Dir::new();
    for secret in &secrets {
        let in_toml = secret.replace('"', "\\\"");
        let hides = |cmd: crate::support::Cmd| {
            let ran = cmd.run();
            let word = secret.trim_matches('"');
            assert!(!ran.err.contains(word) && !ran.out.contains(word), "{ran:?}");
            ran
        };
        for line in [
            "purge tags a",
            "purge everything -y",
            "settings",
            "config show",
            "purge tags a --dry-run",
            "environments list",
        ] {
            hides(cfcache(&api).env("CLOUDFLARE_ZONE_ID", secret).args(line));
            hides(cfcache(&api).arg("-z").arg(secret).args(line));
        }
        let swapped = hides(cfcache(&api).env("CLOUDFLARE_ZONE_ID", secret).args("purge tags a"));
        swapped.exits(2).says_nothing().tells("set it in `CLOUDFLARE_API_TOKEN`");
        hides(cfcache(&api).arg("-e").arg(secret).args("purge tags a")).says_nothing();
        for line in [
            "--profile",
            "--plan",
            "--config",
            "--api-token-file",
            "--proxy",
            "--base-url",
            "--ca-file",
            "--roots",
        ] {
            hides(cfcache(&api).arg(line).arg(secret).args("purge tags a"));
            hides(cfcache(&api).arg(line).arg(secret).args("config show"));
        }
        for variable in [
            "CFCACHE_PROFILE",
            "CFCACHE_PLAN",
            "CFCACHE_CONFIG",
            "CLOUDFLARE_BASE_URL",
            "CLOUDFLARE_ACCOUNT_ID",
            "CLOUDFLARE_EMAIL",
            "HTTPS_PROXY",
        ] {
            let set = || cfcache(&api).env("CLOUDFLARE_API_KEY", TOKEN).env(variable, secret);
            hides(set().without("CLOUDFLARE_API_TOKEN").args("config show"));
            hides(set().args("token verify"));
        }
        for line in [
            "purge urls --from",
            "purge urls --from-sitemap",
            "purge urls https://www.example.com/a --failed-to",
            "purge urls https://www.example.com/a --journal",
            "purge urls https://www.example.com/a --verify-from",
            "purge urls https://www.example.com/a --verify --expect",
            "purge urls https://www.example.com/a --verify --visitor-headers",
            "purge changed --paths",
            "emulator --zone-id",
            "emulator --origin",
            "emulator --cache-rules",
        ] {
            let folder = Dir::new();
            hides(cfcache(&api).args(line).arg(secret).current_dir(folder.path()));
        }
        hides(cfcache(&api).args("token verify --account").arg(secret)).exits(2);
        hides(cfcache(&api).arg("purge").arg(secret));
        hides(cfcache(&api).arg(secret));
        hides(cfcache(&api).args("origin-regions get").arg(secret));
        for file in [
            format!("zone = \"{in_toml}\""),
            format!("environment = \"{in_toml}\""),
            format!("plan = \"{in_toml}\""),
            format!("profile = \"{in_toml}\""),
            format!("token-env = \"{in_toml}\""),
            format!("token-file = \"{in_toml}\""),
            format!("token-command = [\"{in_toml}\"]"),
            format!("base-url = \"{in_toml}\""),
            format!("[zones]\n\"a.example\" = \"{in_toml}\""),
            format!("[zones]\n\"{in_toml}\" = \"a\""),
            format!("[profiles.\"{in_toml}\"]\nzone = 5"),
            format!("\"{in_toml}\" = 1"),
            secret.clone(),
        ] {
            let path = dir.file("config.toml", file);
            for line in ["config show", "purge tags a", "--profile other config show"] {
                let with_file = || cfcache(&api).arg("--config").arg(&path);
                hides(with_file().without("CLOUDFLARE_ZONE_ID").without("CLOUDFLARE_API_TOKEN").args(line));
            }
        }
        dir.file(".cfcache.toml", format!("zone = \"{in_toml}\""));
        hides(cfcache(&api).without("CLOUDFLARE_ZONE_ID").args("purge tags a").current_dir(dir.path()));
        std::fs::remove_file(dir.at(".cfcache.toml")).unwrap();
    }
    assert!(
        api.paths().iter().all(|path| !secrets.iter().any(|secret| path.contains(secret.trim_matches('"'))))
    );
}
