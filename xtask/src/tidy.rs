//! The promises that rot silently, each as a function that lists where it is broken, and as a test of the same name.

mod crates;
mod endpoints;
mod text;

use anyhow::{Result, bail};

/// Lists what breaks a promise.
type Rule = fn() -> Result<Vec<String>>;

macro_rules! rules {
    ($($module:ident::$rule:ident,)*) => {
        const RULES: &[(&str, Rule)] = &[$((stringify!($rule), $module::$rule),)*];

        #[cfg(test)]
        mod tests {
            $(
                #[test]
                fn $rule() {
                    let broken = super::$module::$rule().unwrap();
                    assert!(broken.is_empty(), "\n  {}\n", broken.join("\n  "));
                }
            )*
        }
    };
}

rules! {
    crates::direct_dependencies_equal_the_allow_list,
    crates::arrows_point_down_in_tests_too,
    crates::the_model_builds_on_data_alone,
    crates::the_client_without_its_driver_knows_no_io,
    crates::the_model_is_no_std,
    crates::a_name_from_below_stays_in_its_file,
    endpoints::every_endpoint_file_is_in_the_list,
    endpoints::method_and_path_are_unique,
    endpoints::every_endpoint_has_a_success_and_a_refusal,
    text::captured_fixtures_say_where_they_are_from,
    text::paths_named_in_docs_exist,
    text::modules_are_files_beside_their_folder,
    text::no_test_is_ignored_or_expects_a_panic,
    text::no_file_names_the_machine_it_was_written_on,
}

/// Checks all of them.
pub(crate) fn run() -> Result<()> {
    let mut broken = String::new();
    for (name, rule) in RULES {
        let places = rule()?;
        if !places.is_empty() {
            broken.push_str(&format!("\n{name}:\n  {}", places.join("\n  ")));
        }
    }
    if !broken.is_empty() {
        bail!("not tidy:{broken}");
    }
    println!("{} promises are kept", RULES.len());
    Ok(())
}
