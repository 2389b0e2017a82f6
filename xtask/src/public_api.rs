//! The public API of each library crate as a committed text, so that a change of it is seen in a review.
//!
//! It is read from the sources, with no compiler: the listing is the same whichever version is installed. It has the
//! items that can be reached from `lib.rs`, with signatures, public fields, variants, derives and implementations.
//! What it does not show: implementations that the compiler adds by itself (`Send`, `Sync`), what derives write, the
//! values of constants, and types that only follow from others (what `impl Trait` stands for).

mod expand;
mod load;
mod print;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context as _, Result, bail};
use syn::{Attribute, GenericArgument, Item, ItemImpl, PathArguments, Type};

use crate::public_api::load::{
    Found, Modules, attributes, follow, is_public, leaves, load, name, visibility,
};
use crate::public_api::print::{is_hidden, outside, print};
use crate::repo;

/// The crates that others can build upon.
const CRATES: [&str; 5] =
    ["cfcache-model", "cfcache-transport", "cfcache-client", "cfcache-edge", "cfcache-emulator"];

/// Writes the listings.
pub(crate) fn write() -> Result<()> {
    for (path, listing) in listings()? {
        let file = repo::root().join(&path);
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&file, listing).with_context(|| format!("cannot write {path}"))?;
        println!("wrote {path}");
    }
    Ok(())
}

/// Fails where a listing is not that of the code, and says where they part.
pub(crate) fn check() -> Result<()> {
    let mut changes = Vec::new();
    for (path, listing) in listings()? {
        let found = if repo::root().join(&path).exists() { repo::read(&path)? } else { String::new() };
        changes.extend(differences(&path, &found, &listing));
    }
    if !changes.is_empty() {
        bail!(
            "the public API differs from its listing:\n{}\nif it is meant: cargo xtask public-api, and a line in \
             CHANGELOG.md",
            changes.join("\n")
        );
    }
    println!("{} listings are current", CRATES.len());
    Ok(())
}

/// What is gone and what is new, each with the line that it is on.
fn differences(path: &str, before: &str, after: &str) -> Vec<String> {
    if before == after {
        return Vec::new();
    }
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
    let (old, new) = (lines(before), lines(after));
    let only = |text: &str, other: &BTreeSet<String>, sign: char| {
        let numbered = text.lines().enumerate().filter(|(_, line)| !other.contains(*line));
        numbered.map(|(index, line)| format!("  {path}:{} {sign} {line}", index + 1)).collect::<Vec<_>>()
    };
    let mut found = only(before, &new, '-');
    found.extend(only(after, &old, '+'));
    if found.is_empty() {
        found.push(format!("  {path}: the same lines in another order"));
    }
    found
}

fn listings() -> Result<Vec<(String, String)>> {
    let listing = |crate_name: &&str| {
        let modules = load(&format!("crates/{crate_name}/src")).with_context(|| (*crate_name).to_owned())?;
        Ok((format!("docs/api/{crate_name}.txt"), listing(crate_name, &modules)))
    };
    CRATES.iter().map(listing).collect()
}

/// An item by where it is written.
type Home = (Vec<String>, String);

fn listing(crate_name: &str, modules: &Modules) -> String {
    let mut api = Api { modules, homes: BTreeMap::new(), again: BTreeMap::new() };
    for (path, module) in modules.iter().filter(|(_, module)| module.is_public) {
        api.show(path, path, &module.conditions);
    }
    let mut text = format!(
        "# The public API of {crate_name}, written by `cargo xtask public-api` from the sources.\n\
         # Not in it: auto traits, what derives write, values of constants.\n"
    );
    let root = crate_name.replace('-', "_");
    let mut sections: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    let named = |path: &[String]| [core::slice::from_ref(&root), path].concat().join("::");
    for (home, shown) in &api.homes {
        sections.entry(named(&shown.path)).or_default().push((shown.name.clone(), api.entry(home, shown)));
    }
    for ((path, name), target) in &api.again {
        let target = target.replacen("crate", &root, 1);
        sections.entry(named(path)).or_default().push((name.clone(), format!("pub use {target};\n")));
    }
    for (path, mut entries) in sections {
        entries.sort();
        text.push_str(&format!("\n## {path}\n"));
        for (_, entry) in entries {
            text.push('\n');
            text.push_str(&entry);
        }
    }
    let others = api.other_implementations();
    if !others.is_empty() {
        text.push_str("\n## for types of other crates\n\n");
        text.push_str(&others.concat());
    }
    text
}

/// Where an item is seen.
struct Shown {
    path: Vec<String>,
    name: String,
    conditions: Vec<Attribute>,
}

/// What can be reached.
struct Api<'a> {
    modules: &'a Modules,
    homes: BTreeMap<Home, Shown>,
    /// Names that stand for something which is seen elsewhere.
    again: BTreeMap<Home, String>,
}

