//! Expands `macro_rules!` as far as our own need it: one rule, repetitions, and the common fragments.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};
use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};
use quote::ToTokens;
use syn::parse::{Parse, ParseStream, Parser as _};

/// A macro: what it takes, and what it makes of it.
#[derive(Debug, Clone)]
pub(super) struct Macro {
    pattern: Vec<Part>,
    template: Vec<Part>,
}

/// A part of a pattern, or of a template.
#[derive(Debug, Clone)]
enum Part {
    Token(TokenTree),
    Group(Delimiter, Vec<Self>),
    /// `$name:fragment`, and `$name` in a template.
    Variable(String, String),
    /// `$(…)*`, with what stands between.
    Repeat(Vec<Self>, Option<TokenTree>),
}

/// What a variable stands for.
#[derive(Debug, Clone)]
enum Bound {
    One(TokenStream),
    Many(Vec<Bindings>),
}

type Bindings = BTreeMap<String, Bound>;

impl Macro {
    /// Reads what stands in the braces of a `macro_rules!`.
    pub(super) fn parse(definition: TokenStream) -> Result<Self> {
        let mut tokens = definition.into_iter();
        let mut group = || match tokens.next() {
            Some(TokenTree::Group(group)) => Ok(group),
            _ => bail!("a rule is `(…) => {{…}}`"),
        };
        let pattern = parts(group()?.stream())?;
        let mut rest = tokens.by_ref().skip_while(|token| !matches!(token, TokenTree::Group(_)));
        let Some(TokenTree::Group(template)) = rest.next() else { bail!("a rule is `(…) => {{…}}`") };
        ensure!(
            rest.all(|token| matches!(&token, TokenTree::Punct(punct) if punct.as_char() == ';')),
            "it has more than one rule"
        );
        Ok(Self { pattern, template: parts(template.stream())? })
    }

    /// What the macro makes of an input.
    pub(super) fn expand(&self, input: TokenStream) -> Result<TokenStream> {
        let (bindings, rest) = matched(&self.pattern, input)?;
        ensure!(rest.is_empty(), "it does not take all of its input: {rest}");
        write(&self.template, &bindings)
    }
}

fn parts(tokens: TokenStream) -> Result<Vec<Part>> {
    let mut parts = Vec::new();
    let mut tokens = tokens.into_iter().peekable();
    let is = |token: &TokenTree, wanted: char| matches!(token, TokenTree::Punct(punct) if punct.as_char() == wanted);
    while let Some(token) = tokens.next() {
        if !is(&token, '$') {
            parts.push(match token {
                TokenTree::Group(group) => Part::Group(group.delimiter(), self::parts(group.stream())?),
                token => Part::Token(token),
            });
            continue;
        }
        match tokens.next().context("`$` stands at the end")? {
            TokenTree::Group(group) => {
                let mut next = tokens.next().context("a repetition has no `*`")?;
                let mut between = None;
                if !is(&next, '*') && !is(&next, '+') && !is(&next, '?') {
                    between = Some(next);
                    next = tokens.next().context("a repetition has no `*`")?;
                }
                ensure!(is(&next, '*'), "of repetitions only `*` is known, not `{next}`");
                parts.push(Part::Repeat(self::parts(group.stream())?, between));
            }
            TokenTree::Ident(name) => {
                let mut fragment = String::new();
                if tokens.peek().is_some_and(|next| is(next, ':')) {
                    let mut after = tokens.clone();
                    after.next();
                    // In a template, `$type::NAME` is a path and no fragment.
                    if let Some(TokenTree::Ident(kind)) = after.next() {
                        fragment = kind.to_string();
                        tokens = after;
                    }
                }
                parts.push(Part::Variable(name.to_string(), fragment));
            }
            token => bail!("`${token}` is not known"),
        }
    }
    Ok(parts)
}

/// Takes from the input what a pattern wants, and gives what is left.
fn matched(pattern: &[Part], mut input: TokenStream) -> Result<(Bindings, TokenStream)> {
    let mut bindings = Bindings::new();
    for part in pattern {
        match part {
            Part::Token(wanted) => {
                let (found, rest) = first(input)?;
                ensure!(found.to_string() == wanted.to_string(), "`{found}` stands where `{wanted}` should");
                input = rest;
            }
            Part::Group(delimiter, inner) => {
                let (found, rest) = first(input)?;
                let TokenTree::Group(group) = &found else { bail!("`{found}` is no group") };
                ensure!(group.delimiter() == *delimiter, "`{found}` is another group");
                let (inner, left) = matched(inner, group.stream())?;
                ensure!(left.is_empty(), "`{left}` is left");
                bindings.extend(inner);
                input = rest;
            }
            Part::Variable(name, fragment) => {
                let (found, rest) = take(fragment, input)?;
                bindings.insert(name.clone(), Bound::One(found));
                input = rest;
            }
            Part::Repeat(inner, between) => {
                let mut rounds = Vec::new();
                while !input.is_empty() {
                    let Ok((round, rest)) = matched(inner, input.clone()) else { break };
                    rounds.push(round);
                    input = rest;
                    let Some(between) = between else { continue };
                    match first(input.clone()) {
                        Ok((found, rest)) if found.to_string() == between.to_string() => input = rest,
                        _ => break,
                    }
                }
                for name in names(inner) {
                    bindings.insert(name, Bound::Many(rounds.clone()));
                }
            }
        }
    }
    Ok((bindings, input))
}

