//! Rules about the tree that no compiler and no kept tool checks, each as a function that lists where it is broken, and
//! as a test of the same name. Which crate may depend on which is in `.deny.toml`.

mod crates;
mod endpoints;
mod text;

use anyhow::{Result, bail};

/// Lists what breaks a rule.
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
    crates::dependencies_between_our_crates_are_fenced,
    crates::sans_io_crates_stand_on_no_io,
    crates::a_name_from_below_stays_in_its_file,
    crates::every_rust_file_is_a_module,
    crates::published_crates_have_what_crates_io_shows,
    endpoints::endpoints_are_unique_and_have_samples,
    text::captured_fixtures_say_where_they_are_from,
    text::paths_named_in_docs_exist,
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
    println!("{} rules are kept", RULES.len());
    Ok(())
}
