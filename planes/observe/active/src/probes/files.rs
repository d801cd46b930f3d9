//! Small files of this node that a probe reads when it runs: they may be written anew at any time.

use std::path::Path;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::AsyncReadExt;

use crate::config::Identity;

/// Longest file, in bytes.
const MAX_FILE: u64 = 256 << 10;

/// What a file holds.
pub(super) async fn read(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = async {
        let file = tokio::fs::File::open(path).await?;
        file.take(MAX_FILE + 1).read_to_end(&mut bytes).await
    };
    read.await.map_err(|error| format!("{}: {error}", path.display()))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(format!("{}: it is longer than {} KiB", path.display(), MAX_FILE >> 10));
    }
    Ok(bytes)
}

/// A client certificate with its chain, and its key.
pub(super) type Certificate = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// The certificate of an identity.
pub(super) async fn certificate(name: &str, identity: &Identity) -> Result<Certificate, String> {
    let refuse = |why: String| format!("the identity {name} cannot be used: {why}");
    let chain = read(Path::new(&identity.cert)).await.map_err(refuse)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&chain).collect();
    let chain = chain.ok().filter(|chain| !chain.is_empty());
    let chain = chain
        .ok_or_else(|| refuse(format!("{}: it holds no certificate in PEM", identity.cert)))?;
    let key = read(Path::new(&identity.key)).await.map_err(refuse)?;
    let key = PrivateKeyDer::from_pem_slice(&key)
        .map_err(|_| refuse(format!("{}: it holds no private key in PEM", identity.key)))?;
    Ok((chain, key))
}
