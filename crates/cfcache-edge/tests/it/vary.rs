//! `Vary` by rule, and image variants.

use cfcache_model::Plan;
use http::Request;

use crate::support::{Origin, Site, URL, always, begin, files, response};

/// An origin whose body is the request's value of a header in `Vary`.
fn echoing(name: &'static str) -> Origin {
    Box::new(move |request: &Request<()>| {
        let value = request.headers().get(name).map_or("none", |value| value.to_str().unwrap());
        Ok(response(200, &[("vary", name)], value))
    })
}

fn vary(headers: &str) -> String {
    format!(r#"{{"vary":{{"default":{{"action":"bypass"}},"headers":{headers}}}}}"#)
}

#[test]
fn ignores_vary_without_a_rule() {
    let mut site = Site::new(echoing("accept-language"));
    assert_eq!(site.get_with(URL, &[("accept-language", "en")]).cache(), "MISS");
    let seen = site.get_with(URL, &[("accept-language", "fr")]);
    assert_eq!((seen.cache(), &*seen.body, seen.header("vary")), ("HIT", "en", "accept-language"));
}

#[test]
fn normalized_headers_select_a_variant_and_are_sent_to_the_origin() {
    let cases: &[(&str, &str, &str, &str)] = &[
        // The vendor's examples.
        ("accept-language", r#"{"action":"normalize"}"#, "en-US, fr;q=0.8", "en,fr"),
        ("accept-language", r#"{"action":"normalize"}"#, "fr;q=0.8, en-GB", "en,fr"),
        ("accept-language", r#"{"action":"normalize"}"#, "fr, en;q=0.8", "fr,en"),
        ("accept-language", r#"{"action":"normalize"}"#, "de, EN-us, en-gb", "de,en"),
        ("accept-language", r#"{"action":"normalize"}"#, "en, fr;q=0", "en,fr;q=0"),
        ("accept-language", r#"{"action":"normalize","languages":["fr"]}"#, "en, fr;q=0.5", "fr"),
        (
            "accept-language",
            r#"{"action":"normalize","languages":["en","en-gb"]}"#,
            "en-GB, en-US;q=0.5",
            "en-gb,en",
        ),
        ("accept-language", r#"{"action":"normalize","languages":["fr"]}"#, "en", "none"),
        (
            "accept",
            r#"{"action":"normalize"}"#,
            "application/json;q=0.9, text/html",
            "text/html,application/json",
        ),
        ("accept", r#"{"action":"normalize"}"#, "text/html;level=1;q=0.5,*/*", "*/*,text/html"),
        ("accept", r#"{"action":"normalize","media_types":["text/html"]}"#, "text/html, a/b", "text/html"),
        ("accept-language", r#"{"action":"passthrough"}"#, "en-US, fr;q=0.8", "en-US, fr;q=0.8"),
        ("x-a", r#"{"action":"normalize"}"#, "B, a", "B, a"),
    ];
    for (name, action, given, sent) in cases {
        let mut site = Site::new(echoing(name)).with_rule(&vary(&format!(r#"{{"{name}":{action}}}"#)));
        let seen = site.get_with(URL, &[(name, given)]);
        assert_eq!((seen.cache(), &*seen.body), ("MISS", *sent), "{name}: {given} with {action}");
        assert_eq!(site.get_with(URL, &[(name, given)]).cache(), "HIT", "{name}: {given} with {action}");
    }
}

#[test]
fn each_value_is_a_variant() {
    let name = "accept-language";
    let normalize = vary(r#"{"accept-language":{"action":"normalize"}}"#);
    let mut site = Site::new(echoing(name)).with_rule(&normalize);
    assert_eq!(site.get_with(URL, &[(name, "en-US, fr;q=0.8")]).cache(), "MISS");
    assert_eq!(site.get_with(URL, &[(name, "fr;q=0.8, en-GB")]).cache(), "HIT");
    assert_eq!(site.get_with(URL, &[(name, "fr")]).cache(), "MISS");
    assert_eq!(site.get(URL).cache(), "MISS");
    assert_eq!(site.get_with(URL, &[(name, "fr")]).body, "fr");
    assert_eq!(site.get_with(URL, &[(name, "en, fr;q=0.1")]).body, "en,fr");
    assert_eq!(site.get(URL).body, "none");
    assert_eq!(site.edge.len(), 3);
    // A purge of the URL removes all variants.
    assert_eq!(site.purge(files(&[URL])).objects, 3);

    let mut site =
        Site::new(echoing(name)).with_rule(&vary(r#"{"accept-language":{"action":"passthrough"}}"#));
    site.get_with(URL, &[(name, "en, fr")]);
    assert_eq!(site.get_with(URL, &[(name, "en,fr")]).cache(), "MISS");
    assert_eq!(site.get_with(URL, &[(name, "en, fr")]).cache(), "HIT");
}

#[test]
fn headers_without_an_action_use_the_default() {
    let mut site = Site::new(always(&[("vary", "Accept, User-Agent")]))
        .with_rule(&vary(r#"{"accept":{"action":"normalize"}}"#));
    assert_eq!(site.get(URL).why(), "bypass; vary user-agent");
    let mut site = Site::new(always(&[])).with_rule(&vary("{}"));
    assert_eq!(site.get(URL).cache(), "MISS");
}

#[test]
fn the_newest_response_determines_the_vary_headers() {
    let mut first = true;
    let mut site = Site::new(Box::new(move |_| {
        let vary = if core::mem::take(&mut first) { "x-a" } else { "x-b" };
        Ok(response(200, &[("vary", vary), ("cache-control", "max-age=5")], vary))
    }))
    .with_rule(r#"{"vary":{"default":{"action":"passthrough"}}}"#);
    site.get(URL);
    site.wait(6);
    // The old variant is replaced, because the request would have matched it.
    assert_eq!(site.get(URL).cache(), "EXPIRED");
    assert_eq!((site.edge.len(), &*site.get(URL).body), (1, "x-b"));
}

#[test]
fn a_response_replaces_all_variants_that_its_request_matches() {
    let mut site = Site::new(Box::new(|request| {
        let vary = if request.headers().contains_key("x-a") { "x-a" } else { "x-b" };
        Ok(response(200, &[("vary", vary), ("cache-control", "max-age=5")], vary))
    }))
    .with_rule(r#"{"vary":{"default":{"action":"passthrough"}}}"#);
    site.get_with(URL, &[("x-a", "1")]);
    site.get(URL);
    assert_eq!(site.edge.len(), 2);
    site.wait(6);
    site.get_with(URL, &[("x-a", "1")]);
    assert_eq!(site.edge.len(), 1);
}

#[test]
fn ignores_the_order_of_vary() {
    let mut site = Site::new(always(&[("vary", "x-b, X-A"), ("vary", "x-b")]))
        .with_rule(r#"{"vary":{"default":{"action":"passthrough"}}}"#);
    site.get_with(URL, &[("x-a", "1"), ("x-b", "2")]);
    assert_eq!(site.edge.objects(begin()).next().unwrap().variant, "x-a=1;x-b=2");
}

const IMAGE: &str = "https://example.com/a.jpg";

/// An origin that serves the first of these types that the request accepts, otherwise JPEG.
fn images(types: &'static [&'static str]) -> Origin {
    Box::new(|request| {
        let accept = request.headers().get("accept").map_or("", |value| value.to_str().unwrap());
        let kind = types.iter().find(|kind| accept.contains(**kind)).unwrap_or(&"image/jpeg");
        Ok(response(200, &[("vary", "Accept"), ("content-type", kind)], kind))
    })
}

fn with_variants(origin: Origin) -> Site {
    Site::new(origin).with(|settings| {
        let types = ["image/avif", "image/webp"].map(str::to_owned).to_vec();
        settings.variants.insert("jpg".to_owned(), types);
    })
}

#[test]
fn image_variants_depend_on_accepted_types() {
    let chrome = "image/avif,image/webp,image/apng,image/*,*/*;q=0.8";
    let safari = "image/webp,image/png,*/*;q=0.8";
    let mut site = with_variants(images(&["image/avif", "image/webp"]));
    assert_eq!(site.get_with(IMAGE, &[("accept", chrome)]).body, "image/avif");
    assert_eq!(site.get_with(IMAGE, &[("accept", safari)]).body, "image/webp");
    assert_eq!(site.get(IMAGE).body, "image/jpeg");
    // A browser with the same types, and one that refuses one of them.
    let other = "text/html,image/webp;q=0.9,image/avif,*/*";
    let seen = site.get_with(IMAGE, &[("accept", other)]);
    assert_eq!((seen.cache(), &*seen.body), ("HIT", "image/avif"));
    let seen = site.get_with(IMAGE, &[("accept", "image/avif;q=0, image/webp")]);
    assert_eq!((seen.cache(), &*seen.body), ("HIT", "image/webp"));
    assert_eq!(site.get_with(IMAGE, &[("accept", "*/*")]).cache(), "HIT");
    let mut variants: Vec<_> = site.edge.objects(begin()).map(|object| object.variant).collect();
    variants.sort();
    assert_eq!(variants, ["", "image/avif,image/webp", "image/webp"]);
    assert_eq!(site.purge(files(&[IMAGE])).objects, 3);
}

#[test]
fn does_not_store_images_of_other_types() {
    let mut site = with_variants(images(&["image/heic"]));
    assert_eq!(site.get_with(IMAGE, &[("accept", "image/heic")]).why(), "bypass; variant");
    // Not on Free, not for other extensions, and not without `Vary: Accept`.
    assert_eq!(site.get_with("https://example.com/a.png", &[("accept", "image/heic")]).cache(), "MISS");
    let mut site = with_variants(images(&["image/heic"])).with_plan(Plan::Free);
    assert_eq!(site.get_with(IMAGE, &[("accept", "image/heic")]).cache(), "MISS");
    let mut site = with_variants(always(&[("content-type", "image/heic")]));
    assert_eq!(site.get(IMAGE).cache(), "MISS");
    assert_eq!(site.get_with(IMAGE, &[("accept", "image/webp")]).cache(), "HIT");
}
