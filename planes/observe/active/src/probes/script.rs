//! Scripted transactions: requests over HTTP that follow each other, with cookies and with values that one answer gives
//! to the next request. The whole ends within the time of one probe.

#[cfg(test)]
mod tests;
mod values;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::http::{Ask, Jar};
use super::{Dial, Roots, http};
use crate::Family;
use crate::config::{Identity, Target};
use crate::outcome::{Outcome, elapsed_ms};
use crate::step::{MAX_STEPS, MAX_VALUES, Step};
use values::{Take, Written, fill};

/// The columns of a step, by its number.
macro_rules! columns {
    ($end:literal) => {
        [
            concat!("script.step.1.", $end),
            concat!("script.step.2.", $end),
            concat!("script.step.3.", $end),
            concat!("script.step.4.", $end),
            concat!("script.step.5.", $end),
            concat!("script.step.6.", $end),
            concat!("script.step.7.", $end),
            concat!("script.step.8.", $end),
            concat!("script.step.9.", $end),
            concat!("script.step.10.", $end),
            concat!("script.step.11.", $end),
            concat!("script.step.12.", $end),
            concat!("script.step.13.", $end),
            concat!("script.step.14.", $end),
            concat!("script.step.15.", $end),
            concat!("script.step.16.", $end),
        ]
    };
}
const NAME: [&str; MAX_STEPS] = columns!("name");
const DURATION: [&str; MAX_STEPS] = columns!("duration_ms");
const TTFB: [&str; MAX_STEPS] = columns!("ttfb_ms");
const STATUS: [&str; MAX_STEPS] = columns!("status_code");
const BYTES: [&str; MAX_STEPS] = columns!("body_bytes");

/// A script that was looked at.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Script {
    target: Target,
    identity: Option<Identity>,
    takes: Vec<BTreeMap<String, Take>>,
    /// The bytes of its requests' bodies, and whether any goes over TLS.
    body_bytes: usize,
}

impl Script {
    /// What a target says. `identity` is what this node knows of the one that it names.
    pub(crate) fn of(target: &Target, identity: Option<&Identity>) -> Result<Self, String> {
        if target.steps.is_empty() || target.steps.len() > MAX_STEPS {
            return Err(format!("steps: a script has 1 to {MAX_STEPS} of them"));
        }
        let mut script = Self {
            target: target.clone(),
            identity: identity.cloned(),
            takes: Vec::new(),
            body_bytes: 0,
        };
        let mut known = BTreeMap::new();
        for (number, step) in target.steps.iter().enumerate() {
            let named = |why: String| format!("steps[{number}]: {why}");
            let letters = step.name.chars().count();
            if !(1..=63).contains(&letters) || step.name.chars().any(char::is_control) {
                return Err(named("name: it has 1 to 63 characters".into()));
            }
            if target.steps[..number].iter().any(|other| other.name == step.name) {
                return Err(named(format!("name: there are two steps {}", step.name)));
            }
            if let Some(key) = step.foreign(false) {
                return Err(named(format!(
                    "{key}: a step of a browser has one, a script's has none"
                )));
            }
            if step.url.is_empty() {
                return Err(named("url: it is missing".into()));
            }
            // Whatever the values are: what can be told before is told before.
            let ask = script.ask(step, &known).map_err(named)?;
            script.body_bytes += ask.body_bytes();
            let mut takes = BTreeMap::new();
            for (name, from) in &step.take {
                if !values::is_name(name) {
                    return Err(named(format!(
                        "take.{name}: a value's name has 1 to 32 small letters, digits and _"
                    )));
                }
                let take = Take::parse(from).map_err(|why| named(format!("take.{name}: {why}")))?;
                takes.insert(name.clone(), take);
                known.insert(name.clone(), "0".to_owned());
            }
            if known.len() > MAX_VALUES {
                return Err(named(format!("take: a script takes at most {MAX_VALUES} values")));
            }
            script.takes.push(takes);
        }
        Ok(script)
    }

    pub(crate) fn is_tls(&self) -> bool {
        self.target.target.starts_with("https:")
    }

    pub(crate) fn requests(&self) -> usize {
        self.target.steps.len() * (usize::from(self.target.follow_redirects) + 1)
    }

    pub(crate) fn body_bytes(&self) -> usize {
        self.body_bytes
    }

