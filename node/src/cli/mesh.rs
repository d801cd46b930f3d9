//! `holm mesh`, `holm join`, `holm issuer`: how meshes and identities come to be, and what is let go of.

use std::io::Read;
use std::path::Path;

use anyhow::{Context, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use holm_certs::files::IdentityDir;
use holm_certs::{BundleMap, Issuer, IssuerRequest, NodeKey, RootAuthority, SpiffeId, TrustDomain};
use holm_model::Millis;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::{Client, ForgetArgs, JoinArgs, ListenArgs, MeshInitArgs, SignIssuerArgs};
use crate::api::mesh_types::{GoneView, NewGone};
use crate::config::Config;
use crate::identity::{MeshFile, WebNames};
use crate::layout::{Layout, write_file};

/// Between `holm issuer request` and `install`: the key that the request is for.
const WAITING_KEY: &str = "issuer-request-key.pem";
const REQUEST_BEGIN: &str = "-----BEGIN HOLM ISSUER REQUEST-----";
const REQUEST_END: &str = "-----END HOLM ISSUER REQUEST-----";

pub(super) fn init(args: &MeshInitArgs) -> anyhow::Result<()> {
    let layout = Layout::new(&args.dir);
    for path in [layout.mesh(), layout.config(), layout.root()] {
        if path.exists() {
            bail!(
                "{}: there is a mesh here already; name an empty folder with --dir, or enrol a further node with \
                 `holm token create` and `holm join`",
                path.display()
            );
        }
    }
    let domain = TrustDomain::new(&args.trust_domain)?;
    let now = Millis::now();
    let mut config = Config::default();
    config.node.site = args.site.clone();
    config.node.name = args.node.clone();
    config.node.tenants = vec![args.tenant.clone()];
    listen(&mut config, &args.listen);
    let config = Config::parse(&config.to_toml(), [])?;

    let root = RootAuthority::create(&domain, now)?;
    let issuer = root.create_issuer(now)?;
    let node_key = NodeKey::generate()?;
    let web_key = NodeKey::generate()?;
    let id = SpiffeId::node(&domain, &args.site, &args.node);
    let lifetime = config.identity.svid_lifetime;
    let svid = issuer.issue_svid(node_key.public_key(), &id, lifetime, now)?;
    let names = WebNames::of(&config);
    let lifetime = lifetime.max(crate::enrol::WEB_LIFETIME);
    let web = issuer.issue_web(web_key.public_key(), &names.dns, &names.ips, lifetime, now)?;

    let files = IdentityDir::create(&layout.identity())?;
    files.save_node_key(&node_key)?;
    files.save_svid(&svid)?;
    files.save_bundles(&BundleMap::of(root.bundle()?))?;
    files.save_issuer(&issuer)?;
    files.save_web_key(&web_key)?;
    files.save_web_chain(&web)?;
    let authority = crate::daemon::found(&layout, &args.tenant)?;
    let mesh_id: [u8; 16] = rand::random();
    let mesh_id = holm_mesh_link::MeshId(mesh_id).to_string();
    MeshFile { mesh_id, trust_domain: domain }.save(&layout)?;
    write_file(&layout.config(), config.to_toml().as_bytes(), false)
        .with_context(|| format!("{}: cannot be written", layout.config().display()))?;
    // Last: a folder with the root in it is a whole mesh.
    let root_file = IdentityDir::create(&layout.root())?.save_root(&root)?;
    println!("{id} is ready; start it with: holm up --dir {}", layout.dir().display());
    println!(
        "The mesh's root is {}: store it elsewhere and remove it here. No running node needs it; you need it to make \
         further issuers (`holm mesh sign-issuer`).",
        root_file.display()
    );
    println!(
        "Who has {} decides which site may have tenant {}: keep a copy of it in a safe place.",
        authority.display(),
        args.tenant
    );
    Ok(())
}

pub(super) async fn forget(args: &ForgetArgs) -> anyhow::Result<()> {
    let new = NewGone { site: args.site.clone(), node: args.node.clone() };
    let client = Client::new(&args.target)?;
    let gone: GoneView =
        client.post("/v1/mesh/gone", &new).await.context("nothing was forgotten")?;
    if args.target.json {
        println!("{}", serde_json::to_string_pretty(&gone)?);
        return Ok(());
    }
    match &gone.node {
        Some(node) => eprintln!("{}/{node} is forgotten, until it comes back.", gone.site),
        None => eprintln!(
            "{} is forgotten, until it comes back: nobody looks for it, and what it held open ended at {}. Its \
             certificates are as they were: to shut it out, use `holm revoke`.",
            gone.site, gone.at
        ),
    }
    Ok(())
}

pub(super) async fn join(args: JoinArgs) -> anyhow::Result<()> {
    let layout = Layout::new(&args.dir);
    let text = if args.token == "-" {
        let mut text = String::new();
        std::io::stdin().take(16 * 1024).read_to_string(&mut text)?;
        text.trim().to_owned()
    } else {
        args.token
    };
    let config = if layout.config().exists() {
        Config::load(&layout.config(), std::env::vars())?
    } else {
        let mut config = Config::default();
        listen(&mut config, &args.listen);
        Config::parse(&config.to_toml(), [])?
    };
    crate::enrol::join(&text, &layout, &args.node, config).await
}

fn listen(config: &mut Config, args: &ListenArgs) {
    if let Some(address) = args.mesh_listen {
        config.mesh.listen = address;
    }
    if let Some(address) = args.api_listen {
        config.api.listen = address;
    }
    config.mesh.advertise.clone_from(&args.mesh_advertise);
    config.api.names.clone_from(&args.api_name);
}

pub(super) fn request_issuer(dir: &Path, out: &Path) -> anyhow::Result<()> {
    let layout = Layout::new(dir);
    let files = IdentityDir::at(&layout.identity());
    // In its last third an issuer may be followed by the next: leaves never outlive it.
    let third_ms = u64::try_from(holm_certs::ISSUER_LIFETIME.as_millis()).unwrap_or(u64::MAX) / 3;
    if files.load_issuer()?.is_some_and(|issuer| issuer.not_after() > Millis::now() + third_ms) {
        bail!(
            "{}: this node is an issuer already, and for long enough; ask again in the last third of its year",
            layout.identity().display()
        );
    }
    let key = NodeKey::generate()?;
    let request = IssuerRequest::new(&key)?;
    write_file(&layout.identity().join(WAITING_KEY), key.to_pem().as_bytes(), true)?;
    let text = format!("{REQUEST_BEGIN}\n{}\n{REQUEST_END}\n", STANDARD.encode(request.der()));
    write_file(out, text.as_bytes(), false)
        .with_context(|| format!("{}: cannot be written", out.display()))?;
    println!(
        "{} is for the one who has the root: holm mesh sign-issuer --root DIR --out CERTIFICATE {}",
        out.display(),
        out.display()
    );
    Ok(())
}

pub(super) fn sign_issuer(args: &SignIssuerArgs) -> anyhow::Result<()> {
    let root = IdentityDir::at(&args.root).load_root()?;
    let text = std::fs::read_to_string(&args.request)
        .with_context(|| format!("{}: cannot be read", args.request.display()))?;
    let body = text
        .trim()
        .strip_prefix(REQUEST_BEGIN)
        .and_then(|rest| rest.strip_suffix(REQUEST_END))
        .with_context(|| format!("{}: not an issuer request", args.request.display()))?;
    let der = STANDARD.decode(body.trim()).with_context(|| {
        format!("{}: is damaged; make it again with `holm issuer request`", args.request.display())
    })?;
    let chain = root.sign_issuer(&IssuerRequest::parse(&der)?, Millis::now())?;
    let pem: String = chain
        .iter()
        .map(|certificate| {
            let text = STANDARD.encode(certificate);
            format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
        })
        .collect();
    write_file(&args.out, pem.as_bytes(), false)
        .with_context(|| format!("{}: cannot be written", args.out.display()))?;
    println!("On the node: holm issuer install --dir DIR {}", args.out.display());
    Ok(())
}

pub(super) fn install_issuer(dir: &Path, certificate: &Path) -> anyhow::Result<()> {
    let layout = Layout::new(dir);
    let waiting = layout.identity().join(WAITING_KEY);
    let pem = std::fs::read_to_string(&waiting).with_context(|| {
        format!(
            "{}: cannot be read; make a request first (`holm issuer request`)",
            waiting.display()
        )
    })?;
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("{}: cannot be read as PEM", certificate.display()))?;
    let issuer = Issuer::install(NodeKey::from_pem(&pem)?, chain, Millis::now())?;
    let domain = MeshFile::load(&layout)?.trust_domain;
    if *issuer.trust_domain() != domain {
        bail!("the certificate is of the mesh {}, this node of {domain}", issuer.trust_domain());
    }
    IdentityDir::at(&layout.identity()).save_issuer(&issuer)?;
    std::fs::remove_file(&waiting)?;
    println!("This node issues certificates from its next start on.");
    Ok(())
}
