//! The other nodes of the mesh, kept over a restart: a node that starts while its seeds are away, or gone for good,
//! looks for everyone it knew, and tells from whom it is cut off.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use holm_mesh_link::{KnownNode, Mesh, PeerId};
use holm_model::{Millis, NodeName, SiteId};
use serde::{Deserialize, Serialize};

use super::state::NodeState;
use crate::layout::write_file;

/// Most nodes that are kept.
const MAX_NODES: usize = 10_000;
/// Largest file that is read, in bytes.
const MAX_BYTES: u64 = 16 * 1024 * 1024;
/// How often it is looked whether there are others.
const LOOK: Duration = Duration::from_secs(5);

/// A node as it stands in the file.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    site: SiteId,
    node: NodeName,
    peer_id: String,
    addresses: Vec<SocketAddr>,
    api_port: Option<u16>,
    started: Millis,
}

/// Tells the mesh whom it knew, and keeps the file as it is from then on.
pub(super) fn begin(state: &Arc<NodeState>, mesh: &Mesh) {
    let path = state.layout.known_nodes();
    match read(&path) {
        Ok(known) if known.is_empty() => {}
        Ok(known) => {
            tracing::info!(nodes = known.len(), "nodes that were known before are looked for");
            mesh.remember(known);
        }
        Err(error) => tracing::warn!(
            "{}: {error}; it is written anew, and until others are heard only the seeds are looked for",
            path.display()
        ),
    }
    tokio::spawn(keep(Arc::clone(state)));
}

fn read(path: &Path) -> Result<Vec<KnownNode>, String> {
    let size = match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(format!("it cannot be read ({error})")),
        Ok(file) => file.len(),
    };
    if size > MAX_BYTES {
        return Err(format!("it has {size} bytes, more than {MAX_BYTES}"));
    }
    let text = std::fs::read(path).map_err(|error| format!("it cannot be read ({error})"))?;
    let kept: Vec<Kept> =
        serde_json::from_slice(&text).map_err(|error| format!("it is damaged ({error})"))?;
    let known = kept.into_iter().take(MAX_NODES).filter_map(|kept| {
        Some(KnownNode {
            site: kept.site,
            node: kept.node,
            peer_id: kept.peer_id.parse::<PeerId>().ok()?,
            addresses: kept.addresses,
            api_port: kept.api_port,
            started: kept.started,
        })
    });
    Ok(known.collect())
}

/// `None` when there is nobody: what was known stays, for a node that hears nobody yet is not one that is alone.
fn text(mut known: Vec<KnownNode>) -> Option<Vec<u8>> {
    known.sort();
    let kept: Vec<Kept> = known
        .into_iter()
        .take(MAX_NODES)
        .map(|known| Kept {
            site: known.site,
            node: known.node,
            peer_id: known.peer_id.to_string(),
            addresses: known.addresses,
            api_port: known.api_port,
            started: known.started,
        })
        .collect();
    (!kept.is_empty()).then(|| serde_json::to_vec(&kept).ok()).flatten()
}

async fn keep(state: Arc<NodeState>) {
    let path = state.layout.known_nodes();
    let mut written: Option<Vec<u8>> = None;
    let mut told = false;
    loop {
        tokio::select! {
            () = state.shutdown.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
        let Some(mesh) = state.mesh() else { return };
        let status = mesh.status();
        if status.stuck.is_some() {
            continue;
        }
        let known = status.members.iter().filter_map(KnownNode::of).collect();
        let Some(text) = text(known).filter(|text| written.as_ref() != Some(text)) else {
            continue;
        };
        let to = path.clone();
        let bytes = text.clone();
        let done = tokio::task::spawn_blocking(move || write_file(&to, &bytes, true)).await;
        match done.map_err(std::io::Error::other).flatten() {
            Ok(()) => (written, told) = (Some(text), false),
            Err(error) if !told => {
                told = true;
                tracing::warn!(
                    "{}: cannot be written ({error}): after a restart only the seeds are looked for; make room on the disk",
                    path.display()
                );
            }
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(site: &str) -> KnownNode {
        KnownNode {
            site: SiteId::new(site).expect("a name"),
            node: NodeName::new("n1").expect("a name"),
            peer_id: "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N".parse().expect("a PeerId"),
            addresses: vec!["192.0.2.1:4747".parse().expect("an address")],
            api_port: Some(7443),
            started: Millis(1_700_000_000_000),
        }
    }

    #[test]
    fn who_was_known_is_known_again_and_a_damaged_file_is_said() {
        let folder = tempfile::tempdir().expect("made");
        let path = folder.path().join("known-nodes.json");
        assert_eq!(read(&path), Ok(Vec::new()), "the first start");
        assert_eq!(text(Vec::new()), None, "nobody is heard: what was known stays");
        let all = vec![known("tokyo"), known("oslo")];
        std::fs::write(&path, text(all).expect("some")).expect("written");
        assert_eq!(read(&path), Ok(vec![known("oslo"), known("tokyo")]));
        std::fs::write(&path, b"[{").expect("written");
        assert!(read(&path).expect_err("damaged").contains("damaged"));
    }
}