fn first(input: TokenStream) -> Result<(TokenTree, TokenStream)> {
    let mut tokens = input.into_iter();
    let token = tokens.next().context("the input ends too early")?;
    Ok((token, tokens.collect()))
}

fn take(fragment: &str, input: TokenStream) -> Result<(TokenStream, TokenStream)> {
    fn parse<T: Parse + ToTokens>(input: TokenStream) -> Result<(TokenStream, TokenStream)> {
        let parse = |stream: ParseStream<'_>| Ok((stream.parse::<T>()?.to_token_stream(), stream.parse()?));
        Ok(parse.parse2(input)?)
    }
    match fragment {
        "ident" => parse::<syn::Ident>(input),
        "ty" => parse::<syn::Type>(input),
        "literal" => parse::<syn::Lit>(input),
        "meta" => parse::<syn::Meta>(input),
        "expr" => parse::<syn::Expr>(input),
        "tt" => first(input).map(|(token, rest)| (token.into(), rest)),
        _ => bail!("the fragment `{fragment}` is not known"),
    }
}

fn names(parts: &[Part]) -> Vec<String> {
    let mut found = Vec::new();
    for part in parts {
        match part {
            Part::Token(_) => {}
            Part::Variable(name, _) => found.push(name.clone()),
            Part::Group(_, inner) | Part::Repeat(inner, _) => found.extend(names(inner)),
        }
    }
    found
}

fn write(template: &[Part], bindings: &Bindings) -> Result<TokenStream> {
    let mut written = TokenStream::new();
    for part in template {
        match part {
            Part::Token(token) => written.extend([token.clone()]),
            Part::Group(delimiter, inner) => {
                written.extend([TokenTree::from(Group::new(*delimiter, write(inner, bindings)?))]);
            }
            Part::Variable(name, _) => match bindings.get(name) {
                Some(Bound::One(tokens)) => written.extend(tokens.clone()),
                _ => bail!("`${name}` stands for nothing here"),
            },
            Part::Repeat(inner, between) => {
                let rounds = names(inner).into_iter().find_map(|name| match bindings.get(&name) {
                    Some(Bound::Many(rounds)) => Some(rounds),
                    _ => None,
                });
                for (index, round) in rounds.context("nothing says how often")?.iter().enumerate() {
                    if index > 0 {
                        written.extend(between.clone());
                    }
                    let mut seen = bindings.clone();
                    seen.extend(round.clone());
                    written.extend(write(inner, &seen)?);
                }
            }
        }
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use quote::quote;

    use super::*;

    #[test]
    fn repetitions_expand_within_repetitions() {
        let rules = quote! {
            ($($(#[$meta:meta])* $name:ident($type:ty) else $other:ty;)*) => {
                pub enum All { $($(#[$meta])* $name($type),)* }
                $(impl $name { const NAMES: [&str; 1] = [<$type>::NAME]; })*
            };
        };
        let input = quote! { #[a] #[b = "c"] One(Vec<u8>) else X; Two(u8) else Y; };
        let expected = quote! {
            pub enum All { #[a] #[b = "c"] One(Vec<u8>), Two(u8), }
            impl One { const NAMES: [&str; 1] = [<Vec<u8> >::NAME]; }
            impl Two { const NAMES: [&str; 1] = [<u8>::NAME]; }
        };
        let found = Macro::parse(rules).unwrap().expand(input).unwrap();
        assert_eq!(found.to_string().replace(' ', ""), expected.to_string().replace(' ', ""));
    }

    #[test]
    fn what_is_not_known_is_an_error() {
        assert!(Macro::parse(quote! { () => {}; (a) => {} }).is_err());
        assert!(Macro::parse(quote! { ($a:pat) => {} }).unwrap().expand(quote! { _ }).is_err());
        assert!(Macro::parse(quote! { (a) => {} }).unwrap().expand(quote! { a b }).is_err());
    }
}
