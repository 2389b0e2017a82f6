//! File names in URLs.

use cfcache_site::path::{Root, decode, display, encode, from_any_spelling, is_composed, other_spellings};

#[test]
fn encodes_names_as_browsers_do() {
    for (name, expected) in [
        (&b"blog/index.html"[..], "blog/index.html"),
        ("ü b.html".as_bytes(), "%C3%BC%20b.html"),
        (b"100%.html", "100%25.html"),
        (b"%41.html", "%2541.html"),
        (b"back\\slash", "back%5Cslash"),
        (b"a#b?c", "a%23b%3Fc"),
        (b"\"<>`{}", "%22%3C%3E%60%7B%7D"),
        (b"^", "%5E"),
        (b"new\nline\x7f\x00", "new%0Aline%7F%00"),
        (b"\xff\xfe", "%FF%FE"),
        // Characters that browsers do not encode.
        (b"-._~!$&'()*+,;=:@[]|/", "-._~!$&'()*+,;=:@[]|/"),
    ] {
        let encoded = encode(name);
        assert_eq!(encoded, expected);
        assert_eq!(decode(&encoded), name);
    }
}

#[test]
fn lists_the_encodings_of_browsers_and_programs() {
    for (path, others) in [
        ("plain/a-b_c.d~e", &[][..]),
        ("a%255E", &[]),
        ("a%5Eb%5E", &["a^b^"]),
        ("a%5E?q=%5E", &["a^?q=^"]),
        // Next.js writes the first one into its pages, and browsers do not change it.
        ("blog/[slug]-1.js", &["blog/%5Bslug%5D-1.js"]),
        ("a%20(1).png", &["a%20%281%29.png"]),
        ("a&b.html", &["a%26b.html"]),
        ("a?b=(c)&d", &[]),
        ("(a)?b=(c)", &["%28a%29?b=(c)"]),
        ("[a](b)&c^", &["%5Ba%5D(b)&c^", "%5Ba%5D%28b%29&c^", "%5Ba%5D(b)%26c^", "%5Ba%5D%28b%29%26c^"]),
    ] {
        assert_eq!(other_spellings(path), others, "{path}");
        if !path.contains(['?', '^']) {
            assert!(others.iter().all(|other| from_any_spelling((*other).to_owned()) == path), "{path}");
        }
    }
    assert_eq!(from_any_spelling("a^%41%c3%bc".to_owned()), "a%5EA%C3%BC");
    assert_eq!(from_any_spelling("a%2fb%41".to_owned()), "a%2fb%41", "no file has a slash in its name");
}

#[test]
fn detects_names_that_are_not_nfc() {
    assert!(is_composed(&encode("über.html".as_bytes())));
    assert!(!is_composed(&encode("u\u{308}ber.html".as_bytes())));
    assert!(is_composed(&encode(b"\xff\xcc\x88")), "no UTF-8, so that there is no form to tell");
    assert!(is_composed("plain.html"));
}

#[test]
fn shows_paths_without_control_characters() {
    assert_eq!(display("%C3%BC%20b.html"), "ü b.html");
    assert_eq!(display("a%0Ab"), "a%0Ab");
    assert_eq!(display("a%1B[2J"), "a%1B[2J");
    assert_eq!(display("%FF"), "%FF");
}

#[test]
fn removes_the_root_from_paths() {
    for (root, path, expected) in [
        ("", "a/b", Some("a/b")),
        ("", "./a//b", Some("a/b")),
        ("public", "public/a", Some("a")),
        ("./public/", "public/a", Some("a")),
        ("public", "./public//a", Some("a")),
        ("public", "publication/a", None),
        ("public", "a", None),
        ("public", "public", None),
        ("/srv/www", "/srv/www/a", Some("a")),
        ("/srv/www", "srv/www/a", None),
        ("/", "/a", Some("a")),
        ("a/b", "a/b/c/d", Some("c/d")),
    ] {
        let found = Root::new(root.as_bytes()).site_path(path.as_bytes()).unwrap();
        assert_eq!(found.as_deref(), expected, "{path} below {root:?}");
    }
    for (root, path, expected) in [
        ("", "", "the path is empty"),
        ("", "/srv/a", "`/srv/a` is absolute"),
        ("", "a.html\0b.html\0", "`a.html\\u{0}b.html\\u{0}` contains NUL"),
        ("public", "/public/a", "`/public/a` is absolute"),
        ("", "a/../b", "`a/../b` has a `..`"),
    ] {
        let error = Root::new(root.as_bytes()).site_path(path.as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}
