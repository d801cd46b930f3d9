//! `holm tenant`: which tenants the mesh has, and which site may have which.

use std::fmt::Write;

use anyhow::bail;
use clap::Subcommand;
use holm_model::{SiteId, TenantId};

use super::Target;
use super::client::Client;
use super::render::{Table, clean};
use crate::api::tenants_types::{
    ErasureView, GrantStateView, NewErasure, NewGrant, NewTenant, RightView, TenantList,
    TenantView, VerdictView,
};

#[derive(Debug, Subcommand)]
pub(crate) enum TenantCommand {
    /// Make a tenant, at a node that issues for the mesh; its authority's key stays there.
    Create {
        #[command(flatten)]
        target: Target,
        /// Its name.
        name: TenantId,
    },
    /// Grant a site a tenant, at the node that made the tenant.
    Grant {
        #[command(flatten)]
        target: Target,
        /// The tenant.
        name: TenantId,
        /// Who gets it.
        #[arg(long)]
        site: SiteId,
        /// What it allows; both unless given.
        #[arg(long, visible_alias = "right", value_delimiter = ',')]
        rights: Vec<RightView>,
        /// For how many days; ten years unless given.
        #[arg(long)]
        days: Option<u64>,
    },
    /// Take back every grant of a site in a tenant, at the node that made the tenant.
    Revoke {
        #[command(flatten)]
        target: Target,
        /// The tenant.
        name: TenantId,
        /// Who loses it.
        #[arg(long)]
        site: SiteId,
    },
    /// End a tenant: every node destroys its keys, documents and rows as soon as it hears of it. There
    /// is no way back.
    Erase {
        #[command(flatten)]
        target: Target,
        /// The tenant.
        name: TenantId,
        /// Yes, destroy it.
        #[arg(long)]
        yes: bool,
    },
    /// The tenants of the mesh, which site may have which, and how far erasures have come.
    List(Target),
}

pub(super) async fn run(command: TenantCommand) -> anyhow::Result<()> {
    match command {
        TenantCommand::Create { target, name } => {
            let new = NewTenant { name };
            let made: TenantView = Client::new(&target)?.post("/v1/tenants", &new).await?;
            print(&target, &made, |tenant| {
                let name = tenant.name.as_deref().map_or("?".into(), clean);
                format!(
                    "tenant {name} is made; add it to node.tenants in holm.toml here and at each site that you grant it \
                     to, and start these nodes again\nits authority's key is in this node's identity folder: keep a copy \
                     in a safe place\n"
                )
            })
        }
        TenantCommand::Grant { target, name, site, rights, days } => {
            let path = format!("/v1/tenants/{name}/grants");
            let new = NewGrant { site, rights, days };
            let tenant: TenantView = Client::new(&target)?.post(&path, &new).await?;
            print(&target, &tenant, tenant_text)
        }
        TenantCommand::Revoke { target, name, site } => {
            let client = Client::new(&target)?;
            client.delete(&format!("/v1/tenants/{name}/grants/{site}")).await?;
            let tenants: TenantList = client.get("/v1/tenants").await?;
            print(&target, &tenants, list_text)
        }
        TenantCommand::Erase { target, name, yes } => {
            if !yes {
                bail!(
                    "this destroys all that the mesh knows of tenant {name}, at every site, for good; to do so: holm tenant erase {name} --yes"
                );
            }
            let path = format!("/v1/tenants/{name}/erasure");
            let new = NewErasure { confirm: name };
            let tenant: TenantView = Client::new(&target)?.post(&path, &new).await?;
            print(&target, &tenant, tenant_text)
        }
        TenantCommand::List(target) => {
            let tenants: TenantList = Client::new(&target)?.get("/v1/tenants").await?;
            print(&target, &tenants, list_text)
        }
    }
}

fn print<T: serde::Serialize>(
    target: &Target,
    answer: &T,
    text: impl Fn(&T) -> String,
) -> anyhow::Result<()> {
    if target.json {
        println!("{}", serde_json::to_string_pretty(answer)?);
    } else {
        print!("{}", text(answer));
    }
    Ok(())
}

fn tenant_text(tenant: &TenantView) -> String {
    list_text(&TenantList { items: vec![tenant.clone()] })
}

fn list_text(tenants: &TenantList) -> String {
    let mut table = Table::new(["TENANT", "SITE", "REPLICATE", "QUERY"]);
    for tenant in &tenants.items {
        let name = tenant.name.clone().unwrap_or_else(|| format!("({})", tenant.tag));
        if tenant.sites.is_empty() {
            table.row([name.clone(), "-".into(), "-".into(), "-".into()]);
        }
        for site in &tenant.sites {
            table.row([
                name.clone(),
                site.site.to_string(),
                verdict(&site.replicate),
                verdict(&site.query),
            ]);
        }
    }
    let mut text = table.to_string();
    for tenant in &tenants.items {
        let Some(erasure) = &tenant.erasure else { continue };
        text.push_str(&erasure_text(tenant, erasure));
    }
    let mut waiting: Vec<&str> = tenants
        .items
        .iter()
        .flat_map(|tenant| &tenant.sites)
        .filter(|site| !site.known && site.replicate.state == GrantStateView::Granted)
        .map(|site| site.site.as_str())
        .collect();
    waiting.sort_unstable();
    waiting.dedup();
    if !waiting.is_empty() {
        let _ = writeln!(
            text,
            "no node is known here of {}: what was granted to it waits for one; is the name right?",
            waiting.join(", ")
        );
    }
    let unknown = tenants.items.iter().filter(|tenant| tenant.name.is_none()).count();
    if unknown > 0 {
        text.push_str(
            "tenants in brackets were not granted to this site: it does not know their names\n",
        );
    }
    text
}

fn erasure_text(tenant: &TenantView, erasure: &ErasureView) -> String {
    let name = tenant.name.as_deref().map_or_else(|| format!("({})", tenant.tag), clean);
    let done: Vec<String> =
        erasure.erased.iter().map(|erased| format!("{}/{}", erased.site, erased.node)).collect();
    let mut text = format!("tenant {name} was erased at {}", erasure.at);
    if !done.is_empty() {
        text.push_str(&format!("; destroyed, by their own word, at {}", done.join(", ")));
    }
    let missing: Vec<String> = erasure
        .missing
        .iter()
        .map(|missing| match &missing.key {
            Some(key) => {
                let short: String = key.chars().take(8).collect();
                format!("{}/{} (key {short})", missing.site, missing.node)
            }
            None => format!("{}/{}", missing.site, missing.node),
        })
        .collect();
    text.push_str(&if missing.is_empty() {
        ": finished\n".to_owned()
    } else {
        format!(
            "; NOT YET at {}: they do so when they hear of it; `holm revoke` puts out one that is gone for good, and its key with it\n",
            missing.join(", ")
        )
    });
    for site in &erasure.without_nodes {
        text.push_str(&format!(
            "  {site} was granted it, and no node of {site} is known here: none was sent its keys\n"
        ));
    }
    text
}

fn verdict(verdict: &VerdictView) -> String {
    let at = verdict.at.map_or(String::new(), |at| format!(" {at}"));
    match verdict.state {
        GrantStateView::Erased => format!("erased{at}"),
        GrantStateView::Expired => format!("expired{at}"),
        GrantStateView::Granted => format!("until{at}"),
        GrantStateView::NeverGranted => "no".into(),
        GrantStateView::NotYet => format!("from{at}"),
        GrantStateView::Revoked => format!("revoked{at}"),
    }
}
