//! Reads the modules of a crate, and finds what its paths mean.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use syn::{Attribute, Item, UseTree, Visibility};

use crate::public_api::expand::Macro;
use crate::repo;

/// The modules of a crate, by path: `[]` is the root.
pub(super) type Modules = BTreeMap<Vec<String>, Module>;

/// A module.
pub(super) struct Module {
    /// Is it, and everything above it, `pub`?
    pub(super) is_public: bool,
    /// On which conditions it is there.
    pub(super) conditions: Vec<Attribute>,
    /// Macros expanded.
    pub(super) items: Vec<Item>,
}

/// Reads a crate from the folder of its sources.
pub(super) fn load(folder: &str) -> Result<Modules> {
    let mut loader = Loader { modules: Modules::new(), macros: BTreeMap::new() };
    let items = parse(&format!("{folder}/lib.rs"))?;
    let root = Module { is_public: true, conditions: Vec::new(), items: Vec::new() };
    loader.add(Vec::new(), root, items, folder)?;
    Ok(loader.modules)
}

fn parse(path: &str) -> Result<Vec<Item>> {
    let file = syn::parse_file(&repo::read(path)?).with_context(|| format!("{path} is no Rust"))?;
    Ok(file.items)
}

struct Loader {
    modules: Modules,
    macros: BTreeMap<String, Macro>,
}

impl Loader {
    /// Adds a module, whose own modules are in `folder`.
    fn add(&mut self, path: Vec<String>, mut module: Module, items: Vec<Item>, folder: &str) -> Result<()> {
        let mut items = std::collections::VecDeque::from(items);
        while let Some(item) = items.pop_front() {
            match item {
                item if attributes(&item).iter().any(is_for_tests) => {}
                Item::Mod(below) => {
                    let name = below.ident.to_string();
                    let inner = format!("{folder}/{name}");
                    let content = match below.content {
                        Some((_, items)) => items,
                        None => parse(&format!("{inner}.rs"))?,
                    };
                    let own =
                        below.attrs.iter().filter(|attribute| attribute.path().is_ident("cfg")).cloned();
                    let new = Module {
                        is_public: module.is_public && is_public(&below.vis),
                        conditions: module.conditions.iter().cloned().chain(own).collect(),
                        items: Vec::new(),
                    };
                    self.add([path.as_slice(), &[name]].concat(), new, content, &inner)?;
                }
                Item::Macro(call) => match call.ident {
                    Some(name) => match Macro::parse(call.mac.tokens) {
                        Ok(definition) => drop(self.macros.insert(name.to_string(), definition)),
                        Err(error) => bail!("the macro `{name}` cannot be read: {error:#}"),
                    },
                    None => {
                        let name = call.mac.path.segments.last().map(|last| last.ident.to_string());
                        let name = name.unwrap_or_default();
                        let known = self.macros.get(&name);
                        let known = known.with_context(|| format!("the macro `{name}` is not known"))?;
                        let made = known
                            .expand(call.mac.tokens)
                            .with_context(|| format!("`{name}!` cannot be expanded"))?;
                        let made = syn::parse2::<syn::File>(made)?.items;
                        made.into_iter().rev().for_each(|item| items.push_front(item));
                    }
                },
                item => module.items.push(item),
            }
        }
        self.modules.insert(path, module);
        Ok(())
    }
}

/// What a path leads to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Found {
    /// An item with this name, in the module with this path.
    Item(Vec<String>, String),
    /// The module with this path.
    Module(Vec<String>),
    /// Another crate.
    Elsewhere,
}

/// Follows a path that is used in a module.
pub(super) fn follow(modules: &Modules, from: &[String], path: &[String]) -> Found {
    follow_at_most(modules, from, path, 16)
}

