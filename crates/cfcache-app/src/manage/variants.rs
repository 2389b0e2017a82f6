//! The variants setting.

use cfcache_model::endpoint::{ApiRequest, StoredVariants, Variants};

use crate::failure::Failure;
use crate::manage::{ManageReport, ManageResult, SettingChange, SettingsContext, is_unset};

pub(super) async fn get(context: &SettingsContext<'_>) -> Result<ManageReport, Failure> {
    match context.call(&ApiRequest::variants(&context.zone)).await {
        Ok(answer) => Ok(ManageReport::new(
            answer.raw,
            ManageResult::Variants(answer.result.value, SettingChange::Read),
        )),
        Err(error) if is_unset(&error) => {
            Ok(ManageReport::new("null", ManageResult::Variants(None, SettingChange::Read)))
        }
        Err(error) => Err(Failure::from_error(&error, "cannot read the variants")),
    }
}

/// Replaces all variants, unless they are already set like this.
pub(super) async fn set(context: &SettingsContext<'_>, variants: &Variants) -> Result<ManageReport, Failure> {
    if let Ok(before) = context.call(&ApiRequest::variants(&context.zone)).await
        && before.result.value.as_ref().is_some_and(|stored| is_same(stored, variants))
    {
        let result = ManageResult::Variants(before.result.value, SettingChange::Unchanged);
        return Ok(ManageReport::new(before.raw, result));
    }
    let answer = context
        .call(&ApiRequest::set_variants(&context.zone, variants))
        .await
        .map_err(|error| Failure::from_error(&error, "cannot set the variants"))?;
    Ok(ManageReport::new(answer.raw, ManageResult::Variants(answer.result.value, SettingChange::Set)))
}

pub(super) async fn delete(context: &SettingsContext<'_>) -> Result<ManageReport, Failure> {
    match context.call(&ApiRequest::delete_variants(&context.zone)).await {
        Ok(answer) => Ok(ManageReport::new(answer.raw, ManageResult::Variants(None, SettingChange::Deleted))),
        Err(error) if is_unset(&error) => {
            Ok(ManageReport::new("null", ManageResult::Variants(None, SettingChange::Unchanged)))
        }
        Err(error) => Err(Failure::from_error(&error, "cannot delete the variants")),
    }
}

/// Returns whether both have the same types for the same extensions; null means no types.
fn is_same(stored: &StoredVariants, variants: &Variants) -> bool {
    let stored: Vec<(&str, &[String])> = stored
        .iter()
        .filter_map(|(extension, types)| Some((extension.as_str(), types.as_deref()?)))
        .collect();
    let mut wanted: Vec<(&str, &[String])> = variants.rows().collect();
    wanted.sort_unstable();
    stored == wanted
}
