//! The part of the Rules language that cache rules need.
//!
//! Source: <https://developers.cloudflare.com/ruleset-engine/rules-language/>, 2026. Unsupported parts are refused by
//! name.

use core::fmt;
use core::net::IpAddr;
use std::borrow::Cow;

use cfcache_model::InvalidInput;

use crate::request::Asked;
use crate::rule::wildcard::Wildcard;

/// Source: <https://developers.cloudflare.com/ruleset-engine/rules-language/expressions/>, 2026.
const MAX_CHARS: usize = 4096;

/// The maximum nesting of parentheses, `not` and functions. This is a choice; the API's limit is not documented.
const MAX_DEPTH: usize = 50;

/// A rule expression, which decides which requests a rule matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expression {
    text: String,
    node: Node,
    notes: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    Constant(bool),
    Ssl,
    Not(Box<Self>),
    And(Vec<Self>),
    Or(Vec<Self>),
    Xor(Vec<Self>),
    Any(Box<Self>),
    All(Box<Self>),
    Test(Operand, Test),
    Address(Option<bool>, Vec<AddressRange>),
}

/// A text value of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Operand {
    field: Field,
    lower: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Field {
    Host,
    Uri,
    FullUri,
    Path,
    Extension,
    Query,
    Method,
    /// The lines of a header, joined.
    Joined(&'static str),
    /// One value of a list, or each of them.
    Listed(List, String, Option<usize>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum List {
    Headers,
    Cookies,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    Equal(Vec<u8>),
    NotEqual(Vec<u8>),
    Contains(Vec<u8>),
    StartsWith(Vec<u8>),
    EndsWith(Vec<u8>),
    In(Vec<Vec<u8>>),
    Like(Wildcard),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct AddressRange {
    first: IpAddr,
    last: IpAddr,
}

const FIELDS: &str = "http.host, http.request.uri, http.request.uri.path, http.request.uri.path.extension, \
                      http.request.uri.query, http.request.full_uri, http.request.method, http.cookie, \
                      http.request.cookies[\"…\"][0], http.request.headers[\"…\"][0], http.user_agent, http.referer, \
                      http.x_forwarded_for, ip.src, ssl";

const FUNCTIONS: &str = "starts_with, ends_with, lower, any, all";

const OPERATORS: &str = "eq, ne, contains, wildcard, strict wildcard, in";

impl Expression {
    /// Parses an expression; an empty one matches every request.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`] if it is malformed, or contains an unsupported field, function or operator.
    pub fn parse(text: &str) -> Result<Self, InvalidInput> {
        let length = text.chars().count();
        if length > MAX_CHARS {
            let message = format!("an expression has at most {MAX_CHARS} characters, this one has {length}");
            return Err(InvalidInput::new(format!("{message}, at character {}", MAX_CHARS + 1)));
        }
        let mut parser = Parser { text, at: 0, depth: 0, inside_any: false, notes: Vec::new() };
        let node = match parser.peek() {
            None => Node::Constant(true),
            Some(_) => parser.or()?,
        };
        match parser.peek() {
            None => Ok(Self { text: text.to_owned(), node, notes: parser.notes }),
            Some(_) => Err(parser.expected("`and`, `or`, `xor` or the end")),
        }
    }

    /// The expression as given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Notes about parts that the API would refuse.
    pub(crate) fn notes(&self) -> &[String] {
        &self.notes
    }

    pub(crate) fn matches(&self, asked: &Asked<'_>) -> bool {
        self.node.matches(asked)
    }
}

impl Node {
    fn matches(&self, asked: &Asked<'_>) -> bool {
        match self {
            Self::Constant(value) => *value,
            Self::Ssl => asked.is_https,
            Self::Not(node) => !node.matches(asked),
            Self::And(nodes) => nodes.iter().all(|node| node.matches(asked)),
            Self::Or(nodes) => nodes.iter().any(|node| node.matches(asked)),
            Self::Xor(nodes) => nodes.iter().filter(|node| node.matches(asked)).count() % 2 == 1,
            Self::Any(node) => node.matches(asked),
            Self::All(node) => match &**node {
                Self::Test(operand, test) => operand.values(asked).iter().all(|value| test.holds(value)),
                node => node.matches(asked),
            },
            Self::Test(operand, test) => {
                let values = operand.values(asked);
                match (test, &operand.field) {
                    // A missing value is not equal to anything.
                    (Test::NotEqual(_), Field::Listed(_, _, Some(_))) if values.is_empty() => true,
                    _ => values.iter().any(|value| test.holds(value)),
                }
            }
            Self::Address(negated, networks) => {
                let inside = asked.address.is_some_and(|address| {
                    networks.iter().any(|network| network.first <= address && address <= network.last)
                });
                inside != negated.unwrap_or_default()
            }
        }
    }
}

impl Operand {
    fn values<'a>(&self, asked: &'a Asked<'_>) -> Vec<Cow<'a, [u8]>> {
        let mut values = self.field.values(asked);
        if self.lower {
            for value in &mut values {
                value.to_mut().make_ascii_lowercase();
            }
        }
        values
    }
}

impl Field {
    fn values<'a>(&self, asked: &'a Asked<'_>) -> Vec<Cow<'a, [u8]>> {
        let query = asked.query.as_deref();
        let uri = || match query {
            Some(query) => format!("{}?{query}", asked.path),
            None => asked.path.clone().into_owned(),
        };
        let one = match self {
            Self::Host => Cow::Borrowed(asked.host.as_bytes()),
            Self::Uri => Cow::Owned(uri().into_bytes()),
            Self::FullUri => {
                let scheme = if asked.is_https { "https" } else { "http" };
                Cow::Owned(format!("{scheme}://{}{}", asked.host, uri()).into_bytes())
            }
            Self::Path => Cow::Borrowed(asked.path.as_bytes()),
            Self::Extension => Cow::Owned(asked.extension().unwrap_or_default().into_bytes()),
            Self::Query => Cow::Borrowed(query.unwrap_or_default().as_bytes()),
            Self::Method => Cow::Borrowed(asked.method.as_bytes()),
            Self::Joined(name) => Cow::Owned(asked.joined(name).unwrap_or_default()),
            Self::Listed(list, name, index) => {
                let all: Vec<&[u8]> = match list {
                    List::Headers => {
                        asked.headers.get_all(name).iter().map(http::HeaderValue::as_bytes).collect()
                    }
                    List::Cookies => asked.cookies(name),
                };
                let all = all.into_iter().map(Cow::Borrowed);
                return match index {
                    Some(index) => all.skip(*index).take(1).collect(),
                    None => all.collect(),
                };
            }
        };
        vec![one]
    }
}

impl Test {
    fn holds(&self, value: &[u8]) -> bool {
        match self {
            Self::Equal(text) => value == text,
            Self::NotEqual(text) => value != text,
            Self::Contains(text) => text.is_empty() || value.windows(text.len()).any(|window| window == text),
            Self::StartsWith(text) => value.starts_with(text),
            Self::EndsWith(text) => value.ends_with(text),
            Self::In(list) => list.iter().any(|text| value == text),
            Self::Like(wildcard) => wildcard.matches(value),
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    inside_any: bool,
    notes: Vec<String>,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// The next character that is not a blank.
    fn peek(&mut self) -> Option<char> {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
        self.rest().chars().next()
    }

    fn error(&self, message: impl fmt::Display) -> InvalidInput {
        let at = self.text[..self.at].chars().count() + 1;
        InvalidInput::new(format!("{message}, at character {at}"))
    }

    fn expected(&mut self, what: &str) -> InvalidInput {
        let found = match self.peek() {
            None => "the end".to_owned(),
            Some(next) => match self.word() {
                "" => format!("`{next}`"),
                word => format!("`{word}`"),
            },
        };
        self.error(format!("found {found}, expected {what}"))
    }

    /// The name that starts here, without consuming it.
    fn word(&mut self) -> &'a str {
        self.peek();
        let rest = self.rest();
        let is_name = |char: char| char.is_ascii_alphanumeric() || matches!(char, '_' | '.');
        &rest[..rest.find(|char| !is_name(char)).unwrap_or(rest.len())]
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = self.word() == word;
        if found {
            self.at += word.len();
        }
        found
    }

    fn take(&mut self, symbol: &str) -> bool {
        self.peek();
        let found = self.rest().starts_with(symbol);
        if found {
            self.at += symbol.len();
        }
        found
    }

    fn need(&mut self, symbol: &str) -> Result<(), InvalidInput> {
        if self.take(symbol) { Ok(()) } else { Err(self.expected(&format!("`{symbol}`"))) }
    }

    fn deeper<T>(
        &mut self,
        parse: impl FnOnce(&mut Self) -> Result<T, InvalidInput>,
    ) -> Result<T, InvalidInput> {
        if self.depth == MAX_DEPTH {
            return Err(self.error(format!("more than {MAX_DEPTH} levels stand in each other")));
        }
        self.depth += 1;
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    fn chain(
        &mut self,
        word: &str,
        symbol: &str,
        join: fn(Vec<Node>) -> Node,
        next: fn(&mut Self) -> Result<Node, InvalidInput>,
    ) -> Result<Node, InvalidInput> {
        let first = next(self)?;
        let mut nodes = Vec::new();
        while self.take_word(word) || self.take(symbol) {
            nodes.push(next(self)?);
        }
        if nodes.is_empty() {
            return Ok(first);
        }
        nodes.insert(0, first);
        Ok(join(nodes))
    }

    fn or(&mut self) -> Result<Node, InvalidInput> {
        self.chain("or", "||", Node::Or, Self::xor)
    }

    fn xor(&mut self) -> Result<Node, InvalidInput> {
        self.chain("xor", "^^", Node::Xor, Self::and)
    }

    fn and(&mut self) -> Result<Node, InvalidInput> {
        self.chain("and", "&&", Node::And, Self::not)
    }

    fn not(&mut self) -> Result<Node, InvalidInput> {
        // `!=` is not a negation of what follows it.
        let negated =
            self.take_word("not") || (!self.rest().trim_start().starts_with("!=") && self.take("!"));
        if negated {
            return Ok(Node::Not(Box::new(self.deeper(Self::not)?)));
        }
        if self.take("(") {
            let node = self.deeper(Self::or)?;
            self.need(")")?;
            return Ok(node);
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Result<Node, InvalidInput> {
        let begin = self.at;
        match self.word() {
            "" => return Err(self.expected("a field or a function")),
            word @ ("true" | "false") => {
                self.at += word.len();
                return Ok(Node::Constant(word == "true"));
            }
            "ssl" => {
                self.at += "ssl".len();
                return Ok(Node::Ssl);
            }
            "ip.src" => {
                self.at += "ip.src".len();
                return self.address();
            }
            word @ ("starts_with" | "ends_with") => {
                self.at += word.len();
                self.need("(")?;
                let operand = self.operand()?;
                self.need(",")?;
                let text = self.string()?;
                self.need(")")?;
                let test = if word == "starts_with" { Test::StartsWith(text) } else { Test::EndsWith(text) };
                return Ok(self.tested(begin, operand, test));
            }
            word @ ("any" | "all") => {
                self.at += word.len();
                self.need("(")?;
                let before = core::mem::replace(&mut self.inside_any, true);
                let node = self.deeper(Self::comparison)?;
                self.inside_any = before;
                self.need(")")?;
                let join = if word == "any" { Node::Any } else { Node::All };
                return Ok(join(Box::new(node)));
            }
            _ => {}
        }
        let operand = self.operand()?;
        let test = self.test()?;
        Ok(self.tested(begin, operand, test))
    }

    /// Adds a note about a list that is compared outside of `any()` and `all()`: the API refuses that, here it means
    /// `any()`.
    fn tested(&mut self, begin: usize, operand: Operand, test: Test) -> Node {
        if let Field::Listed(_, _, None) = operand.field
            && !self.inside_any
        {
            let text = self.text[begin..self.at].trim();
            self.notes.push(format!("`{text}` is read as `any({text})`; the API wants it written so"));
        }
        Node::Test(operand, test)
    }

    fn operand(&mut self) -> Result<Operand, InvalidInput> {
        let word = self.word();
        let begin = self.at;
        self.at += word.len();
        let field = match word {
            "lower" => {
                self.need("(")?;
                let operand = self.deeper(Self::operand)?;
                self.need(")")?;
                return Ok(Operand { lower: true, ..operand });
            }
            "http.host" => Field::Host,
            "http.request.uri" => Field::Uri,
            "http.request.full_uri" => Field::FullUri,
            "http.request.uri.path" => Field::Path,
            "http.request.uri.path.extension" => Field::Extension,
            "http.request.uri.query" => Field::Query,
            "http.request.method" => Field::Method,
            "http.cookie" => Field::Joined("cookie"),
            "http.user_agent" => Field::Joined("user-agent"),
            "http.referer" => Field::Joined("referer"),
            "http.x_forwarded_for" => Field::Joined("x-forwarded-for"),
            "http.request.headers" => self.listed(List::Headers)?,
            "http.request.cookies" => self.listed(List::Cookies)?,
            _ => {
                let is_call = self.peek() == Some('(');
                self.at = begin;
                return Err(match (word, is_call) {
                    ("", _) => self.expected("a field"),
                    (_, true) => self.error(format!("function `{word}` is not supported: {FUNCTIONS} are")),
                    (_, false) => self.error(format!("field `{word}` is not supported: {FIELDS} are")),
                });
            }
        };
        Ok(Operand { field, lower: false })
    }

    fn listed(&mut self, list: List) -> Result<Field, InvalidInput> {
        self.need("[")?;
        let name = String::from_utf8_lossy(&self.string()?).into_owned();
        let name = match list {
            List::Headers => name.to_lowercase(),
            List::Cookies => name,
        };
        self.need("]")?;
        self.need("[")?;
        let index = if self.take("*") {
            None
        } else {
            let word = self.word();
            let Ok(index) = word.parse() else { return Err(self.expected("a number or `*`")) };
            self.at += word.len();
            Some(index)
        };
        self.need("]")?;
        Ok(Field::Listed(list, name, index))
    }

    fn test(&mut self) -> Result<Test, InvalidInput> {
        if self.take("==") || self.take_word("eq") {
            return Ok(Test::Equal(self.string()?));
        }
        if self.take("!=") || self.take_word("ne") {
            return Ok(Test::NotEqual(self.string()?));
        }
        let word = self.word();
        let begin = self.at;
        self.at += word.len();
        match word {
            "contains" => Ok(Test::Contains(self.string()?)),
            "wildcard" => self.wildcard(false),
            "strict" if self.take_word("wildcard") => self.wildcard(true),
            "in" => {
                if self.peek() == Some('$') {
                    return Err(
                        self.error("named lists are not supported: write the values out, `{\"a\" \"b\"}`")
                    );
                }
                self.need("{")?;
                let mut list = Vec::new();
                while !self.take("}") {
                    list.push(self.string()?);
                }
                Ok(Test::In(list))
            }
            "" => {
                if self.take("~") {
                    return Err(self.error(format!("operator `~` is not supported: {OPERATORS} are")));
                }
                Err(self.expected("an operator"))
            }
            word => {
                self.at = begin;
                Err(self.error(format!("operator `{word}` is not supported: {OPERATORS} are")))
            }
        }
    }

    fn wildcard(&mut self, is_strict: bool) -> Result<Test, InvalidInput> {
        self.peek();
        let begin = self.at;
        let text = self.string()?;
        Wildcard::parse(&text, is_strict).map(Test::Like).map_err(|message| {
            self.at = begin;
            self.error(message)
        })
    }

    /// A quoted text, or a raw one: `r"…"`, `r#"…"#`.
    fn string(&mut self) -> Result<Vec<u8>, InvalidInput> {
        let next = self.peek();
        let rest = self.rest();
        let hashes = rest.strip_prefix('r').map(|raw| raw.len() - raw.trim_start_matches('#').len());
        if let Some(hashes) = hashes
            && rest[1 + hashes..].starts_with('"')
        {
            let inner = &rest[2 + hashes..];
            let end = format!("\"{}", "#".repeat(hashes));
            let Some(length) = inner.find(&end) else { return Err(self.error("the text has no end")) };
            self.at += 2 + hashes + length + end.len();
            return Ok(inner.as_bytes()[..length].to_vec());
        }
        if next != Some('"') {
            return Err(self.expected("a text in quotes"));
        }
        let mut text = Vec::new();
        let mut chars = rest.char_indices().skip(1);
        while let Some((at, char)) = chars.next() {
            match char {
                '"' => {
                    self.at += at + 1;
                    return Ok(text);
                }
                '\\' => match chars.next() {
                    Some((_, escaped @ ('"' | '\\'))) => text.push(escaped as u8),
                    // Kept, so that the wildcard interprets it: `\*`.
                    Some((_, '*')) => text.extend_from_slice(b"\\*"),
                    Some((_, 'x')) => {
                        let digits: String = chars.by_ref().take(2).map(|(_, digit)| digit).collect();
                        let Ok(byte) = u8::from_str_radix(&digits, 16) else {
                            self.at += at;
                            return Err(self.error("`\\x` wants two hexadecimal digits"));
                        };
                        text.push(byte);
                    }
                    _ => {
                        self.at += at;
                        return Err(self.error("`\\` must be followed by `\"`, `\\`, `*` or `x`"));
                    }
                },
                char => text.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        Err(self.error("the text has no end"))
    }

    fn address(&mut self) -> Result<Node, InvalidInput> {
        if self.take("==") || self.take_word("eq") {
            return Ok(Node::Address(None, vec![self.network()?]));
        }
        if self.take("!=") || self.take_word("ne") {
            return Ok(Node::Address(Some(true), vec![self.network()?]));
        }
        if !self.take_word("in") {
            return Err(self.expected("`eq`, `ne` or `in`, the operators for an address"));
        }
        if self.peek() == Some('$') {
            return Err(self.error("named lists are not supported: write the addresses out"));
        }
        self.need("{")?;
        let mut networks = Vec::new();
        while !self.take("}") {
            networks.push(self.network()?);
        }
        Ok(Node::Address(None, networks))
    }

    fn network(&mut self) -> Result<AddressRange, InvalidInput> {
        self.peek();
        let rest = self.rest();
        let is_part = |char: char| char.is_ascii_hexdigit() || matches!(char, '.' | ':' | '/');
        let word = &rest[..rest.find(|char| !is_part(char)).unwrap_or(rest.len())];
        let (address, bits) = match word.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (word, None),
        };
        let network = address.parse().ok().and_then(|address: IpAddr| match bits {
            None => Some(AddressRange { first: address, last: address }),
            Some(bits) => AddressRange::new(address, bits.parse().ok()?),
        });
        let Some(network) = network else { return Err(self.expected("an address or a network")) };
        self.at += word.len();
        Ok(network)
    }
}

impl AddressRange {
    fn new(address: IpAddr, bits: u32) -> Option<Self> {
        match address {
            IpAddr::V4(address) => {
                let host = u32::MAX.checked_shr(bits).unwrap_or_default();
                let first = u32::from(address) & !host;
                (bits <= 32).then(|| Self {
                    first: IpAddr::V4(first.into()),
                    last: IpAddr::V4((first | host).into()),
                })
            }
            IpAddr::V6(address) => {
                let host = u128::MAX.checked_shr(bits).unwrap_or_default();
                let first = u128::from(address) & !host;
                (bits <= 128).then(|| Self {
                    first: IpAddr::V6(first.into()),
                    last: IpAddr::V6((first | host).into()),
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Request;
    use proptest::prelude::{any, proptest};

    use super::Expression;
    use crate::request::Asked;
    use crate::settings::VisitorInfo;

    fn matches(text: &str) -> bool {
        let request = Request::get("https://www.Example.com/Blog/a.TXT?x=1&y=2")
            .header("cookie", "a=1; cf_env=staging")
            .header("user-agent", "Mozilla/5.0")
            .header("x-a", "one")
            .header("x-a", "two")
            .body(())
            .unwrap();
        let visitor = VisitorInfo::new("192.0.2.7".parse().unwrap());
        let expression = Expression::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        expression.matches(&Asked::new(&request, &visitor))
    }

    #[test]
    fn expressions_match_requests() {
        let cases = [
            ("", true),
            ("true", true),
            ("http.host eq \"www.example.com\"", true),
            ("http.host == \"example.com\"", false),
            ("http.host ne \"example.com\"", true),
            ("(http.host eq \"www.example.com\")", true),
            ("http.request.uri.path eq \"/Blog/a.TXT\"", true),
            ("lower(http.request.uri.path) eq \"/blog/a.txt\"", true),
            ("http.request.uri eq \"/Blog/a.TXT?x=1&y=2\"", true),
            ("http.request.full_uri eq \"https://www.example.com/Blog/a.TXT?x=1&y=2\"", true),
            ("http.request.uri.path.extension eq \"txt\"", true),
            ("http.request.uri.query contains \"y=2\"", true),
            ("http.request.method in {\"GET\" \"HEAD\"}", true),
            ("http.request.method eq \"PURGE\"", false),
            ("http.cookie contains \"cf_env=\"", true),
            ("http.request.cookies[\"cf_env\"][0] eq \"staging\"", true),
            ("http.request.cookies[\"none\"][0] eq \"\"", false),
            ("http.request.cookies[\"none\"][0] ne \"a\"", true),
            ("http.request.headers[\"X-A\"][1] eq \"two\"", true),
            ("any(http.request.headers[\"x-a\"][*] eq \"two\")", true),
            ("all(http.request.headers[\"x-a\"][*] eq \"two\")", false),
            ("any(starts_with(http.request.headers[\"x-a\"][*], \"tw\"))", true),
            ("any(lower(http.request.headers[\"x-a\"][*]) contains \"w\")", true),
            ("http.user_agent contains \"Mozilla\"", true),
            ("starts_with(http.request.uri.path, \"/Blog/\")", true),
            ("starts_with(lower(http.request.uri.path), \"/blog/\")", true),
            ("ends_with(http.request.uri.path, \".txt\")", false),
            ("http.request.full_uri wildcard \"https://www.example.com/blog/*\"", true),
            ("http.request.full_uri strict wildcard \"https://www.example.com/blog/*\"", false),
            ("http.request.uri.path wildcard r\"/b*.txt\"", true),
            ("http.request.uri.path wildcard r#\"/blog/a\\*\"#", false),
            ("ssl", true),
            ("not ssl", false),
            ("!ssl or ssl", true),
            ("ssl and not (http.host eq \"a\" || http.host eq \"b\")", true),
            ("ssl xor ssl", false),
            // `and` binds more tightly than `xor`, and `xor` more tightly than `or`.
            ("ssl or ssl and false", true),
            ("false and ssl or ssl", true),
            ("ssl xor ssl and false", true),
            ("ip.src in {192.0.2.0/24}", true),
            ("ip.src in {198.51.100.0/24 192.0.2.7}", true),
            ("ip.src eq 192.0.2.8", false),
            ("ip.src ne 192.0.2.8", true),
            ("ip.src in {2001:db8::/32}", false),
            ("http.host eq \"a\\\"b\"", false),
        ];
        for (text, expected) in cases {
            assert_eq!(matches(text), expected, "{text}");
        }
    }

    #[test]
    fn names_unsupported_fields_and_functions() {
        let cases = [
            ("cf.threat_score gt 10", "field `cf.threat_score` is not supported"),
            ("ip.geoip.country eq \"DE\"", "field `ip.geoip.country` is not supported"),
            ("concat(http.host, \"a\") eq \"b\"", "function `concat` is not supported"),
            ("http.host matches \"a\"", "operator `matches` is not supported"),
            ("http.host ~ \"a\"", "operator `~` is not supported"),
            ("http.host gt \"a\"", "operator `gt` is not supported"),
            ("http.host in $list", "named lists are not supported"),
            ("http.host eq", "found the end, expected a text in quotes, at character 13"),
            ("http.host eq a", "found `a`, expected a text in quotes"),
            ("http.host eq \"a", "the text has no end"),
            ("http.host", "found the end, expected an operator"),
            ("(ssl", "found the end, expected `)`"),
            ("ssl ssl", "found `ssl`, expected `and`, `or`, `xor` or the end, at character 5"),
            ("ssl AND ssl", "found `AND`"),
            ("http.request.headers[\"a\"] eq \"b\"", "found `eq`, expected `[`"),
            ("http.host wildcard \"a**\"", "`**`"),
            ("ip.src in {192.0.2.0/33}", "expected an address or a network"),
            ("and", "field `and` is not supported"),
        ];
        for (text, expected) in cases {
            let error = Expression::parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
        let deep = format!("{}ssl{}", "(".repeat(60), ")".repeat(60));
        assert!(Expression::parse(&deep).unwrap_err().to_string().contains("50 levels"));
        assert!(Expression::parse(&"a".repeat(5000)).unwrap_err().to_string().contains("4096"));
    }

    #[test]
    fn reports_lists_outside_of_any() {
        let expression = Expression::parse("http.request.headers[\"x-a\"][*] eq \"two\" and ssl").unwrap();
        assert_eq!(expression.notes().len(), 1);
        assert!(matches("http.request.headers[\"x-a\"][*] eq \"two\" and ssl"));
        assert!(
            Expression::parse("any(http.request.headers[\"x-a\"][*] eq \"two\")").unwrap().notes().is_empty()
        );
    }

    proptest! {
        #[test]
        fn parses_any_text(text in any::<String>()) {
            drop(Expression::parse(&text));
        }

        #[test]
        fn parses_any_words(
            text in r#"((not|and|or|\(|\)|ssl|any\(|http\.host|eq|in|\{|\}|"a"|r"b"|lower\(|\[|\*|ip\.src|1\.2\.3\.4/8|wildcard) ?){0,12}"#,
        ) {
            drop(Expression::parse(&text));
        }
    }
}
