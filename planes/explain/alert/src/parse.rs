//! Files of alert rules, YAML or JSON, read strictly: a field that is not evaluated is refused with its path, line
//! and column, because a rule that is understood in part is another rule.

use std::collections::{BTreeMap, BTreeSet};

use holm_model::{NodeId, NodeKind, Severity, host_of};
use holm_policy::{
    Fields, Mark, Node, Predicate, Problem, Problems, Refused, Value, objects, text_of,
};

use crate::rule::{
    Composite, Condition, Direction, Inhibitor, LATE_MS, Measure, Origin, Query, Rule, Season,
    Subject,
};

/// The kind of its objects.
pub const KIND: &str = "AlertRule";
const MAX_NAME: usize = 63;
const MAX_TITLE: usize = 200;
const MAX_TEXT: usize = 2_048;
const MAX_WHERE: usize = 2_048;
const MAX_LABELS: usize = 16;
const MAX_COLUMNS: usize = 4;
const MAX_PARTS: usize = 16;
const SECOND: u64 = 1_000;
const HOUR: u64 = 3_600 * SECOND;
const DAY: u64 = 24 * HOUR;
const DEFAULT_EVERY: u64 = 30 * SECOND;
const DEFAULT_WINDOW: u64 = 5 * 60 * SECOND;
/// Most steps that a window has.
const MAX_STEPS: u64 = 1_440;

/// The rules of a file, in its order.
///
/// # Errors
/// All that is wrong with it.
pub fn parse(text: &str) -> Result<Vec<Rule>, Refused> {
    objects(text, KIND, rule, |rule: &Rule| &rule.name)
}

/// What is wrong with rules beside others: cycles of what looks at or silences each other. `known` are the
/// rules that there are already; those of the same name are taken to be gone.
pub fn check_together(new: &[Rule], known: &[&Rule]) -> Vec<Problem> {
    let replaced: BTreeSet<&str> = new.iter().map(|rule| &*rule.name).collect();
    let kept = known.iter().copied().filter(|rule| !replaced.contains(&*rule.name));
    let all: BTreeMap<&str, &Rule> = new.iter().chain(kept).map(|r| (&*r.name, r)).collect();
    let round = crate::cycles::standing(&all).round;
    let of_new = new.iter().filter_map(|rule| {
        let way = round.get(&*rule.name)?;
        // Where it names the next of them.
        let next = way.get(1).and_then(|next| rule.origin.parts.get(next));
        let mark = next.copied().unwrap_or(rule.origin.mark);
        Some(Problem::new(&rule.name, mark, crate::cycles::told(way)))
    });
    of_new.collect()
}

fn rule(node: &Node, path: &str, problems: &mut Problems) -> Option<Rule> {
    let mut fields = Fields::of(node, path, problems)?;
    let kind = fields.needed_text("kind", 100, problems);
    match kind {
        Some((KIND, _)) => {}
        Some((other, mark)) => {
            let text = format!("{other} is not read here: {KIND} is");
            problems.add(&fields.at("kind"), mark, text);
            return None;
        }
        None => return None,
    }
    let name = fields.needed_text("name", MAX_NAME, problems).and_then(|(text, mark)| {
        let right = is_name(text);
        if !right {
            let text = format!("{text} is no name: 1 to 63 small letters, digits and - are");
            problems.add(&fields.at("name"), mark, text);
        }
        right.then(|| Box::<str>::from(text))
    });
    let title = fields.text("title", MAX_TITLE, problems).map(|(text, _)| text.into());
    let description = fields.text("description", MAX_TEXT, problems).map(|(text, _)| text.into());
    let severity = fields.text("severity", 20, problems).map(|(text, mark)| {
        let read = text.parse::<Severity>();
        if let Err(why) = &read {
            problems.add(&fields.at("severity"), mark, *why);
        }
        read.unwrap_or_default()
    });
    let labels = labels(&mut fields, problems);
    let by = columns(&mut fields, "by", problems);
    let every = span(&mut fields, "every", (10 * SECOND, HOUR), problems);
    let every_ms = every.map_or(DEFAULT_EVERY, |(ms, mark)| {
        if !DAY.is_multiple_of(ms) {
            problems.add(&fields.at("every"), mark, "full days are made of it: 30s, 1m, 5m are");
        }
        ms
    });
    let for_ms = span(&mut fields, "for", (0, DAY), problems).map_or(0, |(ms, _)| ms);
    let keep_ms = span(&mut fields, "keep", (0, DAY), problems).map_or(0, |(ms, _)| ms);
    let target = target(&mut fields, &by, problems);
    let mut parts = BTreeMap::new();
    let inhibited_by = inhibitors(&mut fields, &by, &mut parts, problems);
    let composite = fields.map("composite", problems);
    let subject = match composite {
        Some(composite) => {
            let rows = ["table", "where", "value", "window", "condition"];
            for key in rows {
                if let Some((_, mark)) = fields.node(key) {
                    problems.add(&fields.at(key), mark, "a composite looks at rules, not at rows");
                }
            }
            self::composite(composite, &mut parts, problems).map(Subject::Composite)
        }
        None => query(&mut fields, every_ms, problems).map(Subject::Rows),
    };
    let severity = severity.unwrap_or(Severity::Warning);
    fields.finish(&[], problems);
    let (name, subject) = (name?, subject?);
    Some(Rule {
        name,
        title,
        description,
        severity,
        labels,
        subject,
        by,
        every_ms,
        for_ms,
        keep_ms,
        target,
        inhibited_by,
        origin: Origin { mark: node.mark, parts },
    })
}

