//! `[rows]`: how much of what happened stays at this site, and where it goes from there.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use holm_model::{NodeName, SiteId, TenantId};
use serde::{Deserialize, Serialize};

/// How many rows stay at this site, per tenant.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Rows {
    /// Most bytes on disk.
    pub(crate) max_bytes: u64,
    /// Longest time that a row is kept.
    #[serde(with = "humantime_serde")]
    pub(crate) max_age: Duration,
    /// Bounds of single tables; a name that ends in `*`, such as `flow*`, is that of all tables that
    /// begin so: those of a plane.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) tables: BTreeMap<String, RowBounds>,
    /// Bounds of single tenants.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) tenants: BTreeMap<TenantId, TenantRows>,
    /// Where old files go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cold: Option<ColdRows>,
    /// Where every row goes as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) clickhouse: Option<ClickHouseRows>,
}

/// Storage that speaks S3's protocol.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ColdRows {
    /// `s3://bucket/prefix`.
    pub(crate) url: String,
    /// The service's own address, where it is not AWS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) region: Option<String>,
    /// A file with lines `aws_access_key_id = …` and `aws_secret_access_key = …`, as AWS's own has; the
    /// environment (`AWS_ACCESS_KEY_ID`, …) if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) credentials_file: Option<PathBuf>,
    /// Files whose latest row is older go.
    #[serde(with = "humantime_serde", default = "one_day")]
    pub(crate) after: Duration,
    /// How long rows are kept there.
    #[serde(with = "humantime_serde", default = "ninety_days")]
    pub(crate) max_age: Duration,
    /// Bytes of memory for what is read back.
    #[serde(default = "cold_cache_bytes")]
    pub(crate) cache_bytes: usize,
}

const fn one_day() -> Duration {
    Duration::from_secs(24 * 3_600)
}

const fn ninety_days() -> Duration {
    Duration::from_secs(90 * 24 * 3_600)
}

const fn cold_cache_bytes() -> usize {
    32 << 20
}

impl ColdRows {
    /// The storage for the objects of a tenant at this node.
    pub(crate) fn open(
        &self,
        tenant: &TenantId,
        site: &SiteId,
        node: &NodeName,
    ) -> anyhow::Result<holm_events::Cold> {
        let credentials = self.credentials_file.as_deref().map(credentials_in).transpose()?;
        let settings = holm_events::ColdSettings {
            url: self.url.clone(),
            endpoint: self.endpoint.clone(),
            region: self.region.clone(),
            credentials,
            below: format!("{tenant}/{site}/{node}"),
            after_ms: ms(self.after),
            max_age_ms: ms(self.max_age),
            cache_bytes: self.cache_bytes,
        };
        Ok(holm_events::Cold::new(settings)?)
    }
}

/// Key and secret of a file.
fn credentials_in(path: &std::path::Path) -> anyhow::Result<(String, String)> {
    let text = std::fs::read_to_string(path).with_context(|| {
        format!("rows.cold.credentials_file {}: cannot be read", path.display())
    })?;
    let value = |name: &str| {
        let lines = text.lines().filter_map(|line| line.split_once('='));
        let found =
            lines.map(|(key, value)| (key.trim(), value.trim())).find(|(key, _)| *key == name);
        let missing = || format!("rows.cold.credentials_file {}: has no {name}", path.display());
        found.map(|(_, value)| value.to_owned()).with_context(missing)
    };
    Ok((value("aws_access_key_id")?, value("aws_secret_access_key")?))
}

