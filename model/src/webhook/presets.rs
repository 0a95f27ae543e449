//! The table of providers: `presets.json`. Adding one is adding a row there.

use serde::Deserialize;

use super::definition::Definition;

/// The table as it stands.
pub const TABLE: &str = include_str!("presets.json");

/// A provider.
#[derive(Clone, Debug, Deserialize)]
pub struct Preset {
    /// What `webhook.configured` calls it.
    pub name: String,
    /// What people call it.
    pub title: String,
    /// How its requests are understood.
    pub definition: Definition,
}

/// The preset of a name.
#[must_use]
pub fn find(name: &str) -> Option<Preset> {
    all().into_iter().find(|preset| preset.name == name)
}

/// Every preset, in the order of the table.
#[must_use]
pub fn all() -> Vec<Preset> {
    serde_json::from_str(TABLE).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_table_is_a_definition_that_holds() {
        let presets: Vec<Preset> = serde_json::from_str(TABLE).unwrap();
        assert!(presets.len() >= 16);
        for preset in presets {
            assert_eq!(preset.definition.check(), Ok(()), "{}", preset.name);
        }
    }
}