/// Where a rule names others.
type Parts = BTreeMap<Box<str>, Mark>;

fn is_name(text: &str) -> bool {
    let letters = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !text.is_empty() && text.len() <= MAX_NAME && text.bytes().all(letters)
}

fn labels(fields: &mut Fields<'_>, problems: &mut Problems) -> BTreeMap<Box<str>, Box<str>> {
    let mut labels = BTreeMap::new();
    let path = fields.at("labels");
    let Some((node, mark)) = fields.node("labels") else { return labels };
    let Value::Map(pairs) = &node.value else {
        problems.add(&path, mark, format!("a map is wanted, not {}", node.value.what()));
        return labels;
    };
    if pairs.len() > MAX_LABELS {
        problems.add(&path, mark, format!("it has more than {MAX_LABELS} labels"));
    }
    for (key, mark, value) in pairs.iter().take(MAX_LABELS) {
        let path = format!("{path}.{key}");
        if key.is_empty() || key.len() > MAX_NAME {
            problems.add(&path, *mark, "a label's name has 1 to 63 bytes");
        }
        if let Some(text) = text_of(value, &path, MAX_TITLE, problems) {
            labels.insert(key.as_str().into(), text.into());
        }
    }
    labels
}

/// A list of columns, each once.
fn columns(fields: &mut Fields<'_>, key: &str, problems: &mut Problems) -> Vec<Box<str>> {
    let path = fields.at(key);
    let Some((items, mark)) = fields.list(key, problems) else { return Vec::new() };
    if items.len() > MAX_COLUMNS {
        problems.add(&path, mark, format!("it has at most {MAX_COLUMNS} columns"));
    }
    let mut columns: Vec<Box<str>> = Vec::new();
    for (number, item) in items.iter().take(MAX_COLUMNS).enumerate() {
        let path = format!("{path}[{number}]");
        let Some(text) = text_of(item, &path, 128, problems) else { continue };
        if text.is_empty() || columns.iter().any(|known| **known == *text) {
            problems.add(&path, item.mark, "a column stands here once, by its name");
            continue;
        }
        columns.push(text.into());
    }
    columns
}

/// A length of time: a number and one of s, m, h, d.
fn length_ms(text: &str) -> Option<u64> {
    let unit = text.chars().last()?;
    let number = &text[..text.len() - unit.len_utf8()];
    let right = number.len() <= 6 && number.bytes().all(|b| b.is_ascii_digit());
    let number: u64 = number.parse().ok().filter(|_| right)?;
    let unit_ms = match unit {
        's' => SECOND,
        'm' => 60 * SECOND,
        'h' => HOUR,
        'd' => DAY,
        _ => return None,
    };
    number.checked_mul(unit_ms)
}

/// A length of time as it is written.
pub(crate) fn length(ms: u64) -> String {
    match ms {
        0 => "0s".to_owned(),
        ms if ms % DAY == 0 => format!("{}d", ms / DAY),
        ms if ms % HOUR == 0 => format!("{}h", ms / HOUR),
        ms if ms % (60 * SECOND) == 0 => format!("{}m", ms / (60 * SECOND)),
        ms => format!("{}s", ms / SECOND),
    }
}

