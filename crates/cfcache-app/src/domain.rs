//! Conversion of domains: the API names zones in Unicode, and URLs use `xn--`.

/// The form in which domains are compared: lower case, `xn--` for non-ASCII letters, no trailing dot.
pub fn ascii(domain: &str) -> String {
    let domain = domain.strip_suffix('.').unwrap_or(domain);
    // Texts that are not domains by the standard, such as one with `_`, are compared unchanged.
    idna::domain_to_ascii(domain).unwrap_or_else(|_| domain.to_lowercase())
}

/// The Unicode form of a domain.
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
    fn equal_domains_have_the_same_ascii_form() {
        for (one, other) in [
            ("with-\u{fc}mlaut.de", "xn--with-mlaut-eeb.de"),
            ("WITH-\u{dc}MLAUT.de.", "xn--with-mlaut-eeb.de"),
            // With combining dots.
            ("with-u\u{308}mlaut.de", "XN--with-mlaut-eeb.DE"),
            ("例え.jp", "xn--r8jz45g.jp"),
            // With the full stop of another script.
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
        // Not a valid encoding.
        assert_eq!(ascii("xn--\u{80}.example"), "xn--\u{80}.example");
    }
}
