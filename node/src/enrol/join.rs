//! The joining node's side: from a token to a folder that `holm up` runs.

use anyhow::{Context, anyhow, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use holm_certs::files::IdentityDir;
use holm_certs::{Bundle, BundleMap, CertificateRequest, JoinToken, NodeKey, Revocation, Verifier};
use holm_model::{Millis, NodeName};

use super::{EnrolRequest, Enrolled, WebRequest, request_to_text};
use crate::cli::Client;
use crate::config::Config;
use crate::daemon::TenantsFile;
use crate::identity::{MeshFile, WebNames, chain_from_text};
use crate::layout::{Layout, write_file};

/// Enrols the node in `layout`. A node that is enrolled already keeps its key, its name and its
/// data: that is how one whose certificate has ended comes back.
pub(crate) async fn join(
    text: &str,
    layout: &Layout,
    node: &NodeName,
    mut config: Config,
) -> anyhow::Result<()> {
    let token = JoinToken::parse(text)?;
    let now = Millis::now();
    token.check(now)?;
    if let Ok(mesh) = MeshFile::load(layout) {
        token.check_mesh(&mesh.trust_domain)?;
    }
    let enrolled_before = layout.config().exists();
    if enrolled_before && config.node.site != *token.site() {
        bail!(
            "the token is for site {}, and {} is of site {}; make a token with `holm token create --site {}`, or name \
             another folder with --dir",
            token.site(),
            layout.dir().display(),
            config.node.site,
            config.node.site
        );
    }
    if !enrolled_before {
        config.node.site = token.site().clone();
        config.node.name = node.clone();
    }
    let files = IdentityDir::create(&layout.identity())?;
    let node_key = load_or_make(files.load_node_key(), |key| files.save_node_key(key))?;
    let web_key = load_or_make(files.load_web_key(), |key| files.save_web_key(key))?;
    let request = EnrolRequest {
        proof: token.proof(),
        node: config.node.name.clone(),
        csr: request_to_text(&CertificateRequest::new(&node_key)?),
        web: WebRequest {
            csr: request_to_text(&CertificateRequest::new(&web_key)?),
            names: WebNames::of(&config),
        },
    };
    let enrolled = ask_seeds(&token, &request).await?;
    let bundle = Bundle::from_jwks(token.trust_domain(), enrolled.certificates.bundle.as_bytes())?;
    if !bundle.root_keys().contains(&token.pins().root) {
        bail!("the answer's bundle does not have the root that the token pins; it was not taken");
    }
    let svid = chain_from_text(&enrolled.certificates.svid)?;
    let bundles = BundleMap::of(bundle);
    let verified = Verifier::verify(&svid, &bundles, now)
        .context("the answer's certificate is not valid; it was not taken")?;
    if verified.spki() != node_key.public_key().as_der() {
        bail!("the answer's certificate is for another key; it was not taken");
    }
    files.save_bundles(&bundles)?;
    files.save_svid(&svid)?;
    files.save_web_chain(&chain_from_text(&enrolled.certificates.web)?)?;
    save_revocations(&files, &bundles, &enrolled.revocations, now)?;
    save_tenants(layout, enrolled.tenancy)?;
    MeshFile { mesh_id: enrolled.mesh_id, trust_domain: token.trust_domain().clone() }
        .save(layout)?;
    if !enrolled_before {
        config.node.tenants = enrolled.tenants;
        config.mesh.seeds = enrolled.seeds;
        write_file(&layout.config(), config.to_toml().as_bytes(), false)
            .with_context(|| format!("{}: cannot be written", layout.config().display()))?;
    }
    println!(
        "{} is enrolled; start it with: holm up --dir {}",
        verified.spiffe_id(),
        layout.dir().display()
    );
    Ok(())
}

fn load_or_make(
    loaded: Result<NodeKey, holm_certs::files::FileError>,
    save: impl FnOnce(&NodeKey) -> Result<(), holm_certs::files::FileError>,
) -> anyhow::Result<NodeKey> {
    match loaded {
        Ok(key) => Ok(key),
        Err(error) if error.is_missing() => {
            let key = NodeKey::generate()?;
            save(&key)?;
            Ok(key)
        }
        Err(error) => Err(error.into()),
    }
}

/// Asks the token's seeds, best first. One that answers with a refusal ends it: another would
/// refuse the same token, or use it up twice.
async fn ask_seeds(token: &JoinToken, request: &EnrolRequest) -> anyhow::Result<Enrolled> {
    let mut unreachable = Vec::new();
    for seed in token.seeds() {
        let tls = holm_certs::pinned_client_config(&token.pins())?;
        let client = Client::with(&format!("https://{seed}"), None, tls)?;
        match client.post("/enroll", request).await {
            Ok(enrolled) => return Ok(enrolled),
            Err(error) if error.downcast_ref::<crate::cli::Refused>().is_some() => {
                return Err(error);
            }
            Err(error) => unreachable.push(format!("{error:#}")),
        }
    }
    Err(anyhow!(
        "no seed of the token answers: {}; the token is still good until its hour is over",
        unreachable.join("; ")
    ))
}

/// Names that are bound here stay: what a tenant is called is decided once.
fn save_tenants(layout: &Layout, enrolled: TenantsFile) -> anyhow::Result<()> {
    let mut file = TenantsFile::load(layout)?;
    for (name, tag) in enrolled.names.iter() {
        file.names.bind(name, tag)?;
    }
    file.statements = enrolled.statements;
    file.save(layout)
}

fn save_revocations(
    files: &IdentityDir,
    bundles: &BundleMap,
    revocations: &[String],
    now: Millis,
) -> anyhow::Result<()> {
    let mut set = files.load_revocations()?;
    for text in revocations {
        let revocation = Revocation::from_bytes(&STANDARD.decode(text)?)?;
        set.insert(&revocation, bundles, now)?;
    }
    Ok(files.save_revocations(&set)?)
}