fn span(
    fields: &mut Fields<'_>,
    key: &str,
    (least, most): (u64, u64),
    problems: &mut Problems,
) -> Option<(u64, Mark)> {
    let (text, mark) = fields.text(key, 20, problems)?;
    let found = length_ms(text);
    match found {
        Some(ms) if (least..=most).contains(&ms) => Some((ms, mark)),
        Some(_) => {
            let text = format!("it is from {} to {}", length(least), length(most));
            problems.add(&fields.at(key), mark, text);
            None
        }
        None => {
            let text = format!("{text} is no length of time: 30s, 5m, 2h and 1d are");
            problems.add(&fields.at(key), mark, text);
            None
        }
    }
}

fn target(fields: &mut Fields<'_>, by: &[Box<str>], problems: &mut Problems) -> Option<Box<str>> {
    let (text, mark) = fields.text("target", 255, problems)?;
    let path = fields.at("target");
    let mut rest = text;
    while let Some((_, more)) = rest.split_once('{') {
        let Some((column, after)) = more.split_once('}') else {
            problems.add(&path, mark, "a } is missing");
            return None;
        };
        if !by.iter().any(|known| **known == *column) {
            let text =
                format!("{column} is not in by: only columns of the group stand in a target");
            problems.add(&path, mark, text);
        }
        rest = after;
    }
    let kind = text.split_once(':').map(|(kind, _)| kind).unwrap_or_default();
    if NodeKind::parse(kind).is_none() {
        let kinds: Vec<&str> = NodeKind::ALL.iter().map(|kind| kind.as_str()).collect();
        let text = format!("it begins with the kind of a thing and a colon: {}", kinds.join(", "));
        problems.add(&path, mark, text);
        return None;
    }
    // What stands in a group is known when there is one.
    if let Err(reason) = target_node(text)
        && !text.contains('{')
    {
        problems.add(&path, mark, reason);
        return None;
    }
    Some(text.into())
}

/// The thing that a target speaks of. A host may stand in a URL or before a port.
///
/// # Errors
/// Says what is wrong with its kind or its name.
pub fn target_node(text: &str) -> Result<NodeId, String> {
    let (kind, name) = text.split_once(':').unwrap_or((text, ""));
    let kind = NodeKind::parse(kind).ok_or_else(|| format!("{kind} is no kind of a thing"))?;
    let name = match kind {
        NodeKind::Host | NodeKind::Hop => host_of(name),
        _ => name,
    };
    NodeId::observed(kind, name).map_err(|error| error.to_string())
}

fn inhibitors(
    fields: &mut Fields<'_>,
    by: &[Box<str>],
    parts: &mut Parts,
    problems: &mut Problems,
) -> Vec<Inhibitor> {
    let path = fields.at("inhibited_by");
    let Some((items, mark)) = fields.list("inhibited_by", problems) else { return Vec::new() };
    if items.len() > MAX_PARTS {
        problems.add(&path, mark, format!("it has at most {MAX_PARTS} rules"));
    }
    let mut found = Vec::new();
    for (number, item) in items.iter().take(MAX_PARTS).enumerate() {
        let Some(mut one) = Fields::of(item, &format!("{path}[{number}]"), problems) else {
            continue;
        };
        let rule = one.needed_text("rule", MAX_NAME, problems);
        let at = one.at("equal");
        let equal = columns(&mut one, "equal", problems);
        if let Some(other) = equal.iter().find(|column| !by.contains(column)) {
            problems.add(&at, item.mark, format!("{other} is not in by of this rule"));
        }
        one.finish(&[], problems);
        if let Some((rule, mark)) = rule {
            parts.entry(rule.into()).or_insert(mark);
            found.push(Inhibitor { rule: rule.into(), equal });
        }
    }
    found
}

