//! A folder of policies: files of alert rules and of OpenSLO that are applied as they stand, and are the only place
//! where what is in them is edited.
//!
//! The folder is its node's operator's: files beside each other are of the node's first tenant, those in a folder of
//! a tenant's name of that one. A file with a problem is refused as a whole; what it said before stays. A file that
//! is gone takes its policies away: once the folder is at rest, and all of it can be read, so that what moves between
//! files is never lost.

mod content;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use holm_model::{Millis, TenantId};
use holm_policy::MAX_FILE_BYTES;

use self::content::{Content, named, read};
use super::alerts::{AlertError, RULES};
use super::policy_edit::{FOLDER as MARK, PolicyEdit, holder};
use super::probe_tests::AREA as TESTS;
use super::slo::{AREA as SLOS, Applied, SloError};
use super::state::{Change, NodeState, Topic};
use super::tenant::Tenant;

/// How often the folder is looked at.
const EVERY: Duration = Duration::from_secs(3);
/// How often it is applied again though nothing in it changed: what others edited meanwhile is put back.
const AGAIN_MS: u64 = 60_000;
/// The same while a file is refused: the reason may lie elsewhere.
const AGAIN_REFUSED_MS: u64 = 15_000;
/// Most files that are read.
const MAX_FILES: usize = 2_000;
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

/// A file as it lies there.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    path: String,
    full: PathBuf,
    tenant: Result<TenantId, String>,
    length: u64,
    modified_ns: u128,
    /// Why it cannot be looked at.
    fault: Option<String>,
}

/// What was found, and what was done with it.
struct Known {
    found: Vec<Found>,
    applied_at: Millis,
    /// What is gone from it was taken away.
    swept: bool,
    /// What files hold and did not stand all the same.
    missing: BTreeSet<(TenantId, String)>,
}

fn files(folder: &Path, first: &TenantId) -> Result<Vec<Found>, String> {
    let mut found = Vec::new();
    list(folder, "", &Ok(first.clone()), &mut found)?;
    let entries = std::fs::read_dir(folder).map_err(|error| error.to_string())?;
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let full = entry.path();
        if name.starts_with('.') {
            continue;
        }
        let tenant = TenantId::new(&name).map_err(|error| error.to_string());
        match std::fs::metadata(&full) {
            Ok(meta) if meta.is_dir() => {}
            // A link to nowhere, or one that may not be followed: what it held is not known.
            Err(error) if full.symlink_metadata().is_ok() && !is_wanted(&full) => {
                found.push(Found::faulty(name, full, tenant, &error));
                continue;
            }
            _ => continue,
        }
        list(&entry.path(), &format!("{name}/"), &tenant, &mut found)?;
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    if found.len() > MAX_FILES {
        return Err(format!("it has {} files, {MAX_FILES} are read at most", found.len()));
    }
    Ok(found)
}

fn list(
    folder: &Path,
    before: &str,
    tenant: &Result<TenantId, String>,
    found: &mut Vec<Found>,
) -> Result<(), String> {
    let entries = std::fs::read_dir(folder).map_err(|error| error.to_string())?;
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let full = entry.path();
        if name.starts_with('.') || !is_wanted(&full) {
            continue;
        }
        // Followed: what is mounted or checked out is often a link.
        let meta = match std::fs::metadata(&full) {
            Ok(meta) => meta,
            Err(error) if full.symlink_metadata().is_ok() => {
                let path = format!("{before}{name}");
                found.push(Found::faulty(path, full, tenant.clone(), &error));
                continue;
            }
            // Removed while it was looked.
            Err(_) => continue,
        };
        if !meta.is_file() {
            continue;
        }
        let modified = meta.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        found.push(Found {
            path: format!("{before}{name}"),
            full,
            tenant: tenant.clone(),
            length: meta.len(),
            modified_ns: modified.map_or(0, |at| at.as_nanos()),
            fault: None,
        });
    }
    Ok(())
}

/// Whether it is a file of policies by its name.
fn is_wanted(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| matches!(extension, "yaml" | "yml" | "json"))
}

impl Found {
    /// What is there and cannot be looked at.
    fn faulty(
        path: String,
        full: PathBuf,
        tenant: Result<TenantId, String>,
        error: &std::io::Error,
    ) -> Self {
        let fault = match full.is_symlink() {
            true => format!("it is a link that leads nowhere: {error}"),
            false => format!("it cannot be read: {error}"),
        };
        Self { path, full, tenant, length: 0, modified_ns: 0, fault: Some(fault) }
    }
}

