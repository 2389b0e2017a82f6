//! `variants`

use cfcache_model::endpoint::{DeleteVariants, EditVariants, GetVariants, StoredVariants, Variants};

use crate::command::setting::{SettingsContext, is_unset};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::human;

const NONE: &str = "no variants are set";

pub(super) async fn get(context: &SettingsContext<'_>) -> Result<Exit, Failure> {
    match context.call(&GetVariants::new(&context.zone)).await {
        Ok(answer) => print(context, &answer.raw, answer.result.value.as_ref()),
        Err(error) if is_unset(&error) => context.print("null", NONE),
        Err(error) => return Err(Failure::of(&error, "cannot read the variants")),
    }
    Ok(Exit::Accepted)
}

/// Replaces all of them; what is so already is left alone.
pub(super) async fn set(context: &SettingsContext<'_>, variants: &Variants) -> Result<Exit, Failure> {
    if let Ok(before) = context.call(&GetVariants::new(&context.zone)).await
        && before.result.value.as_ref().is_some_and(|stored| is_same(stored, variants))
    {
        context.print(&before.raw, "the variants are so already; nothing was changed");
        return Ok(Exit::Accepted);
    }
    let answer = context
        .call(&EditVariants::new(&context.zone, variants))
        .await
        .map_err(|error| Failure::of(&error, "cannot set the variants"))?;
    print(context, &answer.raw, answer.result.value.as_ref());
    Ok(Exit::Accepted)
}

pub(super) async fn delete(context: &SettingsContext<'_>) -> Result<Exit, Failure> {
    match context.call(&DeleteVariants::new(&context.zone)).await {
        Ok(answer) => context.print(&answer.raw, "the variants are deleted"),
        Err(error) if is_unset(&error) => context.print("null", "no variants were set; nothing was changed"),
        Err(error) => return Err(Failure::of(&error, "cannot delete the variants")),
    }
    Ok(Exit::Accepted)
}

fn print(context: &SettingsContext<'_>, raw: &str, stored: Option<&StoredVariants>) {
    if !context.is_human() {
        context.talk.data(raw);
        return;
    }
    let rows: Vec<Vec<String>> = stored
        .into_iter()
        .flatten()
        .filter_map(|(extension, types)| Some(vec![extension.clone(), types.as_ref()?.join(", ")]))
        .collect();
    match rows.is_empty() {
        true => context.talk.data(NONE),
        false => human::table(&["EXTENSION", "TYPES"], &rows).iter().for_each(|line| context.talk.data(line)),
    }
}

/// The same types for the same extensions; an entry that is null is none.
fn is_same(stored: &StoredVariants, variants: &Variants) -> bool {
    let stored: Vec<(&str, &[String])> = stored
        .iter()
        .filter_map(|(extension, types)| Some((extension.as_str(), types.as_deref()?)))
        .collect();
    let mut wanted: Vec<(&str, &[String])> = variants.rows().collect();
    wanted.sort_unstable();
    stored == wanted
}
