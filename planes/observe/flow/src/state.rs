//! What a restart must not lose: templates, samplers and names, as a document.
//!
//! Exporters send templates every few minutes; without this all that comes in between after a
//! restart would wait or be lost. The format is in `docs/flow.md`. A document is as hostile as a
//! datagram: it goes through the same bounds, and what does not fit is counted.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::decoder::{Decoder, Opened};
use crate::exporter::{Domain, DomainKey, Exporter, Protocol, insert_bounded};
use crate::names::{NameKey, Names};
use crate::plan::FieldSpec;
use crate::read::{address_bytes, address_of};
use crate::templated::{Learnt, learn};

/// The version of the document that is written and read.
const VERSION: u32 = 1;

/// All that decoders know of their exporters.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlowState {
    version: u32,
    exporters: Vec<ExporterState>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExporterState {
    from: SocketAddr,
    heard_ns: i64,
    domains: Vec<DomainState>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DomainState {
    protocol: Protocol,
    id: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    agent: Option<std::net::IpAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rate: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    init_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    templates: Vec<TemplateState>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    samplers: Vec<(u32, u32)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    interface_rates: Vec<(u32, u32)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    interfaces: Vec<(u32, String)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    applications: Vec<(u64, String)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    vrfs: Vec<(u32, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TemplateState {
    id: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scope: Option<u16>,
    /// Enterprise number, element, length.
    fields: Vec<(u32, u16, u16)>,
}

/// Why a document was not read.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// It is no document of flow state.
    #[error(
        "the flow state does not parse ({0}); it is left alone, templates come anew in minutes"
    )]
    Malformed(#[from] serde_json::Error),
    /// It is of a version that this build does not know.
    #[error("the flow state is of version {0}, this build knows {VERSION}; it is left alone")]
    Version(u32),
}

impl FlowState {
    /// Joins what several decoders know. Of two that know the same exporter, who heard it last wins.
    pub fn join(states: impl IntoIterator<Item = Self>) -> Self {
        let mut exporters: Vec<ExporterState> =
            states.into_iter().flat_map(|state| state.exporters).collect();
        exporters.sort_by_key(|exporter| (exporter.from, -exporter.heard_ns));
        exporters.dedup_by_key(|exporter| exporter.from);
        Self { version: VERSION, exporters }
    }

    /// How many exporters it knows.
    pub fn len(&self) -> usize {
        self.exporters.len()
    }

    /// Whether it knows none.
    pub fn is_empty(&self) -> bool {
        self.exporters.is_empty()
    }

    /// The document.
    ///
    /// # Errors
    /// None of the types fails to serialise; the error is serde's signature.
    pub fn to_json(&self) -> Result<Vec<u8>, StateError> {
        Ok(serde_json::to_vec(self)?)
    }

    /// Reads a document.
    ///
    /// # Errors
    /// [`StateError`] says why not.
    pub fn from_json(json: &[u8]) -> Result<Self, StateError> {
        let state: Self = serde_json::from_slice(json)?;
        if state.version != VERSION {
            return Err(StateError::Version(state.version));
        }
        Ok(state)
    }
}

impl Decoder {
    /// What it knows of its exporters.
    pub fn export_state(&self) -> FlowState {
        let exporters = self.known().map(|exporter| exporter_state(exporter, &self.names));
        FlowState { version: VERSION, exporters: exporters.collect() }
    }

    /// Takes over what another decoder knew. What this one learnt itself since stays.
    pub fn import_state(&mut self, state: &FlowState) {
        for exporter in &state.exporters {
            let Some(opened) = self.open(exporter.from) else { continue };
            import_exporter(opened, exporter);
        }
    }
}

fn exporter_state(exporter: &Exporter, names: &Names) -> ExporterState {
    ExporterState {
        from: exporter.from,
        heard_ns: exporter.heard_ns,
        domains: exporter.domains.iter().map(|domain| domain_state(domain, names)).collect(),
    }
}

fn domain_state(domain: &Domain, names: &Names) -> DomainState {
    let text = |key: &NameKey| names.text(*key).unwrap_or_default().to_owned();
    let templates = domain.templates.iter().map(|(id, template)| TemplateState {
        id: *id,
        scope: template.scope,
        fields: template.fields.iter().map(|f| (f.enterprise, f.id, f.length)).collect(),
    });
    let agent = domain.key.agent;
    DomainState {
        protocol: domain.key.protocol,
        id: domain.key.id,
        agent: (agent != [0; 16]).then(|| address_of(agent)),
        rate: domain.rate,
        init_ms: domain.init_ms,
        templates: templates.collect(),
        samplers: domain.samplers.iter().map(|(id, rate)| (*id, *rate)).collect(),
        interface_rates: domain.interface_rates.iter().map(|(id, rate)| (*id, *rate)).collect(),
        interfaces: domain.interfaces.iter().map(|(id, key)| (*id, text(key))).collect(),
        applications: domain.applications.iter().map(|(id, key)| (*id, text(key))).collect(),
        vrfs: domain.vrfs.iter().map(|(id, key)| (*id, text(key))).collect(),
    }
}

fn import_exporter(opened: Opened<'_>, state: &ExporterState) {
    let Opened { exporter, limits, names, fields } = opened;
    exporter.heard_ns = exporter.heard_ns.max(state.heard_ns);
    let from = exporter.from.ip();
    for told in &state.domains {
        let agent = told.agent.map_or([0; 16], address_bytes);
        let key = DomainKey { protocol: told.protocol, id: told.id, agent };
        let Some(index) = exporter.domain(&key, limits) else {
            exporter.counters.domains_refused += 1;
            continue;
        };
        let Some(domain) = exporter.domains.get_mut(index) else { continue };
        domain.rate = domain.rate.or(told.rate);
        domain.init_ms = domain.init_ms.or(told.init_ms);
        for template in &told.templates {
            if domain.templates.contains_key(&template.id) {
                continue;
            }
            let spec = |(enterprise, id, length): &(u32, u16, u16)| FieldSpec {
                enterprise: *enterprise,
                id: *id,
                length: *length,
            };
            let specs = template.fields.iter().map(spec).collect();
            if learn(domain, template.id, specs, template.scope, limits, (from, fields))
                == Learnt::Refused
            {
                exporter.counters.templates_refused += 1;
            }
        }
        let most = limits.max_options;
        import_rates(&mut domain.samplers, &told.samplers, most);
        import_rates(&mut domain.interface_rates, &told.interface_rates, most);
        import_names(&mut domain.interfaces, &told.interfaces, names, most);
        import_names(&mut domain.applications, &told.applications, names, most);
        import_names(&mut domain.vrfs, &told.vrfs, names, most);
    }
}

fn import_rates(map: &mut hashbrown::HashMap<u32, u32>, told: &[(u32, u32)], most: usize) {
    for (id, rate) in told {
        if !map.contains_key(id) {
            insert_bounded(map, *id, *rate, most);
        }
    }
}

fn import_names<K: std::hash::Hash + Eq + Copy>(
    map: &mut hashbrown::HashMap<K, NameKey>,
    told: &[(K, String)],
    names: &mut Names,
    most: usize,
) {
    for (id, name) in told {
        if !map.contains_key(id)
            && let Some(key) = names.key_of_bytes(name.as_bytes())
        {
            insert_bounded(map, *id, key, most);
        }
    }
}
