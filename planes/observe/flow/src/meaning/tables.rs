//! The tables that give flows their meaning, read anew when their files change.

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use holm_asn::{AsTable, FileChanges};
use serde::Deserialize;

use super::enrich::{Enricher, ExporterName, Network};
use crate::config::Config;

/// Most bytes of a file of names.
const MAX_BYTES: u64 = 64 << 20;

/// The tables as they are now, for who gives flows their meaning; replaced while flows come.
#[derive(Debug, Default)]
pub struct Tables(RwLock<Arc<Enricher>>);

impl Tables {
    /// With those tables.
    pub fn new(enricher: Enricher) -> Self {
        Self(RwLock::new(Arc::new(enricher)))
    }

    /// The tables now.
    pub fn now(&self) -> Arc<Enricher> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts others in their place: flows that come from then on have their meaning.
    pub fn replace(&self, enricher: Enricher) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(enricher);
    }
}

/// What was read of the configuration and its files.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) enricher: Enricher,
    /// What exporters are called.
    pub(crate) exporters: Vec<ExporterName>,
    /// Why something is not in them.
    pub(crate) missing: Option<String>,
}

/// A file of names.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct NamesFile {
    networks: Vec<Network>,
    exporters: Vec<ExporterName>,
}

/// Reads all tables. What cannot be read is left out and said.
pub(crate) fn load(config: &Config) -> Loaded {
    let mut missing = Vec::new();
    let mut systems = None;
    if !config.asn_file.as_os_str().is_empty() {
        match AsTable::open(&config.asn_file) {
            Ok(table) => {
                let (prefixes, passed) = table.size();
                tracing::info!(prefixes, passed, "the table of autonomous systems is read");
                systems = Some(table);
            }
            Err(error) => missing.push(error.to_string()),
        }
    }
    let (mut networks, mut exporters) = (config.networks.clone(), config.exporters.clone());
    if !config.names_file.as_os_str().is_empty() {
        match names_of(&config.names_file) {
            // Behind those of the configuration: of the same prefix or address they count.
            Ok(names) => {
                networks.extend(names.networks);
                exporters.extend(names.exporters);
            }
            Err(error) => missing.push(error),
        }
    }
    let enricher = Enricher::new(&networks, &exporters, systems).unwrap_or_else(|error| {
        // The configuration was checked, and so was each network of the file.
        missing.push(error);
        Enricher::default()
    });
    let missing = (!missing.is_empty()).then(|| missing.join("; "));
    Loaded { enricher, exporters, missing }
}

fn names_of(path: &Path) -> Result<NamesFile, String> {
    let failed = |what: &dyn std::fmt::Display| {
        format!("names_file {}: {what}", path.display().to_string().trim_end())
    };
    let size = std::fs::metadata(path).map_err(|error| failed(&error))?.len();
    if size > MAX_BYTES {
        return Err(failed(&format!("it has {size} bytes; {MAX_BYTES} at most are read")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| failed(&error))?;
    let names: NamesFile =
        toml::from_str(&text).map_err(|error| failed(&error.to_string().trim_end()))?;
    Enricher::new(&names.networks, &names.exporters, None).map_err(|error| failed(&error))?;
    Ok(names)
}

/// Whether the configuration's files are others than those that were read. Call it before they are read.
pub(crate) fn changes_of(config: &Config) -> FileChanges {
    let named = [&config.asn_file, &config.names_file].into_iter();
    FileChanges::new(named.filter(|file| !file.as_os_str().is_empty()).cloned().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use holm_asn::address_bytes;

    #[test]
    fn a_file_of_names_goes_before_the_configuration_and_what_is_wrong_with_it_is_said() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("names.toml");
        let network = |prefix: &str, name: &str| Network {
            prefix: prefix.to_owned(),
            name: name.to_owned(),
            ..Network::default()
        };
        let config = Config {
            networks: vec![network("10.0.0.0/8", "inside"), network("10.1.0.0/16", "old")],
            names_file: file.clone(),
            ..Config::default()
        };
        let name = |loaded: &Loaded, address: &str| {
            let address = address_bytes(address.parse().expect("an address"));
            loaded.enricher.network_of(&address).map(str::to_owned)
        };
        let loaded = load(&config);
        assert!(loaded.missing.as_deref().is_some_and(|why| why.contains("names.toml")));
        assert_eq!(name(&loaded, "10.1.0.1").as_deref(), Some("old"));

        let text = "networks = [{ prefix = \"10.1.0.0/16\", name = \"new\" }]\n\
            exporters = [{ address = \"192.0.2.1\", name = \"edge\" }]\n";
        std::fs::write(&file, text).expect("written");
        let loaded = load(&config);
        assert_eq!((&loaded.missing, loaded.exporters.len()), (&None, 1));
        assert_eq!(name(&loaded, "10.1.0.1").as_deref(), Some("new"));
        assert_eq!(name(&loaded, "10.2.0.1").as_deref(), Some("inside"));

        for (text, part) in [
            ("networks = [{ prefix = \"10.1.0.0\" }]", "is no prefix"),
            ("colour = 1", "colour"),
            ("networks = 7", "line 1"),
        ] {
            std::fs::write(&file, text).expect("written");
            let loaded = load(&config);
            assert!(loaded.missing.as_deref().is_some_and(|why| why.contains(part)), "{loaded:?}");
            assert_eq!(name(&loaded, "10.1.0.1").as_deref(), Some("old"));
        }
    }
}