fn composite(
    mut fields: Fields<'_>,
    parts: &mut Parts,
    problems: &mut Problems,
) -> Option<Composite> {
    let mut names = |key: &str, problems: &mut Problems| {
        let path = fields.at(key);
        let (items, mark) = fields.list(key, problems)?;
        if items.is_empty() || items.len() > MAX_PARTS {
            problems.add(&path, mark, format!("it has 1 to {MAX_PARTS} rules"));
        }
        let named = items.iter().enumerate().filter_map(|(number, item)| {
            let path = format!("{path}[{number}]");
            let text = text_of(item, &path, MAX_NAME, problems)?;
            if !is_name(text) {
                problems.add(&path, item.mark, format!("{text} is no name of a rule"));
            }
            parts.entry(text.into()).or_insert(item.mark);
            Some(Box::<str>::from(text))
        });
        Some(named.take(MAX_PARTS).collect::<Vec<_>>())
    };
    let all = names("all", problems).unwrap_or_default();
    let any = names("any", problems).unwrap_or_default();
    let none = names("none", problems).unwrap_or_default();
    let (path, mark) = (fields.path.clone(), fields.mark);
    fields.finish(&[], problems);
    if all.is_empty() && any.is_empty() {
        problems.add(&path, mark, "it has all or any: rules that hold");
        return None;
    }
    Some(Composite { all, any, none })
}

fn query(fields: &mut Fields<'_>, every_ms: u64, problems: &mut Problems) -> Option<Query> {
    let table = fields.needed_text("table", 128, problems);
    let filter = predicate(fields, "where", problems);
    let measure = measure(fields, problems);
    let window = span(fields, "window", (10 * SECOND, DAY), problems);
    let condition = condition(fields, problems);
    let (condition, silent_ms) = condition?;
    let window_at = fields.at("window");
    let (window_ms, mark) = match (silent_ms, window) {
        (Some(_), Some((_, mark))) => {
            problems.add(&window_at, mark, "no_data says how long itself");
            return None;
        }
        (Some(ms), None) => (ms, fields.mark),
        (None, Some(window)) => window,
        (None, None) => (DEFAULT_WINDOW.next_multiple_of(every_ms), fields.mark),
    };
    if !window_ms.is_multiple_of(every_ms) || window_ms / every_ms > MAX_STEPS {
        let what = if silent_ms.is_some() { "no_data" } else { "window" };
        let text = format!(
            "{what} is made of 1 to {MAX_STEPS} full steps of every ({})",
            length(every_ms)
        );
        problems.add(&window_at, mark, text);
        return None;
    }
    let measure = match (measure, condition) {
        (Some(Ok((_, mark))), Condition::NoData) => {
            problems.add(&fields.at("value"), mark, "no_data looks for rows, not at a value");
            return None;
        }
        (None, Condition::NoData) => Measure::Count,
        (Some(Ok((measure, _))), _) => measure,
        (Some(Err(())), _) => return None,
        (None, _) => {
            problems.add(&fields.at("value"), fields.mark, "it is missing");
            return None;
        }
    };
    let filter = filter?;
    let (table, _) = table?;
    Some(Query { table: table.into(), filter, measure, window_ms, condition })
}

type Filter = (Box<str>, Predicate);

/// A condition over rows: `None` if it is wrong, `Some(None)` if it is not there.
fn predicate(
    fields: &mut Fields<'_>,
    key: &str,
    problems: &mut Problems,
) -> Option<Option<Filter>> {
    if fields.node(key).is_none() {
        return Some(None);
    }
    let (text, mark) = fields.text(key, MAX_WHERE, problems)?;
    match Predicate::parse(text) {
        Ok(predicate) => Some(Some((text.into(), predicate))),
        Err(unread) => {
            let text = format!("at its character {}: {}", unread.at, unread.text);
            problems.add(&fields.at(key), mark, text);
            None
        }
    }
}

type Measured = Result<(Measure, Mark), ()>;
/// What is made of a column.
type Maker = fn(Box<str>) -> Measure;

