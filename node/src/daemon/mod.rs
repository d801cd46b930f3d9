//! The running node: everything that `holm up` keeps going.

mod alerts;
mod alerts_judge;
mod alerts_rows;
mod alerts_state;
mod changes;
mod credentials;
mod documents;
mod erasure;
mod flow;
mod forgotten;
mod freshness;
mod gitops;
mod incidents;
mod moments;
mod pages;
mod planes;
mod query;
mod roster;
mod rows;
mod signals;
mod slo;
mod slo_count;
mod state;
mod tenancy;
mod tenant;
mod tenants;
mod up;
mod views;

pub(crate) use alerts::{AlertError, AlertRule, View as AlertView, key_of, rounded, target_of};
pub(crate) use alerts_judge::Preview;
pub(crate) use alerts_state::{ActiveRecord, Shown};
pub(crate) use changes::{Deliveries, SourceChangeError};
pub(crate) use credentials::{ApiToken, Caller, CredentialError, Credentials, LOGIN_LINK_MS, Role};
pub(crate) use forgotten::ForgetError;
pub(crate) use freshness::SiteReport;
pub(crate) use gitops::{GitOps, author};
pub(crate) use incidents::ActError;
pub(crate) use moments::{Picture, StandsOn};
pub(crate) use pages::{
    ConnectorStanding, Defined, HearError, Hearing, Held, PageEdit, PageError, ReplayError,
};
pub(crate) use roster::{ROSTER_TENANT, Roster};
pub(crate) use slo::{Applied, Slo, SloError, SloJudged};
pub(crate) use state::{Change, NodeState, Topic};
pub(crate) use tenancy::{ENROLLED_FOR_MS, ErasureStanding, TenantStanding, TenantsFile, found};
pub(crate) use tenant::Tenant;
pub(crate) use tenants::Tenants;
pub(crate) use up::up;
pub(crate) use views::{Finding, ReachedWire, SIGNALS_TABLE, View, severity, subject_of, text_of};
