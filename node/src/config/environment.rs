//! `HOLM_<SECTION>_<KEY>`: one variable for every key of the file.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::{Config, ConfigError};

/// Variables that are not keys: of the command line, the tests, the demo.
const OTHER: &[&str] = &[
    "HOLM_DIR",
    "HOLM_CONFIG",
    "HOLM_URL",
    "HOLM_TOKEN",
    "HOLM_CA",
    "HOLM_CHROMIUM",
    "HOLM_NODE",
    "HOLM_VECTORS",
];
const OTHER_PREFIXES: &[&str] = &["HOLM_CONSOLE_", "HOLM_CUT_OFF_", "HOLM_DEMO_", "HOLM_TEST_"];

/// `config` with the variables among `environment` that name a key.
pub(super) fn apply(
    config: Config,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Config, ConfigError> {
    let overrides: Vec<(String, String)> = environment
        .into_iter()
        .filter(|(name, _)| name.starts_with("HOLM_") && !OTHER.contains(&name.as_str()))
        .filter(|(name, _)| !OTHER_PREFIXES.iter().any(|prefix| name.starts_with(prefix)))
        .collect();
    if overrides.is_empty() {
        return Ok(config);
    }
    let mut table = Table::try_from(&config).map_err(|error| ConfigError::Variable {
        name: "HOLM_*".into(),
        message: error.to_string(),
    })?;
    let mut keys = BTreeMap::new();
    collect("HOLM", &table, &mut Vec::new(), &mut keys);
    for (name, text) in overrides {
        let refuse = |message: String| ConfigError::Variable { name: name.clone(), message };
        let path = keys.get(&name).ok_or_else(|| refuse(unknown(&name, &keys)))?;
        let Some((key, sections)) = path.split_last() else { continue };
        let mut section = &mut table;
        for part in sections {
            section = section
                .get_mut(part)
                .and_then(Value::as_table_mut)
                .ok_or_else(|| refuse(format!("section {part} is not a table")))?;
        }
        let value = match section.get(key) {
            Some(Value::String(_)) => Value::String(text),
            _ => parse_value(&text).ok_or_else(|| {
                refuse(format!("\"{text}\" is not a TOML value for {}", path.join(".")))
            })?,
        };
        let before = section.insert(key.clone(), value);
        // One at a time, so that an error is that of this variable.
        if let Err(error) = Config::try_from_table(&table) {
            drop(before);
            return Err(refuse(error.message().to_owned()));
        }
    }
    Config::try_from_table(&table).map_err(|error| ConfigError::Variable {
        name: "HOLM_*".into(),
        message: error.to_string(),
    })
}

impl Config {
    fn try_from_table(table: &Table) -> Result<Self, toml::de::Error> {
        Value::Table(table.clone()).try_into()
    }
}

fn collect(
    prefix: &str,
    table: &Table,
    path: &mut Vec<String>,
    keys: &mut BTreeMap<String, Vec<String>>,
) {
    for (key, value) in table {
        let name = format!("{prefix}_{}", key.to_uppercase());
        path.push(key.clone());
        match value {
            Value::Table(section) => collect(&name, section, path, keys),
            _ => {
                keys.insert(name, path.clone());
            }
        }
        path.pop();
    }
}

fn parse_value(text: &str) -> Option<Value> {
    toml::from_str::<Table>(&format!("value = {text}")).ok()?.remove("value")
}

fn unknown(name: &str, keys: &BTreeMap<String, Vec<String>>) -> String {
    let nearest = keys.keys().min_by_key(|key| distance(name, key));
    match nearest {
        Some(nearest) => format!("no key has this name; the nearest is {nearest}"),
        None => "no key has this name".into(),
    }
}

/// Levenshtein distance, for the nearest name in an error.
pub(crate) fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let changed = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