/// What is made of rows, if it is said.
fn measure(fields: &mut Fields<'_>, problems: &mut Problems) -> Option<Measured> {
    const WORDS: &str =
        "it is count, rate, or a map with one of share, sum, avg, min, max, or quantile and of";
    let path = fields.at("value");
    let (node, _) = fields.node("value")?;
    if let Value::Scalar(word, _) = &node.value {
        let measure = match word.as_str() {
            "count" => Measure::Count,
            "rate" => Measure::Rate,
            _ => {
                problems.add(&path, node.mark, WORDS);
                return Some(Err(()));
            }
        };
        return Some(Ok((measure, node.mark)));
    }
    let mut map = match Fields::of(node, &path, problems) {
        Some(map) => map,
        None => return Some(Err(())),
    };
    let mut found: Vec<Measure> = Vec::new();
    let mut wrong = false;
    match predicate(&mut map, "share", problems) {
        Some(Some((text, predicate))) => found.push(Measure::Share(text, predicate)),
        Some(None) => {}
        None => wrong = true,
    }
    let makers: [(&str, Maker); 4] = [
        ("sum", Measure::Sum),
        ("avg", Measure::Avg),
        ("min", Measure::Min),
        ("max", Measure::Max),
    ];
    for (key, make) in makers {
        found.extend(map.text(key, 128, problems).map(|(column, _)| make(column.into())));
    }
    if let Some((q, mark)) = map.number("quantile", problems) {
        if !(0.0..=1.0).contains(&q) {
            problems.add(&map.at("quantile"), mark, "it is from 0 to 1");
            wrong = true;
        }
        match map.needed_text("of", 128, problems) {
            Some((column, _)) => found.push(Measure::Quantile(q, column.into())),
            None => wrong = true,
        }
    }
    map.finish(&[("of", "it is for quantile")], problems);
    if wrong {
        return Some(Err(()));
    }
    match <[Measure; 1]>::try_from(found) {
        Ok([measure]) => Some(Ok((measure, node.mark))),
        Err(_) => {
            problems.add(&path, node.mark, WORDS);
            Some(Err(()))
        }
    }
}

/// When it holds, and how long there must be no rows if that is it.
fn condition(fields: &mut Fields<'_>, problems: &mut Problems) -> Option<(Condition, Option<u64>)> {
    let mut map = fields.needed_map("condition", problems)?;
    let mut found: Vec<(Condition, Option<u64>)> = Vec::new();
    let before = map.mark;
    found.extend(map.number("above", problems).map(|(x, _)| (Condition::Above(x), None)));
    found.extend(map.number("below", problems).map(|(x, _)| (Condition::Below(x), None)));
    let path = map.at("outside");
    if let Some((items, mark)) = map.list("outside", problems) {
        let numbers: Vec<f64> = items
            .iter()
            .filter_map(|item| text_of(item, &path, 40, problems)?.parse().ok())
            .filter(|number: &f64| number.is_finite())
            .collect();
        match *numbers.as_slice() {
            [low, high] if low <= high && items.len() == 2 => {
                found.push((Condition::Outside(low, high), None));
            }
            _ => {
                problems.add(&path, mark, "it has two numbers, the less one first");
                return None;
            }
        }
    }
    if map.node("no_data").is_some() {
        let (ms, _) = span(&mut map, "no_data", (10 * SECOND, DAY - LATE_MS), problems)?;
        found.push((Condition::NoData, Some(ms)));
    }
    if map.node("baseline").is_some() {
        found.push((baseline(map.map("baseline", problems)?, problems)?, None));
    }
    let path = map.path.clone();
    map.finish(&[], problems);
    match <[_; 1]>::try_from(found) {
        Ok([one]) => Some(one),
        Err(_) => {
            problems.add(&path, before, "it is one of above, below, outside, baseline, no_data");
            None
        }
    }
}

fn baseline(mut fields: Fields<'_>, problems: &mut Problems) -> Option<Condition> {
    let season = match fields.needed_text("season", 20, problems)? {
        ("day", _) => Season::Day,
        ("week", _) => Season::Week,
        (_, mark) => {
            problems.add(&fields.at("season"), mark, "it is day or week");
            return None;
        }
    };
    let deviations = match fields.number("deviations", problems) {
        Some((number, _)) if (1.0..=100.0).contains(&number) => number,
        Some((_, mark)) => {
            problems.add(&fields.at("deviations"), mark, "it is from 1 to 100");
            return None;
        }
        None => 4.0,
    };
    let direction = match fields.text("direction", 20, problems) {
        None | Some(("both", _)) => Direction::Both,
        Some(("above", _)) => Direction::Above,
        Some(("below", _)) => Direction::Below,
        Some((_, mark)) => {
            problems.add(&fields.at("direction"), mark, "it is above, below or both");
            return None;
        }
    };
    fields.finish(&[], problems);
    Some(Condition::Baseline { season, deviations, direction })
}
