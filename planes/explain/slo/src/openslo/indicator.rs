//! Indicators: what is counted.

use std::collections::BTreeMap;

use crate::definition::{Indicator, Source};
use holm_policy::{Fields, Predicate, Problems};

/// The type of sources that are asked here: the tenant's event store.
pub(super) const SOURCE_TYPE: &str = "holm";
const MAX_WHERE: usize = 2_048;

type Sources = BTreeMap<Box<str>, ()>;

/// The indicator in `spec`: a ratio or a threshold.
pub(super) fn of(
    spec: &mut Fields<'_>,
    sources: &Sources,
    problems: &mut Problems,
) -> Option<Indicator> {
    let ratio = spec.map("ratioMetric", problems);
    let threshold = spec.map("thresholdMetric", problems);
    match (ratio, threshold) {
        (Some(ratio), None) => of_ratio(ratio, sources, problems),
        (None, Some(mut threshold)) => {
            let source = source(&mut threshold, sources, true, problems);
            threshold.finish(&[], problems);
            Some(Indicator::Threshold(source?))
        }
        (None, None) => {
            problems.add(&spec.path, spec.mark, "ratioMetric or thresholdMetric is missing");
            None
        }
        (Some(_), Some(_)) => {
            let text = "either ratioMetric or thresholdMetric stands here, not both";
            problems.add(&spec.path, spec.mark, text);
            None
        }
    }
}

fn of_ratio(
    mut ratio: Fields<'_>,
    sources: &Sources,
    problems: &mut Problems,
) -> Option<Indicator> {
    if let Some((false, mark)) = ratio.flag("counter", problems) {
        let text = "rows are counted, and a count only grows: it is true, or left out";
        problems.add(&ratio.at("counter"), mark, text);
    }
    let read = |ratio: &mut Fields<'_>, key: &str, valued: bool, problems: &mut Problems| {
        let mut metric = ratio.map(key, problems)?;
        let source = source(&mut metric, sources, valued, problems);
        metric.finish(&[], problems);
        Some(source)
    };
    let (good, bad, total) = (
        read(&mut ratio, "good", false, problems),
        read(&mut ratio, "bad", false, problems),
        read(&mut ratio, "total", false, problems),
    );
    let raw_type = ratio.text("rawType", 40, problems);
    let raw = read(&mut ratio, "raw", true, problems);
    let (path, mark) = (ratio.path.clone(), ratio.mark);
    let at_raw_type = ratio.at("rawType");
    ratio.finish(&[], problems);
    match (good, bad, total, raw) {
        (Some(part), None, Some(total), None) if raw_type.is_none() => {
            Some(Indicator::Ratio { bad: false, part: part?, total: total? })
        }
        (None, Some(part), Some(total), None) if raw_type.is_none() => {
            Some(Indicator::Ratio { bad: true, part: part?, total: total? })
        }
        (None, None, None, Some(source)) => {
            let failure = match raw_type {
                Some(("success", _)) => false,
                Some(("failure", _)) => true,
                Some((_, mark)) => {
                    problems.add(&at_raw_type, mark, "it is success or failure");
                    return None;
                }
                None => {
                    problems.add(&at_raw_type, mark, "it is missing");
                    return None;
                }
            };
            Some(Indicator::Raw { failure, source: source? })
        }
        _ => {
            let text = "it has good and total, or bad and total, or raw and rawType";
            problems.add(&path, mark, text);
            None
        }
    }
}

/// A metric source: rows of a table.
fn source(
    metric: &mut Fields<'_>,
    sources: &Sources,
    valued: bool,
    problems: &mut Problems,
) -> Option<Source> {
    let mut source = metric.needed_map("metricSource", problems)?;
    let named = source.text("metricSourceRef", 63, problems);
    if let Some((name, mark)) = named
        && !sources.contains_key(name)
    {
        let text = format!("there is no DataSource of the name {name} in this file");
        problems.add(&source.at("metricSourceRef"), mark, text);
    }
    let kind = source.text("type", 100, problems);
    let mut known = true;
    match kind {
        Some((SOURCE_TYPE, _)) => {}
        None if named.is_some() => {}
        None => problems.add(&source.at("type"), source.mark, "it is missing: holm is asked"),
        Some((kind, mark)) => {
            known = false;
            let text = format!("{kind} is not asked: holm is, this mesh's own event store");
            problems.add(&source.at("type"), mark, text);
        }
    }
    if !known {
        // What it needs is another's to say.
        let _ = source.node("spec");
        source.finish(&[], problems);
        return None;
    }
    let spec = source.needed_map("spec", problems);
    source.finish(&[], problems);
    let mut spec = spec?;
    let table = spec.needed_text("table", 128, problems);
    let at = spec.at("where");
    let filter = spec.text("where", MAX_WHERE, problems).and_then(|(text, mark)| {
        match Predicate::parse(text) {
            Ok(predicate) => Some((text.into(), predicate)),
            Err(unread) => {
                let text = format!("at its character {}: {}", unread.at, unread.text);
                problems.add(&at, mark, text);
                None
            }
        }
    });
    let value = match valued {
        true => Some(spec.needed_text("value", 128, problems)),
        false => None,
    };
    spec.finish(
        &[("value", "rows are counted here: only thresholdMetric and raw look at a value")],
        problems,
    );
    let (table, _) = table?;
    let value = match value {
        Some(value) => Some(value?.0.into()),
        None => None,
    };
    Some(Source { table: table.into(), filter, value })
}
