//! Prints items as they look from outside: no bodies, no private fields, no comments.

use proc_macro2::Span;
use syn::punctuated::Punctuated;
use syn::{
    Attribute, Block, Expr, Field, Fields, File, FnArg, Ident, ImplItem, Item, ItemImpl, Meta, Pat,
    Signature, TraitItem, Type, Visibility,
};

use crate::public_api::load::is_public;

/// What stands where private fields are.
const PRIVATE: &str = "__: private,";
/// What stands in the body of a method that a trait provides.
const PROVIDED: &str = "provided";

/// Prints an item with the conditions that it is there on.
pub(super) fn print(mut item: Item, conditions: &[Attribute]) -> String {
    strip(&mut item);
    if let Some(attributes) = attributes_mut(&mut item) {
        attributes.splice(0..0, conditions.iter().cloned());
    }
    let text = prettyplease::unparse(&File {
        shebang: None,
        frontmatter: None,
        attrs: Vec::new(),
        items: vec![item],
    });
    let provided = format!("{{\n        {PROVIDED}\n    }}");
    let text = text.replace(&provided, "{ .. }").replace(PRIVATE, "// private fields");
    let line = |line: &str| match line.strip_suffix(" {}") {
        Some(start) => format!("{start};\n"),
        None => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

/// An implementation without what cannot be seen; `None` where nothing is left.
pub(super) fn outside(block: &ItemImpl) -> Option<ItemImpl> {
    let mut block = block.clone();
    if block.trait_.is_some() {
        // Which methods a trait has is known from the trait.
        block.items.retain(|item| matches!(item, ImplItem::Type(_)));
        return Some(block);
    }
    block.items.retain(|item| match item {
        ImplItem::Fn(item) => is_public(&item.vis) && !is_hidden(&item.attrs),
        ImplItem::Const(item) => is_public(&item.vis) && !is_hidden(&item.attrs),
        _ => false,
    });
    block.items.sort_by_key(|item| match item {
        ImplItem::Const(item) => (0, item.ident.to_string()),
        ImplItem::Fn(item) => (1, item.sig.ident.to_string()),
        _ => (2, String::new()),
    });
    (!block.items.is_empty()).then_some(block)
}

pub(super) fn is_hidden(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("doc")
            && attribute.meta.require_list().is_ok_and(|list| list.tokens.to_string() == "hidden")
    })
}

fn strip(item: &mut Item) {
    if let Some(attributes) = attributes_mut(item) {
        keep(attributes);
    }
    match item {
        Item::Const(item) => *item.expr = unknown(),
        Item::Static(item) => *item.expr = unknown(),
        Item::Fn(item) => {
            strip_inputs(&mut item.sig);
            *item.block = empty();
        }
        Item::Struct(item) => strip_fields(&mut item.fields),
        Item::Union(item) => item.fields.named.iter_mut().for_each(|field| keep(&mut field.attrs)),
        Item::Enum(item) => {
            for variant in &mut item.variants {
                keep(&mut variant.attrs);
                variant.fields.iter_mut().for_each(|field| keep(&mut field.attrs));
            }
        }
        Item::Trait(item) => item.items.iter_mut().for_each(strip_of_trait),
        Item::Impl(item) => item.items.iter_mut().for_each(strip_of_impl),
        _ => {}
    }
}

