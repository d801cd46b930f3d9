//! The tables that give flows their meaning, read anew when their files change.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use serde::Deserialize;

use super::asn::AsTable;
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

/// What tells one state of a file from another: `None` if it is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    file: u64,
    bytes: u64,
    changed: (i64, i64),
}

impl Stamp {
    fn of(of: &Metadata) -> Self {
        Self { file: of.ino(), bytes: of.len(), changed: (of.mtime(), of.mtime_nsec()) }
    }
}

/// Whether the files are others than those that were read.
#[derive(Debug)]
pub(crate) struct Changes {
    files: Vec<PathBuf>,
    read: Vec<Option<Stamp>>,
    seen: Vec<Option<Stamp>>,
}

impl Changes {
    /// Of the configuration's files, as they are now. Call it before they are read.
    pub(crate) fn new(config: &Config) -> Self {
        let named = [&config.asn_file, &config.names_file].into_iter();
        let files: Vec<PathBuf> = named.filter(|f| !f.as_os_str().is_empty()).cloned().collect();
        let now = stamps(&files);
        Self { files, read: now.clone(), seen: now }
    }

    /// Whether to read them again: they changed, and did not since the last look, so that no file is
    /// read while it is written.
    pub(crate) fn look(&mut self) -> bool {
        let now = stamps(&self.files);
        self.judge(now)
    }

    fn judge(&mut self, now: Vec<Option<Stamp>>) -> bool {
        let due = now != self.read && now == self.seen;
        if due {
            self.read.clone_from(&now);
        }
        self.seen = now;
        due
    }
}

fn stamps(files: &[PathBuf]) -> Vec<Option<Stamp>> {
    files.iter().map(|file| std::fs::metadata(file).ok().map(|of| Stamp::of(&of))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::address_bytes;

    fn stamp(bytes: u64) -> Option<Stamp> {
        Some(Stamp { file: 1, bytes, changed: (1, 1) })
    }

    #[test]
    fn a_file_is_read_again_once_it_rests() {
        let mut changes = Changes { files: vec![], read: vec![stamp(1)], seen: vec![stamp(1)] };
        assert!(!changes.judge(vec![stamp(1)]));
        // It is being written.
        assert!(!changes.judge(vec![stamp(2)]));
        assert!(!changes.judge(vec![stamp(3)]));
        assert!(changes.judge(vec![stamp(3)]));
        assert!(!changes.judge(vec![stamp(3)]));
        // It goes, and comes again as it was.
        assert!(!changes.judge(vec![None]));
        assert!(!changes.judge(vec![stamp(3)]));
        assert!(!changes.judge(vec![stamp(3)]));
        assert!(!changes.judge(vec![None]));
        assert!(changes.judge(vec![None]));
    }

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