/// A ClickHouse that takes the rows of this node as well.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClickHouseRows {
    /// `https://host:8443`; `http://` to a loopback address alone.
    pub(crate) url: String,
    /// The database, which must be there.
    #[serde(default = "clickhouse_database")]
    pub(crate) database: String,
    #[serde(default = "clickhouse_user")]
    pub(crate) user: String,
    /// A file with the password alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) password_file: Option<PathBuf>,
    /// Certificates (PEM) that may have signed the server's, beside those of the system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ca_file: Option<PathBuf>,
    /// The tables that go there; a name that ends in `*` is that of all that begin so.
    #[serde(default = "all_tables")]
    pub(crate) tables: Vec<String>,
    /// The tenants whose rows go there; all of this node's if it is not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tenants: Option<Vec<TenantId>>,
    /// Whether tables and columns that are not there are made.
    #[serde(default = "yes")]
    pub(crate) create_tables: bool,
    /// Rows that could not be sent within this time are given up; so are those that are older at the start.
    #[serde(with = "humantime_serde", default = "three_days")]
    pub(crate) give_up_after: Duration,
}

fn clickhouse_database() -> String {
    "holm".to_owned()
}

fn clickhouse_user() -> String {
    "default".to_owned()
}

fn all_tables() -> Vec<String> {
    vec!["*".to_owned()]
}

const fn yes() -> bool {
    true
}

const fn three_days() -> Duration {
    Duration::from_secs(3 * 24 * 3_600)
}

impl ClickHouseRows {
    /// The outlet of a tenant at this node; `None` if its rows do not go there.
    pub(crate) fn open(
        &self,
        tenant: &TenantId,
        site: &SiteId,
        node: &NodeName,
    ) -> anyhow::Result<Option<holm_events::Outlet>> {
        if self.tenants.as_ref().is_some_and(|tenants| !tenants.contains(tenant)) {
            return Ok(None);
        }
        let settings = holm_events::OutletSettings {
            url: self.url.clone(),
            database: self.database.clone(),
            user: self.user.clone(),
            password_file: self.password_file.clone().unwrap_or_default(),
            ca_file: self.ca_file.clone().unwrap_or_default(),
            tables: self.tables.clone(),
            create_tables: self.create_tables,
            give_up_after_ms: ms(self.give_up_after),
            of: [tenant.to_string(), site.to_string(), node.to_string()],
        };
        Ok(Some(holm_events::Outlet::new(settings)?))
    }
}

/// Bounds that differ from those of all.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RowBounds {
    /// Most bytes on disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_bytes: Option<u64>,
    /// Longest time that a row is kept.
    #[serde(with = "humantime_serde", skip_serializing_if = "Option::is_none")]
    pub(crate) max_age: Option<Duration>,
}

/// Bounds of a tenant that differ from those of all.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TenantRows {
    /// Most bytes on disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_bytes: Option<u64>,
    /// Longest time that a row is kept.
    #[serde(with = "humantime_serde", skip_serializing_if = "Option::is_none")]
    pub(crate) max_age: Option<Duration>,
    /// As `rows.tables`, before those.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) tables: BTreeMap<String, RowBounds>,
}

impl Default for Rows {
    fn default() -> Self {
        Self {
            max_bytes: 512 << 20,
            max_age: Duration::from_secs(7 * 24 * 3_600),
            tables: BTreeMap::new(),
            tenants: BTreeMap::new(),
            cold: None,
            clickhouse: None,
        }
    }
}

impl Rows {
    /// The bounds of a tenant's store.
    pub(crate) fn limits(&self, tenant: &TenantId) -> holm_events::Limits {
        let own = self.tenants.get(tenant).cloned().unwrap_or_default();
        let max_bytes = own.max_bytes.unwrap_or(self.max_bytes);
        let max_age_ms = ms(own.max_age.unwrap_or(self.max_age));
        let tables = self.tables.iter().chain(&own.tables).map(|(name, bounds)| {
            let limits = holm_events::TableLimits {
                max_bytes: bounds.max_bytes.unwrap_or(max_bytes),
                max_age_ms: bounds.max_age.map_or(max_age_ms, ms),
            };
            (name.clone(), limits)
        });
        let tables = tables.collect();
        holm_events::Limits { max_bytes, max_age_ms, tables, ..holm_events::Limits::default() }
    }
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
