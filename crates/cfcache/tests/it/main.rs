//! Tests of the facade against the emulator.

#![expect(clippy::unwrap_used, reason = "clippy sees tests, but not the helpers that they are made of")]

#[cfg(feature = "verify")]
mod verify;

use std::collections::BTreeMap;
use std::time::Duration;

use cfcache::{Client, Entry, EntryStatus, Error, ErrorKind, File, Tag, Target, ZoneId};
use cfcache_emulator::{Config, Emulator, Server, Token, Zone};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;

const ZONE: &str = "023e105f4ecef8ad9ca31a8372d0c353";
const TOKEN: &str = "Sn3lZJTBX6kkg7OdcBUAxOO963GEIyGQqnFTOFYY";

async fn emulator(faults: &[&str]) -> Server {
    let mut config = Config::new(cfcache::Plan::Free)
        .with_limits(false)
        .with_zone(Zone::new(ZONE, "example.com"))
        .with_token(Token::new(TOKEN));
    for fault in faults {
        config = config.with_fault(fault.parse().unwrap());
    }
    Emulator::start(config, ([127, 0, 0, 1], 0).into()).await.unwrap()
}

fn client(emulator: &Server) -> Client {
    let builder =
        Client::builder().api_token(TOKEN).base_url(emulator.base_url()).plan(cfcache::Plan::Enterprise);
    builder.user_agent("app/1.0").build().unwrap()
}

fn zone() -> ZoneId {
    ZONE.parse().unwrap()
}

/// The purges that the emulator received, as path and body.
fn sent(emulator: &Server) -> Vec<(String, String)> {
    let path = |path: &str| path.rsplit_once(ZONE).unwrap().1.to_owned();
    let entries = emulator.log().entries();
    entries
        .iter()
        .map(|entry| (path(&entry.path), String::from_utf8_lossy(&entry.body).into_owned()))
        .collect()
}

