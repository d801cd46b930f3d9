//! Applying the folder of policies: what is new, what changed, and what is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, PoisonError};

use holm_model::{Millis, TenantId};

use super::content::Content;
use super::listing::{Found, content, files, named_in};
use super::{EVERY, FolderFile, FolderView, MARK, RULES, SLOS, TESTS, by_of};
use crate::daemon::alerts::AlertError;
use crate::daemon::policy_edit::PolicyEdit;
use crate::daemon::slo::{Applied, SloError};
use crate::daemon::state::{Change, NodeState, Topic};
use crate::daemon::tenant::Tenant;

/// How often it is applied again though nothing in it changed: what others edited meanwhile is put back.
const AGAIN_MS: u64 = 60_000;
/// The same while a file is refused: the reason may lie elsewhere.
const AGAIN_REFUSED_MS: u64 = 15_000;

/// What was found, and what was done with it.
struct Known {
    found: Vec<Found>,
    applied_at: Millis,
    /// What is gone from it was taken away.
    swept: bool,
    /// What files hold and did not stand all the same.
    missing: BTreeSet<(TenantId, String)>,
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
