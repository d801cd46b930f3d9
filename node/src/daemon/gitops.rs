//! A folder of policies: files of alert rules and of OpenSLO that are applied as they stand, and are the only place
//! where what is in them is edited.
//!
//! The folder is its node's operator's: files beside each other are of the node's first tenant, those in a folder of
//! a tenant's name of that one. A file with a problem is refused as a whole; what it said before stays. A file that
//! is gone takes its policies away: once the folder is at rest, and all of it can be read, so that what moves between
//! files is never lost.

mod apply;
mod content;
mod listing;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use holm_model::TenantId;

use self::content::Content;
use super::alerts::RULES;
use super::policy_edit::{FOLDER as MARK, PolicyEdit, holder};
use super::probe_tests::AREA as TESTS;
use super::slo::AREA as SLOS;
use super::state::NodeState;
use super::tenant::Tenant;

/// How often the folder is looked at.
const EVERY: Duration = Duration::from_secs(3);
/// Longest name of who edited, in characters.
const MAX_BY: usize = 64;

/// A policy is a folder's, and edited there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name} is in the file {path} of the folder of policies at {node}{}", self.remedy())]
pub(crate) struct HeldByFolder {
    pub(crate) name: String,
    pub(crate) path: String,
    pub(crate) node: String,
    /// The file and the node of another folder, which says something else.
    pub(crate) other: Option<(String, String)>,
}

impl HeldByFolder {
    fn remedy(&self) -> String {
        match &self.other {
            None => ": change it there, or take it out of the file first".to_owned(),
            Some((path, node)) => format!(
                ", and {path} at {node} says something else: let both say the same, or take it out of one of them"
            ),
        }
    }
}

/// A file of the folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FolderFile {
    /// Its path within the folder.
    pub(crate) path: String,
    pub(crate) tenant: TenantId,
    /// What it holds, each as `area/name`.
    pub(crate) policies: Vec<String>,
    /// Why it is not applied as it stands; what it said before stands.
    pub(crate) problems: Vec<String>,
    /// What it holds is known: what is refused is not taken for gone.
    known: Option<Vec<String>>,
    /// What it names while it is refused.
    named: Vec<String>,
}

/// The folder as it was applied last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FolderView {
    pub(crate) files: Vec<FolderFile>,
    /// Why the folder itself is not read.
    pub(crate) problem: Option<String>,
    /// It was read once since the start.
    read: bool,
}

/// What the node knows of its folder.
#[derive(Debug, Default)]
pub(crate) struct GitOps {
    view: Mutex<Arc<FolderView>>,
    /// What files said when they were applied last, by path: it stands while they are refused.
    said: Mutex<BTreeMap<String, Content>>,
}