impl Api<'_> {
    /// Notes what a module shows, as seen at `path`.
    fn show(&mut self, module: &[String], path: &[String], conditions: &[Attribute]) {
        let modules = self.modules;
        let Some(content) = modules.get(module) else { return };
        for item in &content.items {
            if !visibility(item).is_some_and(is_public) || is_hidden(attributes(item)) {
                continue;
            }
            let Item::Use(item) = item else {
                if let Some(name) = name(item) {
                    let shown =
                        Shown { path: path.to_vec(), name: name.clone(), conditions: conditions.to_vec() };
                    self.homes.entry((module.to_vec(), name)).or_insert(shown);
                }
                continue;
            };
            let own = item.attrs.iter().filter(|attribute| attribute.path().is_ident("cfg")).cloned();
            let conditions: Vec<Attribute> = conditions.iter().cloned().chain(own).collect();
            for leaf in leaves(&item.tree) {
                match (follow(modules, module, &leaf.path), leaf.name) {
                    (Found::Module(target), None) => self.show(&target, path, &conditions),
                    (Found::Item(home, name), Some(shown)) => {
                        let is_seen_there = modules.get(&home).is_some_and(|module| module.is_public);
                        if is_seen_there {
                            let target =
                                [&["crate".to_owned()], home.as_slice(), &[name]].concat().join("::");
                            self.again.insert((path.to_vec(), shown), target);
                        } else {
                            let shown =
                                Shown { path: path.to_vec(), name: shown, conditions: conditions.clone() };
                            self.homes.entry((home, name)).or_insert(shown);
                        }
                    }
                    (_, name) => {
                        let target = leaf.path.join("::");
                        self.again.insert((path.to_vec(), name.unwrap_or_else(|| "*".to_owned())), target);
                    }
                }
            }
        }
    }

    /// An item with what is implemented for it.
    fn entry(&self, home: &Home, shown: &Shown) -> String {
        let Some(module) = self.modules.get(&home.0) else { return String::new() };
        let item = module.items.iter().find(|item| name(item).as_ref() == Some(&home.1));
        let mut entry = item.map_or_else(String::new, |item| print(item.clone(), &shown.conditions));
        if shown.name != home.1 {
            entry.insert_str(0, &format!("// as {}\n", shown.name));
        }
        let mut blocks = Vec::new();
        for (path, block) in self.blocks() {
            let is_of_it = match self.local(path, &block.self_ty) {
                Some(found) => found == *home,
                // For a type of another crate, it is the trait that it is told with.
                None => self.trait_of(path, block).as_ref() == Some(home),
            };
            if is_of_it {
                blocks.extend(self.block(path, block));
            }
        }
        blocks.sort();
        entry.push_str(&blocks.concat());
        entry
    }

    /// Conversions of ours into types of others.
    fn other_implementations(&self) -> Vec<String> {
        let mut blocks = Vec::new();
        for (path, block) in self.blocks() {
            let is_elsewhere =
                self.local(path, &block.self_ty).is_none() && self.trait_of(path, block).is_none();
            let names_ours = || {
                let last = block.trait_.as_ref().and_then(|(path, _)| path.segments.last());
                let PathArguments::AngleBracketed(arguments) = &last?.arguments else { return None };
                arguments.args.iter().find_map(|argument| match argument {
                    GenericArgument::Type(argument) => self.local(path, argument),
                    _ => None,
                })
            };
            if is_elsewhere && names_ours().is_some_and(|home| self.homes.contains_key(&home)) {
                blocks.extend(self.block(path, block));
            }
        }
        blocks.sort();
        blocks
    }

    fn blocks(&self) -> impl Iterator<Item = (&Vec<String>, &ItemImpl)> {
        self.modules.iter().flat_map(|(path, module)| {
            module.items.iter().filter_map(move |item| match item {
                Item::Impl(block) => Some((path, block)),
                _ => None,
            })
        })
    }

    fn block(&self, path: &[String], block: &ItemImpl) -> Option<String> {
        // Who cannot name a trait cannot know what it is implemented for.
        if self.trait_of(path, block).is_some_and(|home| !self.homes.contains_key(&home)) {
            return None;
        }
        let conditions =
            self.modules.get(path).map(|module| module.conditions.as_slice()).unwrap_or_default();
        Some(print(Item::Impl(outside(block)?), conditions))
    }

    /// The item of this crate that a type is.
    fn local(&self, path: &[String], kind: &Type) -> Option<Home> {
        match kind {
            Type::Path(kind) if kind.qself.is_none() => self.item(path, &kind.path),
            Type::Reference(kind) => self.local(path, &kind.elem),
            _ => None,
        }
    }

    /// The trait of this crate that is implemented.
    fn trait_of(&self, path: &[String], block: &ItemImpl) -> Option<Home> {
        self.item(path, &block.trait_.as_ref()?.0)
    }

    fn item(&self, from: &[String], path: &syn::Path) -> Option<Home> {
        let path: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        match follow(self.modules, from, &path) {
            Found::Item(home, name) => Some((home, name)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_named() {
        let found = differences("a.txt", "one\ntwo\n", "one\nthree\n");
        assert_eq!(found, ["  a.txt:2 - two", "  a.txt:2 + three"]);
        assert!(differences("a.txt", "one\n", "one\n").is_empty());
    }
}
