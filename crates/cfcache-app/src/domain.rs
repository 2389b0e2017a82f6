//! Domains in the forms in which they are written: the API names zones in Unicode, and URLs have `xn--`.

/// A domain in the form in which two are compared: lower case, `xn--` for other letters than ASCII's, no dot at the end.
pub fn ascii(domain: &str) -> String {
    let domain = domain.strip_suffix('.').unwrap_or(domain);
    // What is no domain by the standard, such as one with `_`, is compared as it is.
    idna::domain_to_ascii(domain).unwrap_or_else(|_| domain.to_lowercase())
}

/// A domain as people write it.
pub fn unicode(domain: &str) -> String {
    match idna::domain_to_unicode(&ascii(domain)) {
        (unicode, Ok(())) => unicode,
        (_, Err(_)) => ascii(domain),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_domain_has_one_form() {
        for (one, other) in [
            ("with-\u{fc}mlaut.de", "xn--with-mlaut-eeb.de"),
            ("WITH-\u{dc}MLAUT.de.", "xn--with-mlaut-eeb.de"),
            // The dots as a mark of their own.
            ("with-u\u{308}mlaut.de", "XN--with-mlaut-eeb.DE"),
            ("例え.jp", "xn--r8jz45g.jp"),
            // The full stop of other scripts.
            ("例え。jp", "xn--r8jz45g.jp"),
            ("Example.COM.", "example.com"),
            ("a_b.example.com", "A_B.example.com"),
            ("", "."),
        ] {
            assert_eq!(ascii(one), ascii(other), "{one}");
            assert_eq!(unicode(one), unicode(other), "{one}");
        }
        assert_eq!(ascii("with-\u{fc}mlaut.de"), "xn--with-mlaut-eeb.de");
        assert_eq!(unicode("xn--with-mlaut-eeb.de"), "with-\u{fc}mlaut.de");
        assert_ne!(ascii("example.com"), ascii("example.org"));
        // It is no encoding of anything.
        assert_eq!(ascii("xn--\u{80}.example"), "xn--\u{80}.example");
    }
}
