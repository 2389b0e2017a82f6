//! Names of files as they stand in URLs.

use cfcache_site::path::{Root, decode, display, encode, is_composed, other_spelling};

#[test]
fn names_are_encoded_as_browsers_encode_paths() {
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
        // What browsers leave as it is.
        (b"-._~!$&'()*+,;=:@[]|/", "-._~!$&'()*+,;=:@[]|/"),
    ] {
        let encoded = encode(name);
        assert_eq!(encoded, expected);
        assert_eq!(decode(&encoded), name);
    }
}

#[test]
fn a_circumflex_has_two_spellings() {
    assert_eq!(other_spelling("a%5Eb%5E").as_deref(), Some("a^b^"));
    assert_eq!(other_spelling("a%255E"), None);
    assert_eq!(other_spelling("plain"), None);
}

#[test]
fn names_that_are_not_nfc_are_found() {
    assert!(is_composed(&encode("über.html".as_bytes())));
    assert!(!is_composed(&encode("u\u{308}ber.html".as_bytes())));
    assert!(is_composed(&encode(b"\xff\xcc\x88")), "no UTF-8, so that there is no form to tell");
    assert!(is_composed("plain.html"));
}

#[test]
fn paths_are_shown_without_control_characters() {
    assert_eq!(display("%C3%BC%20b.html"), "ü b.html");
    assert_eq!(display("a%0Ab"), "a%0Ab");
    assert_eq!(display("a%1B[2J"), "a%1B[2J");
    assert_eq!(display("%FF"), "%FF");
}

#[test]
fn a_root_is_taken_off_the_beginning() {
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
        ("public", "/public/a", "`/public/a` is absolute"),
        ("", "a/../b", "`a/../b` has a `..`"),
    ] {
        let error = Root::new(root.as_bytes()).site_path(path.as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}