#[tokio::test]
async fn lists_of_each_kind_and_everything_are_purged() -> Result<(), Error> {
    let emulator = emulator(&[]).await;
    let (client, zone) = (client(&emulator), zone());
    let summary =
        client.purge(&zone).urls(["https://www.example.com/a", "https://www.example.com/a"]).send().await?;
    assert_eq!((summary.items, summary.accepted, summary.duplicates, summary.requests), (2, 1, 1, 1));
    let tags = vec!["a".parse::<Tag>().unwrap(), Tag::parse("b").unwrap()];
    let summary = client.invalidate(&zone).tags(tags).send().await?.into_result()?;
    assert_eq!((summary.accepted, summary.failed, summary.retries), (2, 0, 0));
    client.purge(&zone).hosts(["www.example.com".to_owned()]).send().await?.all_accepted()?;
    client.purge(&zone).prefixes(["www.example.com/blog"]).send().await?.all_accepted()?;
    client.purge(&zone).everything().environment("abc".parse()?).send().await?.all_accepted().unwrap_err();
    client.purge(&zone).everything().send().await?.all_accepted()?;
    let expected = [
        ("/purge_cache", r#"{"files":["https://www.example.com/a"]}"#),
        ("/invalidate_cache", r#"{"tags":["a","b"]}"#),
        ("/purge_cache", r#"{"hosts":["www.example.com"]}"#),
        ("/purge_cache", r#"{"prefixes":["www.example.com/blog"]}"#),
        ("/environments/abc/purge_cache", r#"{"purge_everything":true}"#),
        ("/purge_cache", r#"{"purge_everything":true}"#),
    ];
    assert_eq!(sent(&emulator), expected.map(|(path, body)| (path.to_owned(), body.to_owned())));
    Ok(())
}

#[tokio::test]
async fn an_invalid_or_empty_request_sends_nothing() {
    let emulator = emulator(&[]).await;
    let (client, zone) = (client(&emulator), zone());
    let purge = || client.purge(&zone);
    let error = purge().urls(["https://www.example.com/a", "www.example.com/b"]).send().await.unwrap_err();
    assert!(matches!(error, Error::Entry { index: 1, .. }), "{error}");
    assert!(
        error.to_string().starts_with("the entry at index 1 is invalid, and nothing was sent: "),
        "{error}"
    );
    for error in [
        purge().send().await.unwrap_err(),
        purge().urls(Vec::<String>::new()).send().await.unwrap_err(),
        purge().tags([""; 0]).hosts([""; 0]).send().await.unwrap_err(),
    ] {
        assert!(matches!(error, Error::Empty), "{error}");
    }
    let error = purge().everything().tags(["a"]).send().await.unwrap_err();
    assert!(matches!(error, Error::Mixed), "{error}");
    assert_eq!(emulator.log().counts().requests, 0);
    for (builder, expected) in [
        (Client::builder(), "no credentials: give an API token"),
        (Client::builder().api_token("a b"), "the token has a blank"),
        (Client::builder().api_token(TOKEN).base_url("example"), "not a base URL"),
        (Client::builder().api_token(TOKEN).base_url("http://example.com"), "http"),
        (Client::builder().api_token(TOKEN).user_agent("a\nb"), "the user agent"),
    ] {
        let error = builder.build().unwrap_err().to_string();
        assert!(error.starts_with(expected) || expected == "http" && error.contains(expected), "{error}");
        assert!(!error.contains(TOKEN), "{error}");
    }
}

#[tokio::test]
async fn into_result_is_an_error_with_the_reason_if_an_entry_failed() {
    let emulator = emulator(&["status=400,code=9999"]).await;
    let summary = client(&emulator).purge(&zone()).tags(["a", "b"]).send().await.unwrap();
    assert_eq!((summary.accepted, summary.failed, summary.failures.len()), (0, 2, 2));
    assert_eq!((summary.failures[1].entry.as_str(), summary.failures[1].kind), ("b", ErrorKind::Refused));
    let error = summary.into_result().unwrap_err().to_string();
    assert!(
        error.starts_with("2 of 2 entries were not accepted, the first: ") && error.contains("9999"),
        "{error}"
    );
}

#[tokio::test]
async fn outcomes_have_the_callers_tag_and_a_slow_receiver_applies_backpressure() {
    let emulator = emulator(&["status=400,code=1016,at=1"]).await;
    let (client, zone) = (client(&emulator), zone());
    let (sender, mut outcomes) = mpsc::channel(1);
    let url = |number: u64| File::parse(&format!("https://www.example.com/{}", number % 1000)).unwrap();
    let entries = (0..1001_u64).map(move |number| Entry::from(url(number)).with_tag(number));
    let request =
        tokio::spawn(async move { client.purge(&zone).entries(entries).outcomes(sender).send().await });
    let mut seen = BTreeMap::new();
    while let Some(outcome) = outcomes.recv().await {
        tokio::task::yield_now().await;
        assert!(outcome.entry.ends_with(&format!("/{}", outcome.tag % 1000)));
        assert_eq!(seen.insert(outcome.tag, outcome.status), None);
    }
    let summary = request.await.unwrap().unwrap();
    assert_eq!(seen.len(), 1001);
    assert_eq!((summary.accepted, summary.duplicates, summary.failed), (1000, 1, 0));
    assert_eq!(seen[&1000], EntryStatus::Duplicate);
    assert!((0..1000).all(|tag| seen[&tag] == EntryStatus::Accepted));
}

/// The entries of a channel as a stream.
struct Received(mpsc::Receiver<Entry>);

impl futures_core::Stream for Received {
    type Item = Entry;

    fn poll_next(
        mut self: core::pin::Pin<&mut Self>,
        context: &mut core::task::Context<'_>,
    ) -> core::task::Poll<Option<Entry>> {
        self.0.poll_recv(context)
    }
}

#[tokio::test]
async fn a_stream_is_read_with_backpressure_and_can_be_interrupted() {
    let emulator = emulator(&[]).await;
    let (client, zone) = (client(&emulator), zone());
    let (sender, input) = mpsc::channel(10);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let request = client.purge(&zone).stream(Received(input)).until(async move { drop(stopped.await) });
    let request = tokio::spawn(request.send());
    for number in 0..2000_u64 {
        let target = match number % 2 {
            0 => Target::from(Tag::parse(&format!("t{number}")).unwrap()),
            _ => Target::from(File::parse(&format!("https://www.example.com/{number}")).unwrap()),
        };
        sender.send(Entry::from(target).with_tag(number)).await.unwrap();
    }
    // The last entries do not fill a request; they are sent before the stream ends.
    while emulator
        .purges()
        .iter()
        .map(|purge| format!("{:?}", purge.items).matches("1999").count())
        .sum::<usize>()
        == 0
    {
        tokio::task::yield_now().await;
    }
    drop(stop);
    let summary = request.await.unwrap().unwrap();
    assert_eq!((summary.items, summary.accepted), (2000, 2000));
    drop(sender);
}

/// Runs this test again in a process with another environment.
#[expect(clippy::disallowed_methods, reason = "the environment is what is tested")]
#[tokio::test(flavor = "multi_thread")]
async fn from_env_reads_the_environment() {
    const SELF: &str = "from_env_reads_the_environment";
    if std::env::var_os("IS_CHILD").is_some() {
        let client = Client::from_env().unwrap();
        client.purge(&zone()).tags(["a"]).send().await.unwrap().all_accepted().unwrap();
        return;
    }
    let emulator = emulator(&[]).await;
    let run = |variables: &[(&str, &str)]| {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child.args([SELF, "--exact", "--nocapture"]).env_clear().env("IS_CHILD", "1");
        let output = child.envs(variables.iter().copied()).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let base = emulator.base_url();
    let whole =
        [("CLOUDFLARE_API_TOKEN", TOKEN), ("CLOUDFLARE_BASE_URL", base.as_str()), ("CFCACHE_PLAN", "pro")];
    let (succeeded, told) = run(&whole);
    assert!(succeeded, "{told}");
    assert_eq!(sent(&emulator).len(), 1);
    let (succeeded, told) = run(&whole[1..]);
    assert!(!succeeded && told.contains("NoCredentials"), "{told}");
    let (succeeded, told) = run(&[whole[0], whole[1], ("CFCACHE_PLAN", "gold")]);
    assert!(!succeeded && told.contains(r#"Variable { name: "CFCACHE_PLAN""#), "{told}");
    // An empty base URL never means Cloudflare's API, and another variable can replace it.
    let (succeeded, told) = run(&[whole[0], ("CLOUDFLARE_BASE_URL", " ")]);
    assert!(!succeeded && told.contains(r#"Variable { name: "CLOUDFLARE_BASE_URL""#), "{told}");
    let other = [whole[0], ("CLOUDFLARE_BASE_URL", ""), ("CLOUDFLARE_API_BASE_URL", base.as_str())];
    assert!(run(&other).0);
    let (succeeded, told) = run(&[whole[0], ("CLOUDFLARE_API_BASE_URL", "ftp://a")]);
    assert!(!succeeded && told.contains(r#"Variable { name: "CLOUDFLARE_API_BASE_URL""#), "{told}");
    let (succeeded, told) = run(&[whole[0], ("https_proxy", "socks5://127.0.0.1:9")]);
    assert!(!succeeded && told.contains(r#"Variable { name: "HTTPS_PROXY"#), "{told}");
}

#[tokio::test]
async fn requests_go_through_the_proxy() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy: cfcache::Proxy = listener.local_addr().unwrap().to_string().parse().unwrap();
    let accepted = tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(connection.read_u8().await.unwrap());
        }
        connection.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        String::from_utf8(head).unwrap()
    });
    let builder = Client::builder().api_token(TOKEN).proxies(proxy.into()).max_retries(0);
    let client = builder.timeout(Duration::from_secs(30)).build().unwrap();
    let summary = client.purge(&zone()).tags(["a"]).send().await.unwrap();
    assert_eq!((summary.failed, summary.failures[0].kind), (1, ErrorKind::Unreachable));
    let shown = summary.failures[0].to_string();
    assert!(shown.starts_with("`a`: ") && shown.contains("403"), "{shown}");
    assert!(accepted.await.unwrap().starts_with("CONNECT api.cloudflare.com:443 HTTP/1.1\r\n"));
}

/// This only has to compile.
#[test]
fn clients_and_requests_are_send() {
    const fn is_shared<T: Clone + Send + Sync + 'static>() {}
    fn is_send<T: Send + 'static>(_: &T) {}
    is_shared::<Client>();
    let client = Client::builder().api_token(TOKEN).base_url("http://127.0.0.1:9").build().unwrap();
    is_send(&client.purge(&zone()).urls(["https://www.example.com/a"]).send());
    is_send(&client.purge(&zone()).everything().send());
}