    /// A step's request, with what is known.
    fn ask(&self, step: &Step, known: &BTreeMap<String, String>) -> Result<Ask, String> {
        let value = |name: &str| known.get(name).cloned();
        let mut target = step.target(&self.target);
        // A value that is all of it may be a whole URL; inside one it is a part.
        let trimmed = step.url.trim();
        let whole = trimmed.strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}"));
        let whole = whole.is_some_and(|name| values::is_name(name.trim()));
        let written = if whole { Written::Plain } else { Written::Percent };
        let (url, _) = fill(&step.url, written, value).map_err(|why| format!("url: {why}"))?;
        target.target = http::joined(&self.target.target, &url)
            .map_err(|why| format!("url: {}", why.trim_start_matches("target ")))?;
        let kind = step.content_type.to_ascii_lowercase();
        let written = match () {
            () if kind.contains("json") => Written::Json,
            () if kind.contains("form-urlencoded") => Written::Percent,
            () => Written::Plain,
        };
        let (body, has_values) =
            fill(&step.body, written, value).map_err(|why| format!("body: {why}"))?;
        target.body = body;
        let mut taken = BTreeMap::new();
        for (name, text) in &step.headers {
            let (text, any) = fill(text, Written::Plain, value)
                .map_err(|why| format!("headers.{name}: {why}"))?;
            if any {
                target.headers.remove(name);
                taken.insert(name.clone(), text);
            } else {
                target.headers.insert(name.clone(), text);
            }
        }
        Ask::of(&target, self.identity.as_ref())?.with_taken(&taken, has_values)
    }
}

/// Runs all steps, as far as they succeed.
pub(crate) async fn probe(
    script: &Script,
    family: Family,
    roots: &Roots,
    limit: Duration,
    dial: &Dial<'_>,
) -> Outcome {
    let begin = Instant::now();
    let until = begin + limit;
    let mut outcome = Outcome::default();
    let (mut known, mut jar) = (BTreeMap::new(), Jar::default());
    let steps = &script.target.steps;
    outcome.attribute("url.full", script.target.target.clone());
    outcome.metric("script.steps", steps.len() as f64);
    let (mut done, mut failed) = (0, None);
    for (number, (step, takes)) in steps.iter().zip(&script.takes).enumerate() {
        outcome.attribute(NAME[number], step.name.clone());
        let begin = Instant::now();
        let mut one = Outcome::default();
        let result = match script.ask(step, &known) {
            Ok(ask) => {
                let reads = takes.values().any(Take::looks_at_body);
                let ask = if reads { ask.keeping_body() } else { ask };
                one_step(&ask, takes, family, roots, until, dial, &mut jar, &mut one).await
            }
            Err(why) => Err(why),
        };
        outcome.metric(DURATION[number], elapsed_ms(begin));
        tell(number, one, &mut outcome);
        match result {
            Ok(taken) => {
                known.extend(taken);
                done += 1;
            }
            Err(why) => {
                failed = Some((step, hidden(why, &known)));
                break;
            }
        }
    }
    outcome.metric("script.done", f64::from(done));
    if jar.left_out > 0 {
        outcome.metric("script.cookies.left_out", f64::from(jar.left_out));
    }
    match failed {
        None => {
            outcome.duration_ms = Some(elapsed_ms(begin));
            outcome
        }
        Some((step, why)) => {
            outcome.attribute("script.failed_step", step.name.clone());
            outcome.failed(format!("step {}: {why}", step.name))
        }
    }
}

#[allow(clippy::too_many_arguments, reason = "what the steps of a script share, and what one has")]
async fn one_step(
    ask: &Ask,
    takes: &BTreeMap<String, Take>,
    family: Family,
    roots: &Roots,
    until: Instant,
    dial: &Dial<'_>,
    jar: &mut Jar,
    outcome: &mut Outcome,
) -> Result<BTreeMap<String, String>, String> {
    if Instant::now() >= until {
        return Err("there was no time left for it".into());
    }
    let (headers, body) = http::within(ask, family, roots, until, dial, jar, outcome).await?;
    let mut taken = BTreeMap::new();
    for (name, take) in takes {
        let found = take.find(&headers, &body).map_err(|why| format!("take.{name}: {why}"))?;
        taken.insert(name.clone(), found);
    }
    Ok(taken)
}

/// What one step adds to the whole.
fn tell(number: usize, one: Outcome, outcome: &mut Outcome) {
    for (column, value) in &one.metrics {
        let to = match *column {
            "http.ttfb_ms" => TTFB[number],
            "http.status_code" => STATUS[number],
            "http.body_bytes" => BYTES[number],
            _ => continue,
        };
        outcome.metric(to, *value);
    }
    // What TLS says is of the first step; the address is where the first went.
    if number == 0 {
        outcome.metrics.extend(one.metrics.iter().filter(|(c, _)| c.starts_with("tls.")).copied());
        let tls = one.attributes.into_iter().filter(|(column, _)| column.starts_with("tls."));
        outcome.attributes.extend(tls);
        (outcome.address, outcome.name) = (one.address, one.name);
    }
    outcome.refused |= one.refused;
    outcome.left_out = outcome.left_out.or(one.left_out);
    outcome.more_bytes += one.more_bytes;
}

/// An error without what was taken: it may be a secret, and an error is read by everybody.
fn hidden(mut why: String, known: &BTreeMap<String, String>) -> String {
    for (name, value) in known.iter().filter(|(_, value)| value.len() >= 4) {
        why = why.replace(value, &format!("{{{{{name}}}}}"));
    }
    why
}