fn content(found: &Found, now: Millis) -> Result<Content, Vec<String>> {
    if let Some(fault) = &found.fault {
        return Err(vec![fault.clone()]);
    }
    if found.length > MAX_FILE_BYTES as u64 {
        return Err(vec![format!("it has {} bytes, the most are {MAX_FILE_BYTES}", found.length)]);
    }
    let text = std::fs::read_to_string(&found.full)
        .map_err(|error| vec![format!("it cannot be read: {error}")])?;
    read(&text, now).map_err(|refused| refused.0.iter().take(20).map(ToString::to_string).collect())
}

/// What a file names that is refused.
fn named_in(found: &Found) -> Vec<String> {
    if found.fault.is_some() || found.length > MAX_FILE_BYTES as u64 {
        return Vec::new();
    }
    std::fs::read_to_string(&found.full).map(|text| named(&text)).unwrap_or_default()
}

impl NodeState {
    /// Applies the folder of policies until the node stops, if there is one.
    pub(crate) async fn keep_folder(self: Arc<Self>) {
        let folder = self.config.policies.folder.clone();
        if folder.as_os_str().is_empty() {
            return;
        }
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut known: Option<Known> = None;
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.shutdown.cancelled() => return,
            }
            let (state, folder) = (Arc::clone(&self), folder.clone());
            let before = known.take();
            let work = tokio::task::spawn_blocking(move || state.apply_folder(&folder, before));
            match work.await {
                Ok(done) => known = done,
                Err(error) => tracing::error!(%error, "applying the folder of policies panicked"),
            }
        }
    }

    /// Looks at the folder and applies it if something changed; what was found, and when it was applied.
    fn apply_folder(&self, folder: &Path, before: Option<Known>) -> Option<Known> {
        let now = Millis::now();
        let found = match files(folder, &self.config.node.tenants[0]) {
            Ok(found) => found,
            Err(why) => {
                // What it held stands: a folder that is away for a moment takes nothing away.
                let problem = format!("{}: {why}", folder.display());
                let mut view = FolderView::clone(&self.gitops.view());
                if view.problem.as_ref() != Some(&problem) {
                    tracing::error!(problem, "the folder of policies cannot be read");
                }
                view.problem = Some(problem);
                self.show_folder(view);
                return before;
            }
        };
        let old = self.gitops.view();
        // What is written file by file is whole when nothing in the folder changes any more.
        let at_rest = before.as_ref().is_some_and(|known| known.found == found);
        if let Some(known) = before.filter(|known| known.found == found && known.swept) {
            let refused = old.files.iter().any(|file| !file.problems.is_empty());
            let again = if refused { AGAIN_REFUSED_MS } else { AGAIN_MS };
            // What another folder let go of and this one holds is put back at once.
            let vanished = !self.missing(&old).is_subset(&known.missing);
            if now.since(known.applied_at) < again && !vanished {
                return Some(known);
            }
        }
        let mut view = FolderView { read: true, ..FolderView::default() };
        let mut contents: Vec<(usize, Arc<Tenant>, Content)> = Vec::new();
        let mut taken: BTreeMap<(TenantId, String), String> = BTreeMap::new();
        for file in &found {
            let held = file.tenant.clone().and_then(|id| {
                let tenant = self.tenants.of(&id);
                tenant.ok_or_else(|| format!("this node does not hold a tenant {id}; node.tenants has those that it holds"))
            });
            let id = file.tenant.clone().unwrap_or_else(|_| self.config.node.tenants[0].clone());
            let last = old.files.iter().find(|known| known.path == file.path);
            let mut shown = FolderFile {
                path: file.path.clone(),
                tenant: id.clone(),
                policies: last.map(|last| last.policies.clone()).unwrap_or_default(),
                problems: Vec::new(),
                known: None,
                named: Vec::new(),
            };
            let of_tenant = held.is_ok();
            if !of_tenant {
                // It is of no tenant here.
                shown.known = Some(Vec::new());
            }
            match held.map_err(|why| vec![why]).and_then(|t| Ok((t, content(file, now)?))) {
                Err(problems) => {
                    shown.problems = problems;
                    if of_tenant {
                        shown.named = named_in(file);
                    }
                }
                Ok((tenant, content)) => {
                    let names = content.names();
                    shown.known = Some(names.clone());
                    let double = names.iter().find_map(|name| {
                        let other = taken.get(&(id.clone(), name.clone()))?;
                        Some(format!("{name} stands in {other} as well"))
                    });
                    match double {
                        Some(double) => {
                            shown.problems.push(double);
                            shown.named = names;
                        }
                        None => {
                            for name in &names {
                                taken.insert((id.clone(), name.clone()), file.path.clone());
                            }
                            contents.push((view.files.len(), tenant, content));
                        }
                    }
                }
            }
            view.files.push(shown);
        }
        // First what is new and changed, then what is gone: a policy that moves between files stays.
        for (number, tenant, content) in contents {
            let by = by_of(&view.files[number].path);
            let file = &mut view.files[number];
            match self.apply_file(&tenant, &content, &by, now) {
                Ok(changed) => {
                    file.policies = content.names();
                    if changed > 0 {
                        tracing::info!(file = file.path, tenant = %tenant.id, changed, "policies of a file applied");
                    }
                    self.gitops.said().insert(file.path.clone(), content);
                }
                Err(why) => {
                    file.problems.push(why);
                    file.named = content.names();
                }
            }
        }
        self.gitops.said().retain(|path, _| view.files.iter().any(|file| file.path == *path));
        self.put_back(&view, &taken, now);
        for tenant in self.tenants.all().iter().filter(|_| at_rest) {
            self.take_away(tenant, &view, now);
        }
        for file in view.files.iter().filter(|file| !file.problems.is_empty()) {
            let known = old.files.iter().any(|known| known == file);
            if !known {
                tracing::error!(
                    file = file.path,
                    problems = file.problems.join("; "),
                    "a file of policies is refused; what it said before stands"
                );
            }
        }
        let missing = self.missing(&view);
        self.show_folder(view);
        Some(Known { found, applied_at: now, swept: at_rest, missing })
    }

    /// What files hold, or would, and does not stand: each as `area/name` of its tenant.
    fn missing(&self, view: &FolderView) -> BTreeSet<(TenantId, String)> {
        let mut missing = BTreeSet::new();
        for tenant in self.tenants.all() {
            let own = view.files.iter().filter(|file| file.tenant == tenant.id);
            let held = own.flat_map(|file| file.policies.iter().chain(&file.named));
            // All of them are in the order of their names.
            let (rules, slos) = (tenant.alerts.defined(), tenant.slos.defined());
            let tests = tenant.tests.defined();
            let stands = |key: &str| match key.split_once('/') {
                Some((RULES, name)) => rules.binary_search_by(|r| (*r.name).cmp(name)).is_ok(),
                Some((SLOS, name)) => slos.binary_search_by(|slo| (*slo.name).cmp(name)).is_ok(),
                Some((TESTS, name)) => tests.binary_search_by(|t| (*t.name).cmp(name)).is_ok(),
                _ => true,
            };
            let gone = held.filter(|key| !stands(key));
            missing.extend(gone.map(|key| (tenant.id.clone(), key.clone())));
        }
        missing
    }

    /// Puts back what refused files said before and another node's folder took away meanwhile.
    fn put_back(
        &self,
        view: &FolderView,
        taken: &BTreeMap<(TenantId, String), String>,
        now: Millis,
    ) {
        let missing = self.missing(view);
        if missing.is_empty() {
            return;
        }
        for file in view.files.iter().filter(|file| !file.problems.is_empty()) {
            let Some(tenant) = self.tenants.of(&file.tenant) else { continue };
            let is_wanted = |key: &str| {
                let key = (file.tenant.clone(), key.to_owned());
                let elsewhere = taken.get(&key).is_some_and(|path| *path != file.path);
                missing.contains(&key) && !elsewhere
            };
            let said = self.gitops.said().get(&file.path).map(|said| said.only(is_wanted));
            let Some(said) = said.filter(|said| !said.names().is_empty()) else { continue };
            match self.apply_file(&tenant, &said, &by_of(&file.path), now) {
                Ok(changed) => {
                    tracing::info!(file = file.path, tenant = %tenant.id, changed, "policies that a refused file said before are put back");
                }
                Err(why) => {
                    tracing::error!(
                        file = file.path,
                        why,
                        "what a refused file said before could not be put back"
                    );
                }
            }
        }
    }

    fn show_folder(&self, view: FolderView) {
        let mut held = self.gitops.view.lock().unwrap_or_else(PoisonError::into_inner);
        if **held != view {
            *held = Arc::new(view);
            drop(held);
            self.tell(Change::for_all(Topic::Alerts));
        }
    }

    fn apply_file(
        &self,
        tenant: &Tenant,
        content: &Content,
        by: &str,
        now: Millis,
    ) -> Result<usize, String> {
        let applied = match content {
            Content::Rules(rules) => {
                tenant.apply_rules(self, rules, by, now).map_err(|error| error.to_string())?
            }
            Content::Tests(tests) => tenant
                .apply_tests(self, tests, (by, true), now)
                .map_err(|error| error.to_string())?,
            Content::Slos(slos) => {
                tenant.apply_slos(self, slos, by, now).map_err(|error| error.to_string())?
            }
        };
        Ok(applied.iter().filter(|applied| **applied != Applied::Unchanged).count())
    }

    /// Takes away what this node's folder held once and holds no more. While a file cannot be read nothing is: what
    /// another file held may stand in it now.
    fn take_away(&self, tenant: &Tenant, view: &FolderView, now: Millis) {
        let own = format!("{}/{}", self.config.node.site, self.config.node.name);
        let of_tenant = || view.files.iter().filter(|file| file.tenant == tenant.id);
        if of_tenant().any(|file| file.known.is_none()) {
            return;
        }
        let known = of_tenant().flat_map(|file| file.known.iter().flatten());
        let held: BTreeSet<&String> = known.chain(of_tenant().flat_map(|f| &f.policies)).collect();
        // What a refused file said before is not known after a start.
        let unclear: BTreeSet<String> =
            of_tenant().filter(|f| !f.problems.is_empty()).map(|f| by_of(&f.path)).collect();
        let gone = |area: &str, name: &str, edits: &[PolicyEdit]| {
            let mut ours = edits.iter().filter(|edit| *edit.writer == *own);
            let ours = ours.any(|edit| {
                edit.by.starts_with(MARK) && edit.content.is_some() && !unclear.contains(&*edit.by)
            });
            // What another node's folder holds as well stays with that.
            let theirs = edits.iter().any(|edit| *edit.writer != *own && edit.by.starts_with(MARK));
            ours && !theirs && !held.contains(&format!("{area}/{name}"))
        };
        let mut failed = Vec::new();
        for rule in tenant.alerts.defined().iter() {
            if gone(RULES, &rule.name, &rule.edits) {
                let removed = tenant.remove_rule(self, &rule.name, &rule.edits[0].by, now);
                failed.extend(removed.err().map(|error: AlertError| error.to_string()));
            }
        }
        for test in tenant.tests.defined().iter() {
            if gone(TESTS, &test.name, &test.edits) {
                // The folder is its node's operator's: what is in it may open what tests may reach, and close it.
                let removed = tenant.remove_test(self, &test.name, (&test.edits[0].by, true), now);
                failed.extend(removed.err().map(|error| error.to_string()));
            }
        }
        for slo in tenant.slos.defined().iter() {
            if gone(SLOS, &slo.name, &slo.edits) {
                let removed = tenant.remove_slo(self, &slo.name, &slo.edits[0].by, now);
                failed.extend(removed.err().map(|error: SloError| error.to_string()));
            }
        }
        for why in failed.iter().take(5) {
            tracing::error!(why, "a policy that no file holds any more could not be taken away");
        }
    }
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
    fn a_folder_is_listed_by_tenant_without_what_is_hidden() {
        let dir = tempfile::tempdir().expect("a folder");
        let write = |path: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().expect("inside")).expect("made");
            std::fs::write(path, "x").expect("written");
        };
        ["b.yaml", "a.json", "note.txt", ".git/x.yaml", "acme/c.yml", "Odd Name/d.yaml"]
            .into_iter()
            .for_each(write);
        let first = TenantId::new("default").expect("valid");
        let found = files(dir.path(), &first).expect("listed");
        let paths: Vec<&str> = found.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, ["Odd Name/d.yaml", "a.json", "acme/c.yml", "b.yaml"]);
        assert!(found.iter().all(|file| file.fault.is_none()));
        assert!(found[0].tenant.is_err());
        assert_eq!(found[2].tenant, Ok(TenantId::new("acme").expect("valid")));
        assert!(files(&dir.path().join("nowhere"), &first).is_err());
        // Links that lead nowhere are there: a file's, and that of a tenant's folder.
        for link in ["e.yaml", "lima"] {
            std::os::unix::fs::symlink("nowhere", dir.path().join(link)).expect("made");
        }
        let found = files(dir.path(), &first).expect("listed");
        for path in ["e.yaml", "lima"] {
            let file = found.iter().find(|file| file.path == path).expect("it is there");
            let problems = content(file, Millis(0)).expect_err("it cannot be read");
            assert!(problems[0].contains("a link that leads nowhere"), "{problems:?}");
        }
        assert_eq!(author("folder:folder:x"), "x");
        assert_eq!(by_of(&"x".repeat(99)).len(), MAX_BY);
    }
}