fn follow_at_most(modules: &Modules, from: &[String], path: &[String], steps: u8) -> Found {
    let Some((first, rest)) = path.split_first() else { return Found::Module(from.to_vec()) };
    if steps == 0 {
        return Found::Elsewhere;
    }
    let next = |from: &[String]| follow_at_most(modules, from, rest, steps - 1);
    match first.as_str() {
        "crate" => return next(&[]),
        "self" => return next(from),
        "super" => return next(&from[..from.len().saturating_sub(1)]),
        _ => {}
    }
    let below = [from, core::slice::from_ref(first)].concat();
    if modules.contains_key(&below) {
        return next(&below);
    }
    let Some(module) = modules.get(from) else { return Found::Elsewhere };
    if rest.is_empty() && module.items.iter().any(|item| name(item).as_ref() == Some(first)) {
        return Found::Item(from.to_vec(), first.clone());
    }
    for item in &module.items {
        let Item::Use(item) = item else { continue };
        for leaf in leaves(&item.tree) {
            let target = match &leaf.name {
                Some(name) if name == first => [leaf.path.as_slice(), rest].concat(),
                None => [leaf.path.as_slice(), path].concat(),
                Some(_) => continue,
            };
            // A path of the module itself would lead in a circle.
            if target != path
                && let found @ (Found::Item(..) | Found::Module(_)) =
                    follow_at_most(modules, from, &target, steps - 1)
            {
                return found;
            }
        }
    }
    Found::Elsewhere
}

/// One of the names that a `use` brings.
#[derive(Debug)]
pub(super) struct Leaf {
    pub(super) path: Vec<String>,
    /// As what it is known from then on; `None` for `*`, where `path` is what the star is in.
    pub(super) name: Option<String>,
}

/// Takes a `use` apart.
pub(super) fn leaves(tree: &UseTree) -> Vec<Leaf> {
    fn walk(tree: &UseTree, path: &mut Vec<String>, found: &mut Vec<Leaf>) {
        let mut add = |path: &[String], last: String, name: String| match last.as_str() {
            "self" => found.push(Leaf { path: path.to_vec(), name: path.last().cloned() }),
            _ => found.push(Leaf { path: [path, &[last]].concat(), name: Some(name) }),
        };
        match tree {
            UseTree::Path(tree) => {
                path.push(tree.ident.to_string());
                walk(&tree.tree, path, found);
                path.pop();
            }
            UseTree::Name(tree) => add(path, tree.ident.to_string(), tree.ident.to_string()),
            UseTree::Rename(tree) => add(path, tree.ident.to_string(), tree.rename.to_string()),
            UseTree::Glob(_) => found.push(Leaf { path: path.clone(), name: None }),
            UseTree::Group(tree) => tree.items.iter().for_each(|tree| walk(tree, path, found)),
        }
    }
    let mut found = Vec::new();
    walk(tree, &mut Vec::new(), &mut found);
    found
}

/// The name of an item that has one.
pub(super) fn name(item: &Item) -> Option<String> {
    Some(match item {
        Item::Const(item) => item.ident.to_string(),
        Item::Enum(item) => item.ident.to_string(),
        Item::Fn(item) => item.sig.ident.to_string(),
        Item::Static(item) => item.ident.to_string(),
        Item::Struct(item) => item.ident.to_string(),
        Item::Trait(item) => item.ident.to_string(),
        Item::Type(item) => item.ident.to_string(),
        Item::Union(item) => item.ident.to_string(),
        _ => return None,
    })
}

/// Who may see an item; `None` for what has no say in it.
pub(super) fn visibility(item: &Item) -> Option<&Visibility> {
    Some(match item {
        Item::Const(item) => &item.vis,
        Item::Enum(item) => &item.vis,
        Item::Fn(item) => &item.vis,
        Item::Static(item) => &item.vis,
        Item::Struct(item) => &item.vis,
        Item::Trait(item) => &item.vis,
        Item::Type(item) => &item.vis,
        Item::Union(item) => &item.vis,
        Item::Use(item) => &item.vis,
        _ => return None,
    })
}

pub(super) fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

pub(super) fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn is_for_tests(attribute: &Attribute) -> bool {
    attribute.path().is_ident("cfg")
        && attribute.meta.require_list().is_ok_and(|list| list.tokens.to_string() == "test")
}