fn strip_of_trait(item: &mut TraitItem) {
    match item {
        TraitItem::Fn(item) => {
            keep(&mut item.attrs);
            strip_inputs(&mut item.sig);
            if let Some(block) = &mut item.default {
                let path = Ident::new(PROVIDED, Span::call_site());
                *block = syn::parse_quote!({ #path });
            }
        }
        TraitItem::Const(item) => {
            keep(&mut item.attrs);
            if let Some((_, value)) = &mut item.default {
                *value = unknown();
            }
        }
        TraitItem::Type(item) => keep(&mut item.attrs),
        _ => {}
    }
}

fn strip_of_impl(item: &mut ImplItem) {
    match item {
        ImplItem::Fn(item) => {
            keep(&mut item.attrs);
            strip_inputs(&mut item.sig);
            item.block = empty();
        }
        ImplItem::Const(item) => {
            keep(&mut item.attrs);
            item.expr = unknown();
        }
        ImplItem::Type(item) => keep(&mut item.attrs),
        _ => {}
    }
}

fn strip_fields(fields: &mut Fields) {
    match fields {
        Fields::Named(named) => {
            let all = named.named.len();
            named.named =
                core::mem::take(&mut named.named).into_iter().filter(|field| is_public(&field.vis)).collect();
            named.named.iter_mut().for_each(|field| keep(&mut field.attrs));
            if named.named.len() < all {
                named.named.push(syn::parse_quote!(__: private));
            }
        }
        Fields::Unnamed(unnamed) => {
            let outside = |mut field: Field| {
                keep(&mut field.attrs);
                if !is_public(&field.vis) {
                    field.vis = Visibility::Inherited;
                    field.ty = Type::Infer(syn::parse_quote!(_));
                }
                field
            };
            let fields = core::mem::take(&mut unnamed.unnamed).into_iter().map(outside);
            unnamed.unnamed = fields.collect::<Punctuated<_, _>>();
        }
        Fields::Unit => {}
    }
}

/// Whether a function changes what it was given to keep is its own affair.
fn strip_inputs(signature: &mut Signature) {
    for input in &mut signature.inputs {
        match input {
            FnArg::Receiver(receiver) => receiver.mutability = None,
            FnArg::Typed(input) => {
                if let Pat::Ident(name) = &mut *input.pat {
                    name.mutability = None;
                }
            }
        }
    }
}

/// Keeps the attributes that matter to who uses an item, and of `must_use` only that it is there.
fn keep(attributes: &mut Vec<Attribute>) {
    const KEPT: [&str; 7] = ["cfg", "default", "deprecated", "derive", "must_use", "non_exhaustive", "repr"];
    attributes.retain(|attribute| KEPT.iter().any(|kept| attribute.path().is_ident(kept)));
    for attribute in attributes.iter_mut().filter(|attribute| attribute.path().is_ident("must_use")) {
        attribute.meta = Meta::Path(attribute.path().clone());
    }
}

fn unknown() -> Expr {
    syn::parse_quote!(_)
}

fn empty() -> Block {
    syn::parse_quote!({})
}

fn attributes_mut(item: &mut Item) -> Option<&mut Vec<Attribute>> {
    Some(match item {
        Item::Const(item) => &mut item.attrs,
        Item::Enum(item) => &mut item.attrs,
        Item::Fn(item) => &mut item.attrs,
        Item::Impl(item) => &mut item.attrs,
        Item::Static(item) => &mut item.attrs,
        Item::Struct(item) => &mut item.attrs,
        Item::Trait(item) => &mut item.attrs,
        Item::Type(item) => &mut item.attrs,
        Item::Union(item) => &mut item.attrs,
        Item::Use(item) => &mut item.attrs,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(item: Item) -> String {
        print(item, &[])
    }

    #[test]
    fn what_is_private_does_not_show() {
        let item = syn::parse_quote! {
            /// Two.
            #[derive(Debug)]
            #[expect(clippy::exhaustive_structs, reason = "none")]
            pub struct Two { pub one: u8, two: Vec<u8> }
        };
        assert_eq!(
            printed(item),
            "#[derive(Debug)]\npub struct Two {\n    pub one: u8,\n    // private fields\n}\n"
        );
        assert_eq!(printed(syn::parse_quote! { pub struct Tag(String); }), "pub struct Tag(_);\n");
    }

    #[test]
    fn bodies_do_not_show() {
        let item =
            syn::parse_quote! { #[must_use = "or else"] pub const fn one<T: Copy>(mut two: T) -> u8 { 1 } };
        assert_eq!(printed(item), "#[must_use]\npub const fn one<T: Copy>(two: T) -> u8;\n");
        assert_eq!(printed(syn::parse_quote! { pub const ONE: u8 = 1; }), "pub const ONE: u8 = _;\n");
        let item = syn::parse_quote! { pub trait A { fn must(&self); fn may(&self) -> u8 { 1 } } };
        assert_eq!(printed(item), "pub trait A {\n    fn must(&self);\n    fn may(&self) -> u8 { .. }\n}\n");
    }

    #[test]
    fn of_an_implementation_the_public_part_shows_in_order() {
        let block = syn::parse_quote! {
            impl Two {
                pub fn two(&self) {}
                fn three(&self) {}
                pub fn one(&self) {}
            }
        };
        let block = Item::Impl(outside(&block).unwrap());
        assert_eq!(printed(block), "impl Two {\n    pub fn one(&self);\n    pub fn two(&self);\n}\n");
        assert!(outside(&syn::parse_quote! { impl Two { fn three(&self) {} } }).is_none());
        let block = syn::parse_quote! { impl fmt::Display for Two { fn fmt(&self) {} } };
        assert_eq!(printed(Item::Impl(outside(&block).unwrap())), "impl fmt::Display for Two;\n");
    }
}
