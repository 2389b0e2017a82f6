//! Tests of the rules that choose a proxy for an origin.

use cfcache_transport::{Origin, Proxy, ProxyRules};

fn rules(no_proxy: &str) -> ProxyRules {
    ProxyRules::new("", "http://plain.proxy:1", "http://tls.proxy:2", no_proxy).unwrap()
}

fn is_proxied(no_proxy: &str, origin: &str) -> bool {
    rules(no_proxy).intercepts(&origin.parse::<Origin>().unwrap()).is_some()
}

#[test]
fn no_proxy_accepts_the_usual_forms() {
    for (no_proxy, origin) in [
        ("*", "https://api.cloudflare.com"),
        ("api.cloudflare.com", "https://api.cloudflare.com"),
        ("API.Cloudflare.COM", "https://api.cloudflare.com"),
        ("api.cloudflare.com", "https://API.cloudflare.com"),
        ("cloudflare.com", "https://api.cloudflare.com"),
        (".cloudflare.com", "https://api.cloudflare.com"),
        ("*.cloudflare.com", "https://api.cloudflare.com"),
        ("a.example, cloudflare.com ,b.example", "https://api.cloudflare.com"),
        ("10.0.0.1", "https://10.0.0.1"),
        ("10.0.0.0/8", "https://10.200.3.4:8443"),
        ("fd00::/8", "https://[fd00::1]"),
        ("fd00::1", "https://[fd00::1]:8443"),
        ("[fd00::1]", "https://[fd00::1]"),
        ("cloudflare.com", "http://api.cloudflare.com"),
    ] {
        assert!(!is_proxied(no_proxy, origin), "`{no_proxy}` is to except `{origin}`");
    }
    for (no_proxy, origin) in [
        ("", "https://api.cloudflare.com"),
        (",", "https://api.cloudflare.com"),
        ("example.com", "https://api.cloudflare.com"),
        ("flare.com", "https://api.cloudflare.com"),
        ("api.cloudflare.com", "https://cloudflare.com"),
        ("10.0.0.0/8", "https://11.0.0.1"),
        ("10.0.0.1", "https://10.0.0.10"),
        ("fd00::1", "https://[fd00::2]"),
    ] {
        assert!(is_proxied(no_proxy, origin), "`{no_proxy}` is not to except `{origin}`");
    }
}

#[test]
fn a_star_in_no_proxy_includes_addresses() {
    assert!(!is_proxied("*", "https://10.0.0.1"));
    assert!(!is_proxied("a.example, *", "https://[fd00::1]"));
}

#[test]
fn this_machine_is_never_reached_through_a_proxy() {
    for origin in ["http://127.0.0.1:8787", "https://localhost", "http://[::1]:1", "https://api.localhost"] {
        assert!(!is_proxied("", origin), "{origin}");
    }
}

#[test]
fn a_scheme_uses_its_own_proxy_or_all_proxy() {
    let proxy_for = |rules: &ProxyRules, origin: &str| {
        rules.intercepts(&origin.parse().unwrap()).map(|proxy| proxy.to_string())
    };
    let both = rules("");
    assert_eq!(proxy_for(&both, "https://a.example").as_deref(), Some("http://tls.proxy:2"));
    assert_eq!(proxy_for(&both, "http://a.example").as_deref(), Some("http://plain.proxy:1"));
    let all = ProxyRules::new("all.proxy", "", " http://tls.proxy:2 ", "").unwrap();
    assert_eq!(proxy_for(&all, "https://a.example").as_deref(), Some("http://tls.proxy:2"));
    assert_eq!(proxy_for(&all, "http://a.example").as_deref(), Some("http://all.proxy:80"));
    let none = ProxyRules::new("", "", "", "").unwrap();
    assert_eq!(proxy_for(&none, "https://a.example"), None);
}

