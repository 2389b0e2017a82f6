//! Reads as much of our own Rust as the reference pages are made from: lines of code with the comments above them.
//!
//! No parser of Rust: rustfmt has already put each item on a line of its own.

/// A line of code, with what stands above it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// The doc comment as one line of Markdown, links into code turned into code.
    pub(crate) docs: String,
    /// The attributes, without line breaks.
    pub(crate) attributes: String,
    /// The line without its indentation.
    pub(crate) code: String,
}

/// Reads the lines of code of a file. Comments that document nothing are left out, and so are tests.
///
/// A comment that links to a constant of the same file gets the constant's value in its place.
pub(crate) fn lines(source: &str) -> Vec<Line> {
    let mut lines = Vec::new();
    let (mut docs, mut attributes) = (Vec::new(), String::new());
    // Brackets of an attribute that are open.
    let mut depth = 0;
    for line in source.lines().map(str::trim) {
        if depth > 0 || line.starts_with("#[") {
            attributes.push_str(line);
            depth += line.matches('[').count();
            depth = depth.saturating_sub(line.matches(']').count());
            if line == "#[cfg(test)]" {
                break;
            }
        } else if let Some(text) = line.strip_prefix("///") {
            docs.extend(text.split_whitespace());
        } else if line.is_empty() {
            docs.clear();
            attributes.clear();
        } else if !line.starts_with("//") {
            let docs = core::mem::take(&mut docs).join(" ");
            let attributes = core::mem::take(&mut attributes);
            lines.push(Line { docs, attributes, code: line.to_owned() });
        }
    }
    let constants: Vec<(String, String)> = lines
        .iter()
        .filter_map(Line::constant)
        .map(|(name, _, value)| (format!("[`{name}`]"), value.replace('"', "`")))
        .collect();
    for line in &mut lines {
        for (link, value) in &constants {
            line.docs = line.docs.replace(link, value);
        }
        // A link into code leads nowhere from a page.
        line.docs = line.docs.replace("[`", "`").replace("`]", "`");
    }
    lines
}

impl Line {
    /// The name and the type of a field: `pub(crate) zone: String,`.
    pub(crate) fn field(&self) -> Option<(&str, &str)> {
        let code = self
            .code
            .strip_prefix("pub(crate) ")
            .or_else(|| self.code.strip_prefix("pub "))
            .unwrap_or(&self.code);
        let (name, kind) = code.strip_suffix(',')?.split_once(": ")?;
        let is_name =
            name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        (is_name && !name.is_empty()).then_some((name, kind))
    }

    /// The name, the type and the value of a constant: `pub const MAX: usize = 3;`.
    pub(crate) fn constant(&self) -> Option<(&str, &str, &str)> {
        let code = self
            .code
            .split_once("const ")
            .filter(|(before, _)| matches!(*before, "" | "pub " | "pub(crate) "))?
            .1;
        let (name, rest) = code.split_once(": ")?;
        let (kind, value) = rest.strip_suffix(';')?.split_once(" = ")?;
        Some((name, kind, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_has_its_comment_and_attributes() {
        let source = "
            //! Not this.

            /// The zone, by
            /// [`Id`] or
            ///
            /// [`NAME`].
            #[arg(
                short,
                env = \"ZONE\",
                long
            )]
            pub(crate) zone: Option<String>,
            // Not this.
            const NAME: &str = \"name\";
            pub const MAX: usize = 3;
            #[cfg(test)]
            fn not_this() {}
        ";
        let lines = lines(source);
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[0].docs, "The zone, by `Id` or `name`.");
        assert_eq!(lines[0].field(), Some(("zone", "Option<String>")));
        assert_eq!(lines[0].attributes, "#[arg(short,env = \"ZONE\",long)]");
        assert_eq!(lines[2].docs, "");
        assert_eq!(lines[2].constant(), Some(("MAX", "usize", "3")));
    }
}
