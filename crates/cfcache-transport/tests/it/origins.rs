//! Parsing of origins, and the rule that no token is sent unencrypted to another machine.

use cfcache_transport::{BuildError, HyperTransport, Origin, Proxy, Scheme};
use proptest::prelude::{ProptestConfig, any, prop_assert_eq, proptest};

fn build(origin: &str) -> Result<HyperTransport, BuildError> {
    HyperTransport::builder(origin.parse().unwrap()).build()
}

#[test]
fn cleartext_is_refused_for_other_machines() {
    for origin in [
        "http://127.0.0.1:8787",
        "http://127.8.9.10",
        "http://localhost:1",
        "http://LOCALHOST",
        "http://localhost.",
        "http://api.localhost",
        "http://[::1]:80",
        "https://api.cloudflare.com",
        "https://10.0.0.1",
    ] {
        assert!(build(origin).is_ok(), "{origin}");
    }
    for origin in [
        "http://api.cloudflare.com",
        "http://10.0.0.1:8787",
        "http://0.0.0.0",
        "http://localhost.example.com",
        "http://notlocalhost",
        "http://127.0.0.1.example.com",
        "http://[::]:80",
        "http://[::2]",
        "http://128.0.0.1",
    ] {
        let error = build(origin).unwrap_err();
        assert!(matches!(error, BuildError::Exposed(_)), "{origin}");
        let expected =
            format!("`{origin}` is not encrypted: the token would be sent unencrypted to another machine");
        assert_eq!(error.to_string(), expected.replace(":80`", "`"));
        let builder = HyperTransport::builder(origin.parse().unwrap());
        assert!(builder.allow_insecure_http().build().is_ok(), "{origin}");
    }
}

#[test]
fn cleartext_through_a_remote_proxy_is_refused() {
    let through = |proxy: &str| {
        let proxy: Proxy = proxy.parse().unwrap();
        HyperTransport::builder("http://127.0.0.1:1".parse().unwrap()).with_proxy(Some(proxy))
    };
    let error = through("http://u:secret@proxy.example:3128").build().unwrap_err();
    assert_eq!(
        error.to_string(),
        "without TLS to the origin, the token would be sent unencrypted to the proxy `http://proxy.example:3128`"
    );
    assert!(through("http://proxy.example:3128").allow_insecure_http().build().is_ok());
    assert!(through("http://127.0.0.1:3128").build().is_ok());
    let error = through("http://127.0.0.1:3128").with_http2_prior_knowledge().build().unwrap_err();
    assert_eq!(error, BuildError::Http2ThroughProxy);
}

#[test]
fn a_host_that_no_certificate_can_name_is_refused_at_build() {
    for origin in ["https://..", "https://-", "https://a..b"] {
        assert!(matches!(build(origin).unwrap_err(), BuildError::Origin(_)), "{origin}");
    }
}

#[test]
fn invalid_ca_certificates_are_refused_at_build() {
    for (pem, why) in [
        (&b""[..], "no `BEGIN CERTIFICATE`"),
        (b"not a certificate", "no `BEGIN CERTIFICATE`"),
        (b"-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n", "certificate 1 is not PEM"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "certificate 1 cannot be used"),
    ] {
        let builder = HyperTransport::builder("https://api.test".parse().unwrap());
        let error = builder.with_ca_pem(pem).build().unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn origins_are_parsed_or_refused_with_a_reason() {
    let origin: Origin = "HTTPS://api.cloudflare.com".parse().unwrap();
    assert_eq!((origin.scheme(), origin.host(), origin.port()), (Scheme::Https, "api.cloudflare.com", 443));
    for (text, why) in [
        ("api.cloudflare.com", "must begin with"),
        ("ftp://a", "must begin with"),
        ("https://user:password@a", "a user or a password"),
        ("https://a/client/v4", "nothing may follow"),
        ("https://a/", "nothing may follow"),
        ("https://", "host is not"),
        ("https://:1", "host is not"),
        ("https://bücher.example", "host is not"),
        ("https://[::1", "host is not"),
        ("https://[::1]x", "host is not"),
        ("https://[nonsense]", "host is not"),
        ("https://a b", "host is not"),
        ("https://a:0", "port is not"),
        ("https://a:65536", "port is not"),
        ("https://a:+80", "port is not"),
        ("https://a:", "port is not"),
        ("https://a:1:2", "port is not"),
    ] {
        let error = text.parse::<Origin>().unwrap_err().to_string();
        assert!(error.contains(why), "{text}: {error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn parsing_an_origin_never_panics_and_shows_what_parses_again(text in any::<String>()) {
        if let Ok(origin) = text.parse::<Origin>() {
            prop_assert_eq!(origin.to_string().parse::<Origin>(), Ok(origin));
        }
    }

    #[test]
    fn an_origin_round_trips(
        text in "https?://([a-zA-Z0-9._-]{1,20}|\\[[0-9a-f:]{2,20}\\]|[0-9.]{7,15})(:[0-9]{1,6})?"
    ) {
        if let Ok(origin) = text.parse::<Origin>() {
            prop_assert_eq!(origin.to_string().parse::<Origin>(), Ok(origin.clone()));
            let built = HyperTransport::builder(origin).allow_insecure_http().build();
            if let Err(error) = built {
                prop_assert_eq!(matches!(error, BuildError::Origin(_)), true);
            }
        }
    }

    #[test]
    fn parsing_a_proxy_never_panics(text in any::<String>()) {
        drop(text.parse::<Proxy>().map(|proxy| (proxy.to_string(), proxy.port())));
    }

    #[test]
    fn a_proxy_never_shows_its_password(password in "[A-Z]{8,20}") {
        let proxy: Proxy = format!("http://user:{password}@proxy.example:3128").parse().unwrap();
        let shown = format!("{proxy} {proxy:?}");
        prop_assert_eq!(shown.contains(&password), false);
        prop_assert_eq!(shown.contains("user"), false);
    }
}
