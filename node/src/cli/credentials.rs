//! Commands that make and end credentials.

use anyhow::Context;
use holm_model::{Millis, SiteId};

use super::render::{Table, age};
use super::{Client, RevokeArgs, Target};
use crate::api::types::{
    ApiTokenList, CreatedApiToken, CreatedJoinToken, JoinTokenList, LoginLink, NewApiToken,
    NewJoinToken, NewLoginLink, NewRevocation, RevocationView,
};
use crate::daemon::Role;

pub(super) async fn create_join_token(target: &Target, site: SiteId) -> anyhow::Result<()> {
    let client = Client::new(target)?;
    let created: CreatedJoinToken =
        client.post("/v1/join-tokens", &NewJoinToken { site: site.clone() }).await?;
    if target.json {
        println!("{}", serde_json::to_string_pretty(&created)?);
        return Ok(());
    }
    // The token alone on standard output, so that a script can take it.
    println!("{}", created.token);
    eprintln!(
        "This enrols one node for site {site}, once, until {}. On its machine: holm join TOKEN --dir DIR",
        created.expires_at
    );
    Ok(())
}

pub(super) async fn list_join_tokens(target: &Target) -> anyhow::Result<()> {
    let list: JoinTokenList = Client::new(target)?.get("/v1/join-tokens").await?;
    if target.json {
        println!("{}", serde_json::to_string_pretty(&list)?);
        return Ok(());
    }
    let mut table = Table::new(["ID", "SITE", "STATE", "EXPIRES"]);
    let now = Millis::now();
    for token in list.items {
        let state = match (token.used, token.expires_at.0 <= now) {
            (true, _) => "used",
            (false, true) => "expired",
            (false, false) => "open",
        };
        table.row([token.id, token.site.to_string(), state.into(), token.expires_at.to_string()]);
    }
    print!("{table}");
    Ok(())
}

pub(super) async fn create_api_token(
    target: &Target,
    name: String,
    role: Role,
) -> anyhow::Result<()> {
    let created: CreatedApiToken =
        Client::new(target)?.post("/v1/api-tokens", &NewApiToken { name, role }).await?;
    if target.json {
        println!("{}", serde_json::to_string_pretty(&created)?);
    } else {
        println!("{}", created.token);
        eprintln!("Token {} with role {role}, shown this once.", created.id);
    }
    Ok(())
}

pub(super) async fn list_api_tokens(target: &Target) -> anyhow::Result<()> {
    let list: ApiTokenList = Client::new(target)?.get("/v1/api-tokens").await?;
    if target.json {
        println!("{}", serde_json::to_string_pretty(&list)?);
        return Ok(());
    }
    let mut table = Table::new(["ID", "NAME", "ROLE", "AGE"]);
    for token in list.items {
        let age = age(Some(token.created_at), Millis::now());
        table.row([token.id, token.name, token.role.to_string(), age]);
    }
    print!("{table}");
    Ok(())
}

pub(super) async fn revoke_api_token(target: &Target, id: &str) -> anyhow::Result<()> {
    Client::new(target)?.delete(&format!("/v1/api-tokens/{id}")).await?;
    eprintln!("Token {id} is revoked.");
    Ok(())
}

pub(super) async fn login_link(target: &Target, role: Role) -> anyhow::Result<()> {
    let link: LoginLink =
        Client::new(target)?.post("/v1/login-links", &NewLoginLink { role }).await?;
    if target.json {
        println!("{}", serde_json::to_string_pretty(&link)?);
    } else {
        println!("{}", link.url);
        eprintln!("Opens the console once, until {}.", link.expires_at);
    }
    Ok(())
}

pub(super) async fn revoke_node(args: &RevokeArgs) -> anyhow::Result<()> {
    let revocation = NewRevocation {
        site: args.site.clone(),
        node: args.node.clone(),
        reason: args.reason.clone(),
    };
    let revoked: RevocationView = Client::new(&args.target)?
        .post("/v1/mesh/revocations", &revocation)
        .await
        .context("the node was not revoked")?;
    if args.target.json {
        println!("{}", serde_json::to_string_pretty(&revoked)?);
    } else {
        eprintln!(
            "{} is revoked: this node closed its connections, and every other does as it hears of it.",
            revoked.spiffe_id
        );
    }
    Ok(())
}
