//! From where an incident looks bad, and whose word counts.

use std::sync::Arc;

use holm_model::{Millis, SiteId, VANTAGE_FAILED, VANTAGE_REACHED};

use crate::{Book, RecordId, Report, Spell, Vantages, Witness};

/// The plane and the kind of a signal by which a site says that it reaches nobody.
const CUT_OFF: (&str, &str) = ("mesh", "cut_off");
/// Probes fail before a site has found out that it reaches nobody, in milliseconds.
const BEFORE_MS: u64 = 90_000;
/// Probes succeed again after it reaches somebody, in milliseconds.
const AFTER_MS: u64 = 120_000;

/// When a site said that it reaches nobody.
pub(crate) type CutOff = (SiteId, Vec<Spell>);

pub(crate) fn cut_off(book: &Book) -> Vec<CutOff> {
    let said = book.reports.iter().filter(|(_, (r, _))| (&*r.plane, &*r.kind) == CUT_OFF);
    said.map(|(id, (report, _))| (id.site.clone(), report.spells.clone())).collect()
}

/// How it looks from everywhere.
pub(crate) struct SeenFrom {
    pub(crate) vantages: Vantages,
    /// When time alone changes it.
    pub(crate) until: Option<Millis>,
}

/// Whose word counts of what was bad since `phase`. A site that reaches nobody speaks of itself: what it says
/// is bad since about then does not count while that lasts and shortly after. What it said before, and what it
/// goes on saying, does.
pub(crate) fn seen_from(
    reports: &[(RecordId, Arc<Report>)],
    fine: &[(SiteId, Witness)],
    cut_off: &[CutOff],
    phase: Millis,
    now: Millis,
) -> SeenFrom {
    let mut vantages = Vantages::default();
    let mut until = None;
    let sites = |list: &str| -> Vec<SiteId> {
        list.split(',').filter_map(|site| site.trim().parse().ok()).collect()
    };
    for (id, report) in reports.iter().filter(|(_, report)| phase <= report.end()) {
        let failed = match report.attributes.get(VANTAGE_FAILED) {
            Some(failed) => sites(failed),
            None => vec![id.site.clone()],
        };
        for site in failed {
            let cuts = || cut_off.iter().filter(|(of, _)| *of == site).flat_map(|(_, cuts)| cuts);
            let spells = report.spells.iter().filter(|spell| phase <= spell.end());
            let of_cuts: Option<Vec<Spell>> =
                spells.map(|spell| cuts().copied().find(|cut| is_of(*spell, *cut, now))).collect();
            match of_cuts.filter(|cuts| !cuts.is_empty()) {
                Some(cuts) => {
                    let over = cuts.iter().filter_map(|cut| cut.to).map(|end| end + AFTER_MS + 1);
                    let over = over.filter(|_| report.last().to.is_none()).max();
                    until = until.into_iter().chain(over).min();
                    vantages.cut_off.insert(site);
                }
                None => {
                    vantages.failed.insert(site);
                }
            }
        }
        if let Some(reached) = report.attributes.get(VANTAGE_REACHED) {
            vantages.fine.extend(sites(reached));
        }
    }
    // While it lasts as it is now, afterwards as it was when it was last bad.
    let last = reports.iter().map(|(_, report)| report.end()).max().unwrap_or_default();
    let at = last.min(now);
    let well = fine.iter().filter(|(_, witness)| witness.was_fine(at));
    vantages.fine.extend(well.map(|(site, _)| site.clone()));
    // A site is in one list: who says both says that it is bad.
    let Vantages { failed, fine, cut_off } = &mut vantages;
    cut_off.retain(|site| !failed.contains(site));
    fine.retain(|site| !failed.contains(site) && !cut_off.contains(site));
    SeenFrom { vantages, until }
}

/// Whether what was bad for so long may have been bad because its site reached nobody then.
fn is_of(spell: Spell, cut: Spell, now: Millis) -> bool {
    let begins = cut.from <= spell.from + BEFORE_MS && spell.from <= cut.end();
    begins && cut.from <= spell.end() && spell.end().min(now) <= cut.end() + AFTER_MS
}
