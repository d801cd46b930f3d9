//! The node's identity on disk, and the clients that trust it.

use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context, anyhow, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use holm_certs::files::IdentityDir;
use holm_certs::{Bundle, BundleMap, Identity, RootAuthority, TrustDomain};
use holm_mesh_link::MeshId;
use holm_model::Millis;
use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::layout::Layout;

/// Which mesh this is: `mesh.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MeshFile {
    /// Made at random by `holm mesh init`; two meshes of one trust domain still never mix.
    pub(crate) mesh_id: String,
    pub(crate) trust_domain: TrustDomain,
}

impl MeshFile {
    pub(crate) fn load(layout: &Layout) -> anyhow::Result<Self> {
        let path = layout.mesh();
        let bytes = std::fs::read(&path).with_context(|| {
            format!(
                "{}: cannot be read; make a mesh with `holm mesh init`, or enrol with `holm join`",
                path.display()
            )
        })?;
        serde_json::from_slice(&bytes).with_context(|| {
            format!("{}: is damaged; enrol again with `holm join`", path.display())
        })
    }

    /// The id, if it is 32 hex digits as it was written.
    pub(crate) fn mesh_id(&self) -> Option<MeshId> {
        let mut id = [0; 16];
        if self.mesh_id.len() != 32 || !self.mesh_id.is_ascii() {
            return None;
        }
        for (byte, digits) in id.iter_mut().zip(self.mesh_id.as_bytes().chunks_exact(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        }
        Some(MeshId(id))
    }

    pub(crate) fn save(&self, layout: &Layout) -> anyhow::Result<()> {
        let path = layout.mesh();
        crate::layout::write_file(&path, &serde_json::to_vec_pretty(self)?, false)
            .with_context(|| format!("{}: cannot be written", path.display()))
    }
}

/// The folder of the node's keys and certificates.
pub(crate) fn directory(layout: &Layout) -> IdentityDir {
    IdentityDir::at(&layout.identity())
}

/// The node's identity as it is on disk.
pub(crate) fn load(layout: &Layout, now: Millis) -> anyhow::Result<Identity> {
    let files = directory(layout);
    let identity = Identity::new(
        files.load_node_key()?,
        files.load_svid()?,
        files.load_bundles()?,
        files.load_revocations()?,
        now,
    )?;
    Ok(identity)
}

/// A client that trusts the mesh's own certificates.
pub(crate) fn client_config(layout: &Layout) -> anyhow::Result<rustls::ClientConfig> {
    let bundles = directory(layout).load_bundles()?;
    let bundle = bundles.iter().next().ok_or_else(|| {
        anyhow!("{}: has no bundle; enrol again with `holm join`", layout.identity().display())
    })?;
    trusting(bundle)
}

/// A client that trusts what `file` holds: bundles as the node stores them, or root certificates
/// in PEM.
pub(crate) fn client_config_from_file(file: &Path) -> anyhow::Result<rustls::ClientConfig> {
    let bytes =
        std::fs::read(file).with_context(|| format!("{}: cannot be read", file.display()))?;
    if bytes.starts_with(b"-----BEGIN") {
        let text = String::from_utf8(bytes)?;
        let root = RootAuthority::from_pem(&text);
        // The root's own file has its key too; any other PEM is taken as roots of no known domain.
        return match root {
            Ok(root) => trusting(&root.bundle()?),
            Err(_) => {
                let mut config = trusting(&roots_of(&text)?)?;
                // They may be the operator's: what browsers see must be what is checked.
                config.alpn_protocols.retain(|name| name == b"http/1.1");
                Ok(config)
            }
        };
    }
    let bundles = BundleMap::from_json(&bytes)
        .with_context(|| format!("{}: neither PEM nor bundles.json", file.display()))?;
    let bundle = bundles.iter().next().ok_or_else(|| anyhow!("{}: is empty", file.display()))?;
    trusting(bundle)
}

fn roots_of(pem: &str) -> anyhow::Result<Bundle> {
    use rustls::pki_types::pem::PemObject;
    let roots = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>()?;
    let domain = TrustDomain::new("operator.invalid")?;
    Ok(Bundle::new(&domain, roots, 1, 300)?)
}

fn trusting(bundle: &Bundle) -> anyhow::Result<rustls::ClientConfig> {
    Ok(holm_certs::trusted_client_config(bundle)?)
}

/// The names of the node's web certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WebNames {
    pub(crate) dns: Vec<String>,
    pub(crate) ips: Vec<IpAddr>,
}

impl WebNames {
    /// What the configuration names, this host's name, loopback, and the addresses it listens on.
    pub(crate) fn of(config: &Config) -> Self {
        let mut names =
            Self { dns: vec!["localhost".into()], ips: vec![IpAddr::from([127, 0, 0, 1])] };
        names.ips.push(std::net::Ipv6Addr::LOCALHOST.into());
        if let Ok(host) = std::fs::read_to_string("/proc/sys/kernel/hostname") {
            names.dns.push(host.trim().to_ascii_lowercase());
        }
        for name in &config.api.names {
            match name.parse() {
                Ok(ip) => names.ips.push(ip),
                Err(_) => names.dns.push(name.to_ascii_lowercase()),
            }
        }
        let listen = config.api.listen.ip();
        if listen.is_unspecified() {
            let own = if_addrs::get_if_addrs().unwrap_or_default();
            names.ips.extend(own.iter().map(if_addrs::Interface::ip));
        } else {
            names.ips.push(listen);
        }
        names.dns.retain(|name| rustls::pki_types::DnsName::try_from(name.as_str()).is_ok());
        names.ips.sort();
        names.ips.dedup();
        names.dns.sort();
        names.dns.dedup();
        // An issuer takes 64 names.
        names.ips.truncate(48);
        names.dns.truncate(16);
        names
    }
}

/// A chain as it travels in JSON: base64 of DER, leaf first.
pub(crate) fn chain_to_text(chain: &[CertificateDer<'_>]) -> Vec<String> {
    chain.iter().map(|certificate| STANDARD.encode(certificate)).collect()
}

/// Reads [`chain_to_text`].
pub(crate) fn chain_from_text(chain: &[String]) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    if chain.len() > holm_certs::MAX_CHAIN {
        bail!("a chain of {} certificates is longer than any of ours", chain.len());
    }
    let der = |text: &String| Ok(CertificateDer::from(STANDARD.decode(text)?));
    chain.iter().map(der).collect()
}