/// The proxies for `http://` and `https://` of these variables.
fn proxies_of(variables: &[(&str, &str)]) -> [Option<String>; 2] {
    let lookup =
        |name| variables.iter().find(|(variable, _)| *variable == name).map(|(_, value)| (*value).to_owned());
    let rules = ProxyRules::from_variables(lookup).unwrap();
    ["http://a.example", "https://a.example"]
        .map(|origin| rules.intercepts(&origin.parse().unwrap()).map(|proxy| proxy.host().to_owned()))
}

#[test]
fn variables_in_lower_case_take_precedence_and_empty_ones_count_as_unset() {
    assert_eq!(proxies_of(&[]), [None, None]);
    let upper = [("HTTP_PROXY", "upper"), ("HTTPS_PROXY", "uppers"), ("ALL_PROXY", "all")];
    assert_eq!(proxies_of(&upper), [Some("upper".to_owned()), Some("uppers".to_owned())]);
    let both = [&upper[..], &[("http_proxy", "lower"), ("https_proxy", " ")]].concat();
    assert_eq!(proxies_of(&both), [Some("lower".to_owned()), Some("uppers".to_owned())]);
    assert_eq!(proxies_of(&[("ALL_PROXY", "all")]), [Some("all".to_owned()), Some("all".to_owned())]);
    let excepted = [&upper[..], &[("NO_PROXY", "b.example"), ("no_proxy", "a.example")]].concat();
    assert_eq!(proxies_of(&excepted), [None, None]);
}

#[test]
fn http_proxy_in_upper_case_is_ignored_in_a_cgi_script() {
    let variables = [("REQUEST_METHOD", "GET"), ("HTTP_PROXY", "upper"), ("HTTPS_PROXY", "uppers")];
    assert_eq!(proxies_of(&variables), [None, Some("uppers".to_owned())]);
    let lower = [&variables[..], &[("http_proxy", "lower")]].concat();
    assert_eq!(proxies_of(&lower), [Some("lower".to_owned()), Some("uppers".to_owned())]);
    let unset = [("REQUEST_METHOD", ""), ("HTTP_PROXY", "upper")];
    assert_eq!(proxies_of(&unset), [Some("upper".to_owned()), None]);
}

#[test]
fn an_invalid_proxy_is_an_error() {
    for (text, why) in [
        ("socks5://proxy:1080", "only `http://`"),
        ("https://proxy:443", "only `http://`"),
        ("http://", "not of the form"),
        ("http://:3128", "not of the form"),
        ("http://proxy:", "not of the form"),
        ("http://proxy:0", "not of the form"),
        ("http://proxy:99999", "not of the form"),
        ("http://proxy/path", "not of the form"),
        ("http://pro xy", "not of the form"),
        ("http://user:p@ss@proxy:3128", "percent-encoded"),
        ("http://user:p/ss@proxy:3128", "percent-encoded"),
        ("http://user:p#ss@proxy:3128", "percent-encoded"),
        ("http://user:p?ss@proxy:3128", "percent-encoded"),
    ] {
        let error = text.parse::<Proxy>().unwrap_err();
        assert!(error.to_string().contains(why), "{text}: {error}");
        assert_eq!(ProxyRules::new("", "", text, "").unwrap_err(), error, "{text}");
        assert_eq!(ProxyRules::new(text, "", "", "").unwrap_err(), error, "{text}");
    }
    for (text, shown) in [
        ("http://proxy.example:3128/", "http://proxy.example:3128"),
        ("HTTP://proxy.example", "http://proxy.example:80"),
        ("proxy.example:3128", "http://proxy.example:3128"),
        ("user:pw@proxy.example:3128", "http://proxy.example:3128"),
        ("http://user:p%40ss@proxy.example", "http://proxy.example:80"),
        ("http://[fd00::1]:3128", "http://[fd00::1]:3128"),
        ("http://[fd00::1]", "http://[fd00::1]:80"),
        ("http://10.0.0.1:3128", "http://10.0.0.1:3128"),
    ] {
        assert_eq!(text.parse::<Proxy>().unwrap().to_string(), shown, "{text}");
    }
}
