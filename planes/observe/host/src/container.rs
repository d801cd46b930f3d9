//! Names of containers, as their runtimes keep them on disk. Ids are new with every start; names stay.

use std::path::{Path, PathBuf};

use hashbrown::HashMap;
use serde_json::Value;

use crate::process::read_bounded;

/// Most containers kept; past it all are forgotten and read again.
const MAX_CONTAINERS: usize = 4_096;
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Where a runtime describes a container, `{id}` standing for its id.
const DOCKER: &str = "var/lib/docker/containers/{id}/config.v2.json";
/// OCI bundles (`config.json`, with annotations): containerd, CRI-O, podman.
const BUNDLES: [&str; 4] = [
    "run/containerd/io.containerd.runtime.v2.task/k8s.io/{id}/config.json",
    "run/containers/storage/overlay-containers/{id}/userdata/config.json",
    "var/lib/containers/storage/overlay-containers/{id}/userdata/config.json",
    "var/run/containers/storage/overlay-containers/{id}/userdata/config.json",
];
/// Annotations that name a container (containerd's and CRI-O's CRI plugins, podman).
const ANNOTATIONS: [&str; 3] = [
    "io.kubernetes.cri.container-name",
    "io.kubernetes.container.name",
    "io.podman.annotations.name",
];

/// Names by container id.
pub(crate) struct Names {
    root: PathBuf,
    known: HashMap<Box<str>, Box<str>>,
}

impl Names {
    /// Reads below `root`, which is `/` except in tests.
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root, known: HashMap::new() }
    }

    /// The name of container `id`; empty if no runtime tells it. `id` is of hexadecimal digits.
    pub(crate) fn name(&mut self, id: &str) -> &str {
        if id.is_empty() {
            return "";
        }
        if self.known.len() >= MAX_CONTAINERS {
            self.known.clear();
        }
        let Self { root, known } = self;
        known.entry(id.into()).or_insert_with(|| read_name(root, id).unwrap_or_default().into())
    }
}

fn read_name(root: &Path, id: &str) -> Option<String> {
    let read = |path: &str| -> Option<Value> {
        let text = read_bounded(root.join(path.replace("{id}", id)), MAX_FILE_BYTES)?;
        serde_json::from_str(&text).ok()
    };
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    if let Some(docker) = read(DOCKER)
        && let Some(name) = text(docker.get("Name"))
    {
        return Some(name.trim_start_matches('/').to_owned());
    }
    BUNDLES.iter().find_map(|path| {
        let bundle = read(path)?;
        let annotations = bundle.get("annotations")?;
        ANNOTATIONS.iter().find_map(|key| text(annotations.get(key)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runtimes_name_their_containers() {
        let root = tempfile::tempdir().expect("a folder");
        let write = |path: String, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
            std::fs::write(path, text).expect("written");
        };
        write(DOCKER.replace("{id}", "d0"), r#"{"ID":"d0","Name":"/shop-db"}"#);
        write(
            BUNDLES[0].replace("{id}", "c0"),
            r#"{"annotations":{"io.kubernetes.cri.container-name":"cart"}}"#,
        );
        write(BUNDLES[1].replace("{id}", "b0"), "not json");
        let mut names = Names::new(root.path().into());
        assert_eq!(names.name("d0"), "shop-db");
        assert_eq!(names.name("c0"), "cart");
        assert_eq!(names.name("b0"), "");
        assert_eq!(names.name("none"), "");
        assert_eq!(names.name(""), "");
    }
}
