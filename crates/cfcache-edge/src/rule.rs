//! Cache rules.

/// Cache rules, in the order in which they apply.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    list: Vec<Rule>,
}

#[derive(Debug, Clone)]
struct Rule {
    expression: Expression,
}

/// Why rules cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidRules {
    message: String,
}

/// Why a text is not an expression that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidExpression {
    message: String,
}

/// A rule expression: which requests a rule is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expression {
    text: String,
}

impl Rules {
    /// Reads a ruleset as the API has it: an object with `rules`, or the list alone.
    ///
    /// # Errors
    ///
    /// [`InvalidRules`] where a field, function, operator or parameter is not known here, with its name and place.
    pub fn parse(json: &str) -> Result<Self, InvalidRules> {
        let value: serde_json::Value =
            serde_json::from_str(json).map_err(|error| InvalidRules { message: error.to_string() })?;
        match value.get("rules").unwrap_or(&value).as_array() {
            Some(list) if list.is_empty() => Ok(Self::default()),
            _ => Err(InvalidRules { message: "rules are not supported yet".to_owned() }),
        }
    }

    /// Adds a rule that makes everything eligible that fits a pattern: `www.example.com/blog/*`.
    ///
    /// `*` stands for any text, also with slashes. It is matched against host and path.
    ///
    /// # Errors
    ///
    /// [`InvalidRules`] where the pattern has no host.
    pub fn with_eligible(self, pattern: &str) -> Result<Self, InvalidRules> {
        Err(InvalidRules { message: format!("rules are not supported yet: `{pattern}`") })
    }

    /// Appends the rules of another list; they apply after those that are there.
    #[must_use]
    pub fn with_rules(mut self, others: Self) -> Self {
        self.list.extend(others.list);
        self
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Is there none?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The settings in them that are accepted and have no effect here, each with the place of its rule.
    #[must_use]
    pub fn without_effect(&self) -> Vec<String> {
        self.list.iter().map(|rule| rule.expression.text.clone()).take(0).collect()
    }
}

impl Expression {
    /// Parses an expression; an empty one fits every request.
    ///
    /// # Errors
    ///
    /// [`InvalidExpression`] where it names a field, function or operator that is not known here.
    pub fn parse(text: &str) -> Result<Self, InvalidExpression> {
        match text {
            "" => Ok(Self { text: String::new() }),
            _ => Err(InvalidExpression { message: format!("expressions are not supported yet: `{text}`") }),
        }
    }
}

impl core::fmt::Display for InvalidRules {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.message)
    }
}

impl core::error::Error for InvalidRules {}

impl core::fmt::Display for InvalidExpression {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.message)
    }
}

impl core::error::Error for InvalidExpression {}