impl GitOps {
    pub(crate) fn view(&self) -> Arc<FolderView> {
        Arc::clone(&self.view.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn said(&self) -> MutexGuard<'_, BTreeMap<String, Content>> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file that holds a policy of a tenant: what a refused one names is that file's as well, for it counts once
    /// the file is mended.
    fn holder(&self, tenant: &TenantId, area: &str, name: &str) -> Option<String> {
        let key = format!("{area}/{name}");
        let view = self.view();
        let own = || view.files.iter().filter(|file| file.tenant == *tenant);
        let file = own().find(|file| file.policies.contains(&key));
        let file = file.or_else(|| own().find(|file| file.named.contains(&key)))?;
        Some(file.path.clone())
    }

    /// The file that may hold what this node's folder said last by the name `by`: after a start it is not known of a
    /// file that is refused what it said before, nor of any before the folder was read.
    fn may_hold(&self, tenant: &TenantId, by: &str) -> Option<String> {
        let view = self.view();
        let mut files = view.files.iter().filter(|file| file.tenant == *tenant);
        let said = by.strip_prefix(MARK)?;
        if !view.read {
            return Some(said.to_owned());
        }
        if let Some(file) = files.clone().find(|file| by_of(&file.path) == by) {
            return (!file.problems.is_empty()).then(|| file.path.clone());
        }
        // Its file is gone: it may have moved to one that cannot be read.
        files.find(|file| file.known.is_none()).map(|file| file.path.clone())
    }
}

/// Who edits what a file holds.
fn by_of(path: &str) -> String {
    format!("{MARK}{path}").chars().take(MAX_BY).collect()
}

/// The name of somebody who edits by the API: never that of a folder.
pub(crate) fn author(name: &str) -> &str {
    name.trim_start_matches(MARK)
}

impl Tenant {
    /// Refuses an edit of what a folder holds: at its own node by what the folder says now, whether it stands or
    /// not, elsewhere by the edits that stand, unless that site is gone for good.
    pub(super) fn held_by_folder(
        &self,
        state: &NodeState,
        (area, name): (&str, &str),
        standing: &[PolicyEdit],
        by: &str,
    ) -> Result<(), HeldByFolder> {
        let last = holder(standing);
        let (last, writer) = last.map_or(("", ""), |edit| (&*edit.by, &*edit.writer));
        let own = format!("{}/{}", state.config.node.site, state.config.node.name);
        let held = |path: String, node: &str| {
            let other = by.strip_prefix(MARK).map(|path| (path.to_owned(), own.clone()));
            Err(HeldByFolder { name: name.to_owned(), path, node: node.to_owned(), other })
        };
        if by.starts_with(MARK) {
            // Two folders at two nodes must not pull at one policy.
            return match last.strip_prefix(MARK) {
                Some(path) if writer != own && !self.is_gone(writer) => {
                    held(path.to_owned(), writer)
                }
                _ => Ok(()),
            };
        }
        if let Some(path) = state.gitops.holder(&self.id, area, name) {
            return held(path, &own);
        }
        match last.strip_prefix(MARK) {
            Some(path) if writer != own && !self.is_gone(writer) => held(path.to_owned(), writer),
            // A folder that is not set any more holds nothing.
            Some(_) if writer == own && !state.config.policies.folder.as_os_str().is_empty() => {
                state.gitops.may_hold(&self.id, last).map_or(Ok(()), |path| held(path, &own))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_refused_file_said_before_a_start_is_held() {
        let (acme, other) =
            (TenantId::new("acme").expect("valid"), TenantId::new("other").expect("valid"));
        let file = |path: &str, problem: Option<&str>, known: bool| FolderFile {
            path: path.to_owned(),
            tenant: acme.clone(),
            policies: Vec::new(),
            problems: problem.map(str::to_owned).into_iter().collect(),
            known: known.then(Vec::new),
            named: Vec::new(),
        };
        let holds = |view: FolderView, tenant: &TenantId, path: &str| {
            let gitops = GitOps::default();
            *gitops.view.lock().expect("held") = Arc::new(view);
            gitops.may_hold(tenant, &by_of(path))
        };
        let held = |path: &str| Some(path.to_owned());
        assert_eq!(holds(FolderView::default(), &acme, "a.yaml"), held("a.yaml"), "not read yet");
        let read = |files: Vec<FolderFile>| FolderView { files, problem: None, read: true };
        assert_eq!(holds(read(Vec::new()), &acme, "a.yaml"), None, "the file is gone");
        let refused =
            || read(vec![file("a.yaml", Some("line 1"), false), file("b.yaml", None, true)]);
        assert_eq!(holds(refused(), &acme, "a.yaml"), held("a.yaml"));
        assert_eq!(holds(refused(), &acme, "b.yaml"), None, "what it holds is known");
        assert_eq!(holds(refused(), &acme, "moved.yaml"), held("a.yaml"), "it may stand there now");
        assert_eq!(holds(refused(), &other, "a.yaml"), None, "another tenant's");
        let double = read(vec![file("a.yaml", Some("stands in b.yaml as well"), true)]);
        assert_eq!(holds(double, &acme, "a.yaml"), held("a.yaml"));
        let long = format!("{}.yaml", "x".repeat(90));
        let refused = read(vec![file(&long, Some("line 1"), false)]);
        assert_eq!(holds(refused, &acme, &long), Some(long), "a long name is cut in the edit");
    }

    #[test]
    fn what_a_refused_file_names_is_its_own() {
        let key = |area: &str, name: &str| format!("{area}/{name}");
        let (acme, other) =
            (TenantId::new("acme").expect("valid"), TenantId::new("other").expect("valid"));
        let file = |path: &str, policies: &[&str], named: &[&str]| FolderFile {
            path: path.to_owned(),
            tenant: acme.clone(),
            policies: policies.iter().map(|name| key(RULES, name)).collect(),
            problems: vec!["line 4".to_owned()],
            known: None,
            named: named.iter().map(|name| key(RULES, name)).collect(),
        };
        let files = vec![file("a.yaml", &[], &["lost", "new"]), file("b.yaml", &["lost"], &[])];
        let gitops = GitOps::default();
        *gitops.view.lock().expect("held") =
            Arc::new(FolderView { files, problem: None, read: true });
        assert_eq!(gitops.holder(&acme, RULES, "lost").as_deref(), Some("b.yaml"), "applied once");
        assert_eq!(gitops.holder(&acme, RULES, "new").as_deref(), Some("a.yaml"));
        assert_eq!(gitops.holder(&acme, TESTS, "new"), None);
        assert_eq!(gitops.holder(&other, RULES, "new"), None);
    }

    #[test]
    fn who_edits_by_the_api_is_no_folder() {
        assert_eq!(author("folder:folder:x"), "x");
        assert_eq!(by_of(&"x".repeat(99)).len(), MAX_BY);
    }
}
